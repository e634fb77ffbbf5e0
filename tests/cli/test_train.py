"""The verbs that train, with a small net on a handful of images."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from alexnet.cli.main import run

DATA = "synthetic:16x2"
FULL = [
    *("--recipe", "small", "--set", "optimizer.batch=4", "--set", "length=1"),
    *("--set", "schedule.warmup=0", "--set", "checkpoint.every=2"),
]
SMALL = [*FULL, "--set", "network.convention=cifar18"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one finished run, `runs/it`."""
    folder = tmp_path_factory.mktemp("place")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert run(["train", DATA, *SMALL, "--name", "it"]) == 0
    return folder


@pytest.fixture(autouse=True)
def inside(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)


def said(capsys: pytest.CaptureFixture[str], arguments: list[str], code: int = 0) -> str:
    capsys.readouterr()
    found = run(arguments)
    out, err = capsys.readouterr()
    assert found == code, err
    return err if code else out


def test_a_run_is_a_folder_with_everything_in_it(place: Path) -> None:
    it = place / "runs" / "it"
    for name in ("config.yaml", "command.txt", "environment.json", "data.json", "log.txt"):
        assert (it / name).stat().st_size > 0
    kinds = [json.loads(line)["kind"] for line in (it / "metrics.jsonl").read_text().splitlines()]
    assert kinds.count("epoch") == 1 and kinds[-1] == "epoch" and kinds.count("step") >= 3
    assert {path.name for path in (it / "model").iterdir()} == {
        *("model.safetensors", "config.json", "statistics.safetensors", "README.md")
    }
    assert not list(it.rglob(".*")), "nothing temporary is left"


def test_what_is_chosen_for_the_user_is_told(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The recipe, the device, and a warm-up that would outlast the run; the name has recipe and seed."""
    short = ["--epochs", "1", "--batch", "4", "--seed", "3", "--set", "network.convention=cifar18"]
    assert run(["train", DATA, *short]) == 0
    folder = place / "runs" / "synthetic-16x2-32-small-3"
    log = (folder / "log.txt").read_text()
    assert "recipe  small: 1 epoch, batches of 4 images" in log
    assert "chosen  small: 15 training images are fewer than 100,000" in log
    assert "! a warm-up of 1 epoch does not fit into 1 epoch: it takes 0.0769 epochs" in log
    assert f"device  {'cuda' if torch.cuda.is_available() else 'cpu'}" in log
    assert "seed: 3" in (folder / "config.yaml").read_text()
    told = capsys.readouterr().err
    assert f"Next:    alexnet evaluate {folder.name} prepared/synthetic-16x2-32\n" in told
    shutil.rmtree(folder)


def test_settings_are_looked_at_before_images_are(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a recipe too: they have to fit one that may be chosen."""
    for setting, words in [("optimizer.bach=3", "'optimizer.batch'"), ("seed=-1", "seed is -1")]:
        message = said(capsys, ["train", "synthetic:20x2", "--set", setting], code=2)
        assert words in message and f"--set {setting}" in message
    message = said(
        capsys, ["train", "synthetic:20x2", "--epochs", "2", "--set", "length=3"], code=2
    )
    assert "--epochs 2 and --set length=3 set the same key" in message
    assert not list((place / "prepared").glob("synthetic-20x2*"))


def test_going_on_with_a_finished_run_does_nothing(place: Path) -> None:
    it = place / "runs" / "it"
    before = (it / "metrics.jsonl").read_bytes(), (it / "model" / "config.json").stat()
    assert run(["train", DATA, *SMALL, "--name", "it", "--go-on"]) == 0
    assert before == ((it / "metrics.jsonl").read_bytes(), (it / "model" / "config.json").stat())
    assert "has done 1 epoch already" in (it / "log.txt").read_text()


@pytest.mark.parametrize(
    ("data", "options", "words"),
    [
        ("synthetic:20x2", [], "The data have changed"),
        ("synthetic:16x3", [], "The classes are not those"),
        (DATA, ["--set", "checkpoint.keep=2", "--seed", "2"], "seed: 0 then, 2 now"),
        (DATA, ["--set", "augmentation.colour=0"], "augmentation.colour: 0.1 then, 0.0 now"),
        (DATA, ["--set", "optimizer.learning_rate=0.5"], "0.5 now"),
    ],
)
def test_going_on_with_another_run_is_refused(
    place: Path,
    data: str,
    options: list[str],
    words: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """At its end too, and the remedy is understood as it is typed."""
    command = ["train", data, *SMALL, *options, "--name", "it", "--go-on"]
    before = (place / "runs" / "it" / "metrics.jsonl").read_bytes()
    message = said(capsys, command, code=6)
    assert words in message
    assert before == (place / "runs" / "it" / "metrics.jsonl").read_bytes()
    remedy = message.splitlines()[-1].partition("alexnet ")[2]
    assert "has done 1 epoch already" in said(capsys, shlex.split(remedy), code=2)


def test_a_longer_run_keeps_the_warm_up_it_began_with(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody asked for another, and what is past stays as it was."""
    command = ["train", DATA, "--batch", "4", "--set", "network.convention=cifar18"]
    command += ["--name", "longer set"]
    folder = place / "runs" / "longer set"
    assert run([*command, "--epochs", "1"]) == 0
    assert "alexnet evaluate 'longer set' prepared/" in capsys.readouterr().err
    before = (folder / "metrics.jsonl").read_bytes()
    said(capsys, [*command, "--epochs", "2", "--go-on"])
    assert (folder / "metrics.jsonl").read_bytes().startswith(before)
    config = (folder / "config.yaml").read_text()
    assert "warmup: 0.0769 epochs" in config and "length: 2 epochs" in config
    shorter = said(capsys, ["resume", "longer set", "--epochs", "0.5"], code=2)
    assert "alexnet resume 'longer set' --epochs 4" in shorter
    other = [*command, "--epochs", "2", "--go-on", "--set", "schedule.warmup=0.5"]
    assert "schedule.warmup: 0.0769 epochs then, 0.5 epochs now" in said(capsys, other, code=6)
    shutil.rmtree(folder)


@pytest.mark.parametrize(
    "name", ["../escape", "/tmp/escape", "a//b", "..", "a/", "a\nb", "n" * 300]
)
def test_a_run_is_inside_runs(place: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(place.rglob("*"))
    assert "is no name for a run" in said(capsys, ["train", DATA, *SMALL, "--name", name], code=2)
    assert sorted(place.rglob("*")) == before


def test_no_data_are_not_the_current_folder(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(place / "prepared" / "synthetic-16x2-32")
    for command in (["train", "", *SMALL], ["evaluate", str(place / "runs" / "it"), ""]):
        assert "name of the data is empty" in said(capsys, command, code=2)
    assert "images is empty" in said(capsys, ["data", "check", ""], code=2)


def test_both_columns_in_one_process(capsys: pytest.CaptureFixture[str]) -> None:
    apart = ["train", DATA, *FULL, "--dry-run", "--columns", "2"]
    whole = said(capsys, ["train", DATA, *FULL, "--dry-run"])
    assert "loss" in whole
    assert said(capsys, [*apart, "--device", "cpu,cpu"]) == said(capsys, apart) == whole


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--device", "cpu,cpu"], "Add --columns 2"),
        (["--hybrid"], "A hybrid is two processes."),
        (["--hybrid", "--columns", "2"], "a layout of its own"),
        (["--recipe", "one_column", "--columns", "2"], "no columns that can be computed apart"),
    ],
)
def test_layouts_that_do_not_go_together_leave_nothing_behind(
    place: Path, options: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert words in said(capsys, ["train", DATA, "--name", "apart", *options], code=2)
    assert not (place / "runs" / "apart").exists()


def test_the_model_answers(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import alexnet

    model = alexnet.load("runs/it")
    image = np.full((300, 260, 3), 90, np.uint8)
    answers = model.predict(image)
    assert len(answers) == 2 and sum(one.probability for one in answers) == pytest.approx(1)
    assert model.features([image], "pool3").shape == (1, 64, 4, 4)
    table = said(capsys, ["evaluate", "it", "prepared/synthetic-16x2-32"])
    assert "top-1 error" in table and "chance" in table


def test_a_set_larger_than_memory_is_told_of_blocks(
    monkeypatch: pytest.MonkeyPatch, place: Path
) -> None:
    """Memory said to be small, since no test's set is large; the run ends at its first data."""
    monkeypatch.setattr("alexnet.training.log.memory_bytes", lambda: 10**4)
    monkeypatch.setattr("alexnet.training.session._train", lambda *_, **__: None)
    for shuffle, hinted in (("full", True), ("blocks", False)):
        assert (
            run(["train", DATA, *SMALL, "--set", f"loading.shuffle={shuffle}", "--name", shuffle])
            == 0
        )
        log = (place / "runs" / shuffle / "log.txt").read_text()
        assert ("loading.shuffle=blocks" in log) == hinted
        shutil.rmtree(place / "runs" / shuffle)


def test_runs_lists_shows_and_compares(capsys: pytest.CaptureFixture[str]) -> None:
    assert "it" in said(capsys, ["runs"]).split()
    assert "optimizer" in said(capsys, ["runs", "show", "it"])
    assert "data" in said(capsys, ["runs", "compare", "it", "it"])
    assert "runs show RUN" in said(capsys, ["runs", "shwo"], code=2)


def test_print_config_says_where_each_value_comes_from_and_what_it_means(
    capsys: pytest.CaptureFixture[str],
) -> None:
    settings = ["--recipe", "small", "--set", "optimizer.learning_rate=0.02", "--epochs", "0.5"]
    lines = said(capsys, ["train", DATA, *settings, "--print-config"]).splitlines()
    rows = {line.split()[0]: re.split(r" {2,}", line)[1:] for line in lines}
    assert rows["optimizer.learning_rate"][:2] == ["0.02", "--set"]
    assert rows["length"][:2] == ["0.5 epochs", "--epochs"]
    assert rows["optimizer.momentum"][:2] == ["0.9", "paper"]
    assert rows["network.start.rule"][:2] == ["he", "recipe small"]
    assert rows["schedule.warmup"][:2] == ["0.0385 epochs", "shortened"]
    assert (
        rows["optimizer.momentum"][2] == "The share of the velocity that stays from step to step."
    )


def test_print_config_without_a_recipe_only_lists_the_images(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("cat", "dog"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        (tmp_path / "photos" / name / "0.jpg").write_bytes(b"no image")
    lines = said(capsys, ["train", str(tmp_path / "photos"), "--print-config"]).splitlines()
    assert lines[-1].startswith("Expected of small")
    assert not Path("prepared/photos").exists()


def test_a_dry_run_leaves_no_run(capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, ["train", DATA, *SMALL, "--name", "dry", "--dry-run"])
    assert "forward and back" in text and not Path("runs/dry").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["train", DATA, *SMALL, "--name", "it"], 2, "never overwritten"),
        (["train", DATA, "--recipe", "smal"], 2, "'small'"),
        (["train", DATA, "--set", "optimizer.bach=3"], 2, "'optimizer.batch'"),
        (["train", DATA, "--device", "cuda:9"], 5, "--device cpu"),
        (["train", "nowhere/photos"], 2, "nowhere/photos"),
        (["resume", "ti"], 2, "'it'"),
        (["resume", "it"], 2, "--epochs 2"),
        (["resume", "it", "--override", "optimizer.learn_rate"], 2, "'optimizer.learning_rate'"),
        (["train", DATA, "--set", "checkpoint.keep=1"], 2, "checkpoint.keep is 1"),
    ],
)
def test_what_is_refused(
    capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, words: str
) -> None:
    message = said(capsys, arguments, code)
    assert words in message and "Traceback" not in message
    assert len(message.strip().splitlines()) <= 3


def test_no_space_and_no_folder_are_found_before_work_starts(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = ["train", str(Path("prepared", "synthetic-16x2-32").resolve()), *SMALL]
    monkeypatch.chdir(tmp_path)
    keep = ["--set", "checkpoint.keep=1000000"]  # more than any disk holds
    message = said(capsys, [*train, *keep, "--name", "large"], code=5)
    assert "GB are free" in message and "checkpoint.keep" in message
    assert not Path("runs").exists()
    Path("runs").write_text("a file where the folder should be")
    message = said(capsys, [*train, "--name", "it"], code=5)
    assert "a file where a folder should be" in message and "\nruns\n" in message


def test_a_folder_without_classes_says_what_training_needs(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "a.jpg").write_bytes(b"x")
    message = said(capsys, ["train", str(tmp_path)], code=3)
    assert "<class>" in message and "predict" in message


def test_changed_data_are_refused_and_can_be_overridden_by_name(
    capsys: pytest.CaptureFixture[str], place: Path
) -> None:
    path = place / "runs" / "it" / "data.json"
    before = path.read_text()
    path.write_text(before.replace(json.loads(before)["fingerprint"], "0" * 64))
    try:
        message = said(capsys, ["resume", "it", "--epochs", "2"], code=6)
        assert "0" * 64 in message and "--override data" in message
    finally:
        path.write_text(before)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            "momentum: 0.9",
            "momentum: 0.8",
            ["optimizer.momentum: 0.9 then, 0.8 now", "--override optimizer.momentum"],
        ),
        ("seed: 0", "seed: 1", ["cannot change", "seed: 0 then, 1 now", "train a new run"]),
        ("batch: 4 images", "batch: 2 images", ["cannot change", "optimizer.batch: 4 images then"]),
    ],
)
def test_a_changed_configuration_is_refused_with_the_difference(
    capsys: pytest.CaptureFixture[str], place: Path, old: str, new: str, words: list[str]
) -> None:
    path = place / "runs" / "it" / "config.yaml"
    before = path.read_text()
    assert old in before
    path.write_text(before.replace(old, new))
    try:
        message = said(capsys, ["resume", "it", "--epochs", "2", "--override", "data"], code=6)
        assert all(word in message for word in words), message
    finally:
        path.write_text(before)


def test_a_checkpoint_of_another_network_or_format_is_refused(
    capsys: pytest.CaptureFixture[str], place: Path
) -> None:
    import safetensors.numpy

    from alexnet.models import checkpoint

    for change, words in [("fc4", "fc4.weight is 3 x 1024, not 2 x 1024"), ("format", "format")]:
        shutil.rmtree("runs/other", ignore_errors=True)
        shutil.copytree("runs/it", "runs/other")
        (path,) = checkpoint.paths(Path("runs/other/checkpoints"))[-1:]
        saved = checkpoint.load(path)
        arrays, state = dict(saved.arrays), dict(saved.state)
        if change == "fc4":
            arrays["fc4.weight"] = np.zeros((3, 1024), np.float32)
            checkpoint.save(path.parent, checkpoint.Checkpoint(saved.step, arrays, state), keep=2)
        else:
            text = json.dumps({"format": 99, "step": saved.step, **state}, sort_keys=True)
            digest = checkpoint._content_hash(arrays, arrays.__getitem__, text)
            path.write_bytes(safetensors.numpy.save(arrays, {"state": text, "sha256": digest}))
        message = said(capsys, ["resume", "other", "--epochs", "2"], code=6)
        assert words in message and "Traceback" not in message
    shutil.rmtree("runs/other")


def test_a_run_ended_before_its_first_checkpoint_begins_at_the_first_step(
    capsys: pytest.CaptureFixture[str], place: Path
) -> None:
    shutil.copytree("runs/it", "runs/young", ignore=shutil.ignore_patterns("*.jsonl", "step-*"))
    said(capsys, ["resume", "young"])
    for name in ("metrics.jsonl", "model/model.safetensors"):
        assert Path("runs/young", name).read_bytes() == Path("runs/it", name).read_bytes()
    assert "starting at the first" in Path("runs/young/log.txt").read_text()
    for path in Path("runs/young/checkpoints").iterdir():
        path.unlink()
    message = said(capsys, ["resume", "young", "--epochs", "2"], code=5)
    assert "no usable checkpoint" in message, "what was lost is not begun again in silence"
    shutil.rmtree("runs/young")


def test_a_finished_run_goes_on_for_longer(capsys: pytest.CaptureFixture[str], place: Path) -> None:
    """With another momentum, and on another machine than the one it was started on: all of it told."""
    config, environment = Path("runs/it/config.yaml"), Path("runs/it/environment.json")
    config.write_text(config.read_text().replace("momentum: 0.9", "momentum: 0.8"))
    then = json.loads(environment.read_text())
    then["versions"]["numba"] = "0.1"
    environment.write_text(json.dumps(then))
    said(capsys, ["resume", "it", "--epochs", "2", "--override", "optimizer.momentum"])
    log = Path("runs/it/log.txt").read_text()
    assert "optimizer.momentum was 0.9, and is 0.8 from here on" in log
    assert "not bit for bit: numba 0.1 then" in log
    assert "the rate here would have been" in log, "a planned fall made longer raises it again"
    rows = [json.loads(line) for line in Path("runs/it/metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows if row["kind"] == "epoch"] == [1, 2]
    steps = [row["step"] for row in rows if row["kind"] == "step"]
    assert steps == list(range(1, steps[-1] + 1))
