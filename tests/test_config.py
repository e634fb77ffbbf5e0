"""Configuration: units, YAML and back, settings, and what is refused with which words."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import FrozenInstanceError, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alexnet.base.errors import UsageError
from alexnet.config import (
    Anneal,
    CheckpointConfig,
    Epochs,
    Images,
    Milestones,
    OptimizerConfig,
    Plateau,
    RunConfig,
    Steps,
)
from alexnet.recipes import recipe
from alexnet.settings import (
    asked_for,
    differences,
    flat,
    from_dict,
    from_yaml,
    meanings,
    origins,
    shortened,
    to_yaml,
    with_settings,
)

PAPER = RunConfig()


def refused(settings: list[str]) -> str:
    with pytest.raises(UsageError) as caught:
        with_settings(PAPER, settings)
    return str(caught.value)


def test_quantities_say_their_unit() -> None:
    assert [str(q) for q in (Epochs(90), Epochs(0.5), Steps(1), Images(128))] == [
        "90 epochs",
        "0.5 epochs",
        "1 step",
        "128 images",
    ]
    assert Epochs(1) != Steps(1)


def test_defaults_are_section_5() -> None:
    values = flat(PAPER)
    assert values["optimizer.batch"] == "128 images"
    assert values["optimizer.learning_rate"] == 0.01
    assert values["optimizer.momentum"] == 0.9
    assert values["optimizer.weight_decay"] == 0.0005
    assert values["network.convention"] == "paper"
    assert values["schedule.factor"] == 10
    assert values["schedule.drops"] == 3
    assert values["length"] == "90 epochs"


def test_a_configuration_does_not_change() -> None:
    with pytest.raises(FrozenInstanceError):
        PAPER.seed = 1  # type: ignore[misc]


positive = st.floats(min_value=1e-12, max_value=1e12)
configurations = st.builds(
    RunConfig,
    seed=st.integers(0, 2**64 - 1),
    optimizer=st.builds(
        OptimizerConfig, batch=st.builds(Images, st.integers(1, 10**6)), learning_rate=positive
    ),
    schedule=st.builds(Plateau, patience=st.builds(Epochs, positive))
    | st.builds(Anneal, warmup=st.builds(Epochs, st.floats(0, 9))),
    length=st.builds(Epochs, st.floats(10, 1e6)),
    checkpoint=st.builds(CheckpointConfig, every=st.builds(Steps, st.integers(1, 10**9))),
)


@given(configurations)
def test_every_configuration_survives_yaml(config: RunConfig) -> None:
    again = from_yaml(to_yaml(config))
    assert again == config


def test_keys_left_out_are_the_papers() -> None:
    assert from_yaml("") == PAPER
    assert from_dict({"schedule": {"kind": "anneal"}}).schedule == Anneal()


def test_yaml_takes_1e_4_for_text_but_we_do_not() -> None:
    config = from_yaml("optimizer:\n  learning_rate: 1e-4\n")
    assert config.optimizer.learning_rate == 0.0001


def test_settings() -> None:
    config = with_settings(
        PAPER,
        ["optimizer.batch=64", "length=500.5 epochs", "augmentation.reflections=false", "seed = 7"],
    )
    assert config.optimizer.batch == Images(64)
    assert config.length == Epochs(500.5)
    assert config.augmentation.reflections is False
    assert config.seed == 7


def test_a_new_kind_of_schedule_brings_its_keys_whatever_the_order() -> None:
    for settings in (
        ["schedule.kind=anneal", "schedule.warmup=2 epochs"],
        ["schedule.warmup=2", "schedule.kind=anneal"],
    ):
        assert with_settings(PAPER, settings).schedule == Anneal(warmup=Epochs(2))


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("optimizer.bacth=64", "Did you mean 'optimizer.batch'?"),
        ("lenght=3", "Did you mean 'length'?"),
        ("optimizer.lr=0.1", "Did you mean 'optimizer.learning_rate'?"),
        ("lr=0.1", "Did you mean 'optimizer.learning_rate'?"),
        ("learning-rate=0.1", "Did you mean 'optimizer.learning_rate'?"),
        ("epochs=5", "Did you mean 'length'?"),
        ("batch_size=5", "Did you mean 'optimizer.batch'?"),
        ("train.bs=5", "Did you mean 'optimizer.batch'?"),
        ("momentum=0.5", "Did you mean 'optimizer.momentum'?"),
        ("wd=0.5", "Did you mean 'optimizer.weight_decay'?"),
        ("optimizer.seed=1", "Did you mean 'seed'?"),
        ("warmup_epochs=1", "Did you mean 'schedule.warmup'? It belongs to schedule.kind=anneal."),
        ("dropout=0", "network.variant=no dropout"),
        ("num_workers=4", "there is nothing to set"),
        ("device=cuda", "--device"),
        ("optimizer=adam", "It has parts: optimizer.batch, "),
        ("schedule=anneal", "Did you mean 'schedule.kind'?"),
        ("schedule.warmup=1", "It belongs to schedule.kind=anneal."),
        ("optimizer.batch", "A setting has the form KEY=VALUE."),
        ("optimizer.batch=many", "optimizer.batch is 'many', expected a whole number of images."),
        ("optimizer.batch=64.5", "expected a whole number of images."),
        ("optimizer.batch=64 steps", "optimizer.batch is '64 steps', expected a number of images."),
        ("optimizer.batch=0", "optimizer.batch is 0, expected at least 1."),
        ("optimizer.momentum=1", "optimizer.momentum is 1.0, expected at least 0 and below 1."),
        ("optimizer.learning_rate=-1", "expected above 0."),
        ("optimizer.learning_rate=nan", "expected a number."),
        ("optimizer.learning_rate=1e999", "expected a number."),
        ("optimizer.learning_rate=true", "expected a number."),
        ("network.start.rule=glorot", "expected gaussian or he."),
        (
            "schedule.kind=cosine",
            "schedule.kind is 'cosine', expected plateau or anneal or milestones.",
        ),
        ("augmentation.colour=-0.1", "augmentation.colour is -0.1, expected at least 0."),
        ("augmentation.reflections=perhaps", "expected true or false."),
        ("recipe=small", "Choose it with --recipe small."),
        ("schedule.factor=1e200", "expected above 1 and at most 1000."),
        ("length=inf", "length is inf, expected a finite number."),
        ("optimizer.rates=conv1: -0.1", "optimizer.rates is 'conv1: -0.1', expected LAYER: FACTOR"),
        ("optimizer.decays=fc6 2", "optimizer.decays is 'fc6 2', expected LAYER: FACTOR"),
        ("optimizer.freeze=conv1 conv2", "expected LAYER or LAYER-LAYER"),
        ("optimizer.freeze=conv1-fc8", "expected fewer layers: none is left to train."),
        (
            "optimizer.freeze=conv9",
            "optimizer.freeze is for 'conv9'; the network has no such layer.",
        ),
        ("optimizer.rates=fc6-conv1: 2", "Turn them around: conv1-fc6"),
    ],
)
def test_what_is_refused_and_how(setting: str, words: str) -> None:
    message = refused([setting])
    assert words in message
    assert setting in message  # where


@pytest.mark.parametrize("epochs", ["nan, 30", "-5", "20 and 30", "", "inf", ", ".join("1" * 101)])
def test_nonsense_is_no_milestone(epochs: str) -> None:
    message = refused(["schedule.kind=milestones", f"schedule.epochs={epochs}"])
    assert "schedule.epochs is" in message and "epochs, as in 23, 51, 78" in message


def test_a_warm_up_longer_than_the_run_is_refused() -> None:
    message = refused(["schedule.kind=anneal", "schedule.warmup=3", "length=3"])
    assert "schedule.warmup is 3" in message
    assert "below 3" in message


def test_a_recipes_warm_up_keeps_its_share_of_a_run_that_it_would_outlast() -> None:
    small = recipe("small").config
    for settings, warmup, told in [
        (["length=1"], 1 / 13, "1 epoch does not fit into 1 epoch: it takes 0.0769 epochs"),
        (["length=0.26"], 0.02, "it takes 0.02 epochs"),
        (["length=2"], 1, ""),
        (["length=3", "schedule.warmup=2"], 2, ""),
        (["schedule.kind=plateau", "length=0.5"], None, ""),
    ]:
        config = with_settings(small, settings)
        if warmup is not None:
            assert isinstance(config.schedule, Anneal)
            assert config.schedule.warmup.count == pytest.approx(warmup, rel=0.001)
        said = shortened(config, small, settings)
        assert told in said and bool(said) == bool(told)
    short = with_settings(PAPER, ["schedule.kind=anneal", "length=0.9"])
    assert isinstance(short.schedule, Anneal) and short.schedule.warmup.count == 0.01


@pytest.mark.parametrize(
    ("settings", "faulty"),
    [
        (["seed=3", "optimizer.momentum=2", "length=4"], "optimizer.momentum=2"),
        (["seed=x", "optimizer.batch=4"], "seed=x"),
        (["optimizer.batch=4", "optimizer.bacth=4"], "optimizer.bacth=4"),
        (["optimizer.batch=4", "optimizer.rates=conv9: 1"], "optimizer.rates=conv9: 1"),
        (["schedule.kind=cosine", "seed=4"], "schedule.kind=cosine"),
        (["length=long", "schedule.kind=anneal"], "length=long"),
    ],
)
def test_only_the_setting_at_fault_is_named(settings: list[str], faulty: str) -> None:
    with pytest.raises(UsageError) as caught:
        with_settings(PAPER, settings)
    assert caught.value.where == f"--set {faulty}"


def test_options_are_settings_and_no_key_is_set_twice() -> None:
    asked = asked_for(["optimizer.momentum=0.8"], epochs=5.0, batch=64, seed=0)
    config = with_settings(PAPER, asked)
    assert (config.length, config.optimizer.batch, config.seed) == (Epochs(5), Images(64), 0)
    assert config.optimizer.momentum == 0.8
    assert {row.key: row.origin for row in origins(config, PAPER, asked)}["length"] == "--epochs"
    with pytest.raises(UsageError, match="--epochs 5 and --set length=3 set the same key"):
        asked_for(["length=3"], epochs=5)
    with pytest.raises(UsageError, match="--set seed=1 and --set seed=2 set the same key"):
        asked_for(["seed=1", "length=2", "seed=2"])
    with pytest.raises(UsageError) as caught:
        with_settings(PAPER, asked_for(["seed=3"], batch=0))
    assert caught.value.where == "--batch 0"


def test_every_key_has_a_meaning() -> None:
    schedules = (Plateau(), Anneal(), Milestones())
    keys = {key for one in schedules for key in flat(replace(PAPER, schedule=one))}
    assert meanings().keys() == keys
    assert all(text.endswith(".") and len(text) < 95 for text in meanings().values())
    assert meanings()["checkpoint.keep"] == "How many of the newest checkpoints stay."


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("optimzer: {}", "Did you mean 'optimizer'?"),
        ("optimizer:\n  momentom: 0.9", "Did you mean 'optimizer.momentum'?"),
        ("optimizer: 3", "optimizer is 3, expected keys."),
        ("- 1", "the configuration is [1], expected keys."),
        ("schedule: anneal", "expected keys, with kind: plateau or anneal or milestones."),
        ("seed: true", "seed is True, expected a whole number."),
        ("seed: [1]", "seed is [1], expected a whole number."),
        ("recipe: 3", "recipe is 3, expected text."),
        ("network:\n  start:\n    rule: [he]", "expected gaussian or he."),
        ("schedule:\n  kind: [anneal]", "expected plateau or anneal or milestones."),
        ("a: [", "Not valid YAML"),
    ],
)
def test_a_wrong_file_is_refused_by_key_value_and_place(text: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        from_yaml(text, where="runs/x/config.yaml")
    assert words in str(caught.value)
    assert "runs/x/config.yaml" in str(caught.value)


def test_differences() -> None:
    other = replace(PAPER, seed=3, schedule=Anneal())
    assert [tuple(row) for row in differences(PAPER, other)] == [
        ("seed", 0, 3),
        ("schedule.kind", "plateau", "anneal"),
        ("schedule.factor", 10.0, None),
        ("schedule.patience", "5 epochs", None),
        ("schedule.drops", 3, None),
        ("schedule.warmup", None, "1 epoch"),
    ]
    assert differences(PAPER, RunConfig()) == []


def test_origins() -> None:
    recipe = RunConfig(recipe="mine", optimizer=OptimizerConfig(batch=Images(64)))
    settings = ["optimizer.momentum=0.9", "seed=4"]
    rows = {row.key: row for row in origins(with_settings(recipe, settings), recipe, settings)}
    assert rows["optimizer.batch"] == ("optimizer.batch", "64 images", "recipe mine")
    assert rows["optimizer.learning_rate"].origin == "paper"
    assert rows["optimizer.momentum"].origin == "--set"  # although the value is the paper's
    assert rows["seed"] == ("seed", 4, "--set")
    assert rows["checkpoint.keep"].origin == "default"  # the paper is silent
    assert list(rows) == list(flat(recipe))


def test_recipes_are_built_without_numerical_libraries() -> None:
    code = (
        "import sys, alexnet.recipes\n"
        "print(*({'torch', 'numpy', 'numba', 'pyarrow', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
