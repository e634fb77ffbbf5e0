"""A step on a GPU against the same step on a CPU; without a GPU, its parts run one by one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from training.conftest import taken

from alexnet.base.errors import NumericsError
from alexnet.config import (
    AugmentationConfig,
    CheckpointConfig,
    Epochs,
    Images,
    OptimizerConfig,
    RunConfig,
    StartConfig,
    Steps,
)
from alexnet.conventions import convention
from alexnet.loading.loader import Loader
from alexnet.models.checkpoint import newest
from alexnet.network import AlexNet
from alexnet.prepared import PreparedDataset
from alexnet.runs import Run
from alexnet.training import train as training
from alexnet.training.eager import EagerStep
from alexnet.training.mesh import Placed

pytest.importorskip("triton", reason="Triton is not installed")

from alexnet.loading import gpu as loading
from alexnet.training.gpu import GpuStep
from alexnet.training.update import update

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
SGD = OptimizerConfig(batch=Images(4), learning_rate=0.01)
ERRORS = {"loss": 2.0, "top1_error": 0.75, "top5_error": 0.0}
# Of these, a resumed bf16 run is the same only where Triton rounds as PyTorch does; its interpreter cuts.
needs_gpu = pytest.mark.skipif(DEVICE == "cpu", reason="no GPU here")


@pytest.fixture(autouse=True)
def few_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The interpreter takes a millisecond a program, however much each does."""
    if DEVICE == "cpu":
        monkeypatch.setattr(loading, "PER_PROGRAM", 1 << 16)


@pytest.fixture
def loader(prepared: Path) -> Loader:
    dataset = PreparedDataset.open(prepared)
    return Loader(dataset.split("train"), dataset.statistics, AugmentationConfig(), 4, seed=0)


def narrow(network: str = "paper") -> AlexNet:
    kernels = {
        "conv1": 16,
        "conv2": 16,
        "conv3": 16,
        "conv4": 16,
        "conv5": 16,
        "fc6": 32,
        "fc7": 32,
    }
    about = convention(network).with_kernels(kernels)
    return AlexNet(4, about, StartConfig(rule="he", gain=0.8, bias=0.0))


def on_gpu(precision: str = "fp32", graphs: bool = False, network: str = "paper") -> GpuStep:
    return GpuStep(Placed(narrow(network).to(DEVICE), SGD), 0, precision, graphs)


def parameters(network: AlexNet) -> dict[str, Tensor]:
    return {name: w.detach().float().cpu().clone() for name, w in network.named_parameters()}


@pytest.mark.parametrize("shape", [(70, 33), (1500,)], ids=["weights decay", "biases do not"])
@pytest.mark.parametrize("working", [torch.float32, torch.bfloat16], ids=str)
def test_the_update_is_the_papers(shape: tuple[int, ...], working: torch.dtype) -> None:
    w, v, g = torch.randn(3, *shape, generator=torch.Generator().manual_seed(1)).unbind()
    rate, momentum, decay = 0.02, 0.9, 0.0005 if len(shape) > 1 else 0.0
    g = g.to(working)
    v_after = momentum * v.double() - decay * rate * w.double() - rate * g.double()
    w_after = w.double() + v_after
    ours, velocity = w.to(DEVICE), v.to(DEVICE)
    copied = ours if working == torch.float32 else ours.to(working)
    copied.grad = g.to(DEVICE)
    rates = torch.tensor([rate, rate * 0.0005], device=DEVICE)
    go = torch.ones(1, dtype=torch.int32, device=DEVICE)
    before = ours.clone(), velocity.clone(), copied.clone()
    update(ours, velocity, copied, rates, 0 * go, momentum)
    for one, other in zip(before, (ours, velocity, copied), strict=True):
        assert torch.equal(one, other), "nothing moves without permission"
    update(ours, velocity, copied, rates, go, momentum)
    torch.testing.assert_close(velocity.cpu().double(), v_after, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(ours.cpu().double(), w_after, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(copied.cpu().float(), ours.cpu(), rtol=2**-7, atol=0)


def test_steps_are_the_cpus(loader: Loader) -> None:
    cpus, ours = EagerStep(Placed(narrow(), SGD), 0), on_gpu()
    expected = taken(cpus, loader, range(7, 11), rate=0.01)  # across the border of an epoch
    found = taken(ours, loader, range(7, 11), rate=0.01)
    assert [one.step for one in found] == [7, 8, 9, 10]
    for one, other in zip(found, expected, strict=True):
        assert (one.rate, one.wrong) == (other.rate, other.wrong)
        assert one.loss == pytest.approx(other.loss, rel=1e-4)
        assert one.norm == pytest.approx(other.norm, rel=1e-3)
    for name, w in parameters(cpus.network).items():
        torch.testing.assert_close(parameters(ours.network)[name], w, rtol=1e-3, atol=1e-5)


def test_rates_by_layer_are_the_cpus(loader: Loader) -> None:
    """Factors that change with the epoch, other decays, and layers that stay as they are."""
    sgd = replace(
        SGD,
        weight_decay=0.01,
        bias_rate=2.0,
        rates="conv1: 0.5, fc6-fc7: 3, fc8: 0 from 1",
        decays="conv3: 20",
        freeze="conv1",
    )
    cpus, ours = (
        EagerStep(Placed(narrow(), sgd), 0),
        GpuStep(Placed(narrow().to(DEVICE), sgd), 0, "fp32", False),
    )
    start = parameters(cpus.network)
    for step in (cpus, ours):
        for batch in step.loader(loader).batches(0, 3):
            step.take(batch, 0.01, epoch=float(batch.step))
            if batch.step == 0:
                step.finish()
                after_one = parameters(step.network)
        step.finish()
        found = parameters(step.network)
        assert torch.equal(found["conv1.weight"], start["conv1.weight"])
        assert not torch.equal(found["conv2.weight"], start["conv2.weight"])
        assert not torch.equal(after_one["fc8.weight"], start["fc8.weight"])
    for name, w in parameters(cpus.network).items():
        torch.testing.assert_close(parameters(ours.network)[name], w, rtol=1e-3, atol=1e-5)


def test_bfloat16_stays_near_float32(loader: Loader) -> None:
    exact, ours = on_gpu("fp32"), on_gpu("bf16")
    expected = taken(exact, loader, range(3), rate=1e-5)
    found = taken(ours, loader, range(3), rate=1e-5)
    for one, other in zip(found, expected, strict=True):
        assert one.loss == pytest.approx(other.loss, rel=0.05)
        assert one.norm == pytest.approx(other.norm, rel=0.15)
    assert ours.network.conv1.weight.dtype == torch.bfloat16
    for w, working in zip(ours.placed.whole.parameters(), ours.network.parameters(), strict=True):
        assert w.dtype == torch.float32
        torch.testing.assert_close(working.float(), w, rtol=2**-7, atol=0)


def test_an_outcome_is_told_one_step_late_and_the_last_update_at_the_end(loader: Loader) -> None:
    step = on_gpu()
    batches = step.loader(loader).batches(0, 2)
    start = parameters(step.network)
    assert step.take(next(batches), 0.01) == []
    begun = parameters(step.network)
    assert not torch.equal(begun["conv5.weight"], start["conv5.weight"])
    assert torch.equal(begun["fc6.weight"], start["fc6.weight"]), "it waits for the next step"
    (first,) = step.take(next(batches), 0.01)
    assert not torch.equal(parameters(step.network)["fc6.weight"], start["fc6.weight"])
    (second,) = step.finish()
    assert (first.step, second.step) == (0, 1)
    done = parameters(step.network)
    assert step.finish() == [] and torch.equal(
        parameters(step.network)["fc6.weight"], done["fc6.weight"]
    ), "finished once and for all"


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_bad_number_stops_every_update_from_then_on(
    loader: Loader, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    step, good = on_gpu(precision), on_gpu(precision)
    (first,) = taken(good, loader, range(1), rate=0.01)
    outcomes = []
    for batch in step.loader(loader).batches(0, 3):
        if batch.step == 1:
            batch.mean_HWC[100, 100, 0] = float("inf")
        outcomes += step.take(batch, 0.01)
        batch.mean_HWC[100, 100, 0] = 0
    outcomes += step.finish()
    assert [one.is_finite for one in outcomes] == [True, False, True]
    for trained, expected in ((step.network, good.network), (step.placed.whole, good.placed.whole)):
        for name, w in parameters(trained).items():
            assert torch.equal(w, parameters(expected)[name]), f"{name} is that of the first step"
    for name, w in step.placed.whole.named_parameters():
        other = good.placed.optimizer.velocity(good.placed.whole.get_parameter(name))
        assert torch.equal(step.placed.optimizer.velocity(w), other)


@pytest.fixture
def new_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Run]:
    """Runs in a folder of their own."""
    monkeypatch.chdir(tmp_path)
    return lambda name: Run.create(name, RunConfig(), {})


@pytest.mark.parametrize("precision", ["fp32", pytest.param("bf16", marks=needs_gpu)])
def test_a_resumed_run_is_the_uninterrupted_one(
    new_run: Callable[[str], Run], loader: Loader, precision: str
) -> None:
    def config(steps: int) -> RunConfig:
        length = Epochs(4 * steps / loader.order.count)
        return RunConfig(optimizer=SGD, length=length, checkpoint=CheckpointConfig(Steps(2)))

    steps = [on_gpu(precision, graphs=DEVICE == "cuda") for _ in range(3)]
    torch.use_deterministic_algorithms(DEVICE == "cuda")
    whole, broken = new_run("whole"), new_run("broken")
    validated: list[torch.dtype] = []

    def validate(network: AlexNet) -> dict[str, float]:
        validated.append(network.conv1.weight.dtype)
        return ERRORS

    training.train(whole, config(5), loader, steps[0], validate)
    training.train(broken, config(2), loader, steps[1], validate)
    training.train(broken, config(5), loader, steps[2], validate, True)
    torch.use_deterministic_algorithms(False)
    saved, expected = newest(broken.checkpoints), newest(whole.checkpoints)
    assert saved.step == expected.step == 5
    for name, value in expected.arrays.items():
        assert saved.arrays[name].tobytes() == value.tobytes(), name
    rows = [row for row in broken.metrics() if row["kind"] == "step"]
    assert rows == [row for row in whole.metrics() if row["kind"] == "step"]
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5]
    assert set(validated) == {torch.bfloat16 if precision == "bf16" else torch.float32}


def test_a_bad_number_ends_the_run_with_the_state_before_it(
    new_run: Callable[[str], Run], loader: Loader
) -> None:
    run, step = new_run("it"), on_gpu(graphs=DEVICE == "cuda")
    network = step.placed.whole
    network.fc7.bias.register_hook(lambda g: g * float("inf"))
    before = parameters(network)
    config = RunConfig(optimizer=SGD, length=Epochs(16 / loader.order.count))
    with pytest.raises(NumericsError) as error:
        training.train(run, config, loader, step, lambda _: ERRORS)
    assert "step 1" in error.value.what and "gradient of fc7.bias" in error.value.what
    for name, w in parameters(network).items():
        assert torch.equal(w, before[name])
    assert newest(run.checkpoints).step == 0 and not run.metrics()


@needs_gpu
@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16"])
@pytest.mark.parametrize("network", ["paper", "original2012", "onetower"])
def test_recorded_steps_are_those_done_one_by_one(
    loader: Loader, precision: str, network: str
) -> None:
    torch.use_deterministic_algorithms(True)
    try:
        recorded, single = (on_gpu(precision, graphs, network) for graphs in (True, False))
        found = taken(recorded, loader, range(6), rate=0.01)
        assert found == taken(single, loader, range(6), rate=0.01)
    finally:
        torch.use_deterministic_algorithms(False)
    for name, w in parameters(recorded.network).items():
        assert torch.equal(w, parameters(single.network)[name])
