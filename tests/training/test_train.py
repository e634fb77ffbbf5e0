"""The loop on real images: it learns, it keeps its books, it refuses bad numbers."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torture.narrow_run import KERNELS
from training.conftest import taken

from alexnet.base.errors import Stopped
from alexnet.config import (
    AugmentationConfig,
    Epochs,
    Images,
    OptimizerConfig,
    RunConfig,
    StartConfig,
)
from alexnet.conventions import PAPER, convention
from alexnet.loading.loader import Loader
from alexnet.models.checkpoint import newest
from alexnet.network import AlexNet
from alexnet.network.alexnet import as_batch
from alexnet.network.dropout import address, masks_of
from alexnet.prepared import PreparedDataset, prepare
from alexnet.recipes import recipe
from alexnet.runs import Run
from alexnet.sources import open_source
from alexnet.training import records
from alexnet.training import train as training
from alexnet.training.eager import EagerStep
from alexnet.training.mesh import Placed

SGD = OptimizerConfig(batch=Images(8))
ERRORS = {"loss": 2.0, "top1_error": 0.75, "top5_error": 0.0}


@pytest.fixture
def loader(prepared: Path) -> Loader:
    dataset = PreparedDataset.open(prepared)
    return Loader(dataset.split("train"), dataset.statistics, AugmentationConfig(), 8, seed=0)


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    return Run.create("it", RunConfig(), {})


def narrow(rule: str = "he") -> AlexNet:
    return AlexNet(4, PAPER.with_kernels(KERNELS), StartConfig(rule=rule, gain=0.8, bias=0.0))


def config(loader: Loader, steps: float, rate: float = 0.01) -> RunConfig:
    return RunConfig(
        optimizer=OptimizerConfig(batch=Images(8), learning_rate=rate),
        length=Epochs(steps * 8 / loader.order.count),
    )


def test_each_row_is_the_step_done_by_hand(run: Run, loader: Loader) -> None:
    network, twin = narrow(), narrow()
    training.train(
        run, config(loader, 3), loader, EagerStep(Placed(network, SGD), 0), lambda _: ERRORS
    )
    steps = [row for row in run.metrics() if row["kind"] == "step"]
    assert [row["step"] for row in steps] == [1, 2, 3]
    velocity = {name: torch.zeros_like(value) for name, value in twin.named_parameters()}
    for row in steps:
        batch = loader.make(row["step"] - 1)
        with masks_of(twin, address(0, row["step"] - 1)):
            logits = twin(as_batch(batch.x_BHWC))
        loss = F.cross_entropy(logits, torch.tensor(batch.labels_B))
        assert row["loss"] == pytest.approx(loss.item(), rel=1e-5)
        twin.zero_grad()
        loss.backward()
        with torch.no_grad():
            for name, w in twin.named_parameters():
                decay = 0.0005 * w if w.ndim > 1 else 0.0
                velocity[name] = 0.9 * velocity[name] - 0.01 * decay - 0.01 * w.grad
                w += velocity[name]
    for name, value in network.named_parameters():
        torch.testing.assert_close(value, twin.get_parameter(name), rtol=1e-4, atol=1e-6)
    assert newest(run.checkpoints).step == 3


def test_epoch_rows_average_their_steps(run: Run, loader: Loader) -> None:
    count = loader.order.count
    training.train(
        run,
        config(loader, 2 * count / 8),
        loader,
        EagerStep(Placed(narrow(), SGD), 0),
        lambda _: ERRORS,
    )
    rows = run.metrics()
    epochs = [row for row in rows if row["kind"] == "epoch"]
    steps = [row for row in rows if row["kind"] == "step"]
    assert [row["epoch"] for row in epochs] == [1, 2]
    first_end = -(-count // 8)
    assert epochs[0]["step"] == first_end
    mean = np.mean([row["loss"] for row in steps[:first_end]])
    assert epochs[0]["train_loss"] == pytest.approx(mean)
    assert epochs[0]["val_top1_error"] == 0.75


@pytest.mark.parametrize("name", ["figure1_relu", "figure1_tanh"])
def test_both_lines_of_figure_1_learn_from_the_first_steps(name: str, tmp_path: Path) -> None:
    """At a rate or from a start that is too large, every ReLU is off for good after three steps."""
    about = recipe(name).config
    dataset = prepare(open_source("synthetic:320x8"), tmp_path / "set", side=32)
    loader = Loader(
        dataset.split("train"), dataset.statistics, about.augmentation, 128, seed=0, crop=32
    )
    layers = convention(about.network.convention, 8, about.network.variant)
    step = EagerStep(Placed(AlexNet(8, layers, about.network.start), about.optimizer), seed=0)
    outcomes = taken(step, loader, range(20), about.optimizer.learning_rate)
    assert np.mean([one.loss for one in outcomes[-10:]]) < np.log(8) / 2


def test_training_does_not_load_the_compiler() -> None:
    """Seconds of every program that trains or looks at an image."""
    program = (
        "import sys, torch\n"
        "from alexnet.network import AlexNet\n"
        "from alexnet.training.optimizer import PaperSGD\n"
        "net = AlexNet(2)\n"
        "sgd = PaperSGD(net.parameters(), 0.01, 0.9, 0.0005)\n"
        "sgd.zero_grad()\n"
        "net(torch.ones(1, 3, 224, 224)).sum().backward()\n"
        "sgd.step()\n"
        "assert 'torch._dynamo' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_it_learns_the_synthetic_classes(run: Run, loader: Loader) -> None:
    training.train(
        run,
        config(loader, 60, rate=0.005),
        loader,
        EagerStep(Placed(narrow(), SGD), 0),
        lambda _: ERRORS,
    )
    losses = [row["loss"] for row in run.metrics() if row["kind"] == "step"]
    assert np.mean(losses[-5:]) < 0.7 * np.mean(losses[:5])


def test_it_ends_with_the_training_error_it_was_to_reach(run: Run, loader: Loader) -> None:
    settings = replace(config(loader, 60, rate=0.005), length=Epochs(6))
    whole = Run.create("whole", settings, {})
    training.train(whole, settings, loader, EagerStep(Placed(narrow(), SGD), 0), lambda _: ERRORS)
    errors = [row["train_top1_error"] for row in whole.metrics() if row["kind"] == "epoch"]
    target = min(errors[:4])
    sooner = replace(settings, until_error=target)
    for resume in (False, True):  # which has nothing left to do
        step = EagerStep(Placed(narrow(), SGD), 0)
        training.train(run, sooner, loader, step, lambda _: ERRORS, resume)
        found = [row["train_top1_error"] for row in run.metrics() if row["kind"] == "epoch"]
        assert found == errors[: errors.index(target) + 1] and len(found) < len(errors)
        assert newest(run.checkpoints).step == run.metrics()[-1]["step"]


def test_a_stalled_start_is_told(
    run: Run, loader: Loader, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(records, "STALL_STEPS", 5)
    network = narrow()
    with torch.no_grad():
        network.fc8.weight.zero_()
    training.train(
        run,
        config(loader, 6, rate=1e-12),
        loader,
        EagerStep(Placed(network, SGD), 0),
        lambda _: ERRORS,
    )
    events = [row for row in run.metrics() if row["kind"] == "event"]
    assert len(events) == 1 and events[0]["step"] == 5 and "1.386" in events[0]["text"]
    assert "stalled" in capsys.readouterr().err


def test_epochs_that_end_within_one_step_are_told_together(
    tmp_path: Path, loader: Loader, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """Else they look like a gap; and what is no whole epoch is called what it is."""
    monkeypatch.chdir(tmp_path)
    count = loader.order.count
    for batch, epochs, ends in (
        (3 * count, 6, ["epochs 1 to 3", "epochs 4 to 6"]),
        (8, 8 / count, [f"after {8 / count:.3g} epochs"]),
    ):
        sgd = OptimizerConfig(batch=Images(batch))
        settings = RunConfig(optimizer=sgd, length=Epochs(epochs))
        several = Loader(loader.split, loader.statistics, AugmentationConfig(), batch, seed=0)
        step = EagerStep(Placed(narrow(), sgd), 0)
        training.train(
            Run.create(str(batch), settings, {}), settings, several, step, lambda _: ERRORS
        )
        said = [line for line in capsys.readouterr().err.splitlines() if "validation" in line]
        assert [line.partition(":")[0] for line in said] == ends


def test_a_signal_while_validating_puts_the_epoch_off(run: Run, loader: Loader) -> None:
    """Then the state is that before it, and resumed it is the run that was never stopped."""
    settings = RunConfig(optimizer=OptimizerConfig(batch=Images(8)), length=Epochs(2))
    errors = iter([ERRORS, {**ERRORS, "loss": 1.0}])
    whole = Run.create("whole", settings, {})
    training.train(
        whole, settings, loader, EagerStep(Placed(narrow(), SGD), 0), lambda _: next(errors)
    )

    def interrupted(_: AlexNet) -> dict[str, float]:
        os.kill(os.getpid(), signal.SIGTERM)
        raise AssertionError("the signal comes first")

    with pytest.raises(Stopped) as stopped:
        training.train(run, settings, loader, EagerStep(Placed(narrow(), SGD), 0), interrupted)
    assert stopped.value.exit_code == 143
    assert stopped.value.remedy == "Continue with: alexnet resume it"
    assert [row["kind"] for row in run.metrics()] == ["step"] * 5
    with pytest.raises(Stopped):
        training.train(
            run, settings, loader, EagerStep(Placed(narrow(), SGD), 0), interrupted, resume=True
        )
    errors = iter([ERRORS, {**ERRORS, "loss": 1.0}])
    training.train(
        run,
        settings,
        loader,
        EagerStep(Placed(narrow(), SGD), 0),
        lambda _: next(errors),
        resume=True,
    )
    assert run.metrics_path.read_bytes() == whole.metrics_path.read_bytes()
    ours, theirs = newest(run.checkpoints), newest(whole.checkpoints)
    assert ours.state == theirs.state
    assert all(ours.arrays[name].tobytes() == w.tobytes() for name, w in theirs.arrays.items())
