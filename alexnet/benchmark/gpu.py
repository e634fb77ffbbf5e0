"""Everything about the GPU in one command: is it right, how fast is it, where does the time go.

    python alexnet/benchmark/gpu.py -o gpu.json            on a GPU, within eight minutes
    python alexnet/benchmark/gpu.py -o quick.json --quick  this script itself, in Triton's interpreter

Every part that fails leaves its error in the file, and the next one begins; the file is written anew
after each, so that whatever ends the run, what was found by then is there. Rates are images per
second of the whole training step: input, forward, backward, check, update.

Shape letters: N, B images, C maps, H x W positions, U units, K classes.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import statistics
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if "--quick" in sys.argv:
    os.environ.setdefault("TRITON_INTERPRET", "1")
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from alexnet import paper
from alexnet.base.randomness import Purpose, bernoulli
from alexnet.benchmark.pytorch_network import pytorch_alexnet
from alexnet.config import AugmentationConfig, OptimizerConfig, StartConfig
from alexnet.conventions import PAPER
from alexnet.loading import gpu as loading
from alexnet.loading.loader import Loader
from alexnet.network import AlexNet
from alexnet.network.conv import plain_convolve
from alexnet.network.dropout import address
from alexnet.network.kernels.gpu import convolution
from alexnet.network.kernels.gpu.block import gpu_block
from alexnet.network.kernels.gpu.dropout import gpu_relu_dropout
from alexnet.network.lrn import LRN, NONE, plain_block
from alexnet.network.precision import dtype_of, set_products
from alexnet.network.table import is_connected, training_flops
from alexnet.prepared.dataset import Split
from alexnet.prepared.shards import Shard
from alexnet.runs import environment
from alexnet.training.gpu import GpuStep
from alexnet.training.mesh import Placed
from alexnet.training.step import EagerStep
from alexnet.training.update import update

ILSVRC = 1_281_167  # training images of ILSVRC-2012
MINUTES = 7.5
SGD = OptimizerConfig()
NARROW = {"conv1": 16, "conv2": 16, "conv3": 16, "conv4": 16, "conv5": 16, "fc6": 32, "fc7": 32}


@dataclass(frozen=True)
class Scale:
    """How much is measured, and where."""

    device: torch.device
    batches: tuple[int, ...]
    images: int  # of the made-up set
    checked: int  # images in each check
    seconds: float  # of each measured block
    blocks: int
    kernels: dict[str, int]  # of a narrower network

    @property
    def is_quick(self) -> bool:
        """Whether only the script itself is tried."""
        return self.device.type != "cuda"

    def network(self) -> AlexNet:
        """The network on the CPU."""
        # So few kernels with the paper's start have gradients that are lost beside biases of one.
        start = StartConfig(rule="he", gain=0.6, bias=0.0) if self.is_quick else StartConfig()
        classes = self.kernels.get("fc8", paper.CLASSES)
        return AlexNet(classes, PAPER.with_kernels(self.kernels), start)


FULL = Scale(torch.device("cuda"), (128, 256, 1024), 8192, 8, 1.0, 3, {})
QUICK = Scale(torch.device("cpu"), (2,), 4, 1, 0.0, 1, {**NARROW, "fc8": 4})


class Report:
    """What was found, in a file that is never older than the last part."""

    def __init__(self, path: Path) -> None:
        self.path, self.begun = path, time.monotonic()
        self.found: dict[str, Any] = {"errors": {}}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Do a part whatever becomes of it."""
        begun = time.monotonic()
        try:
            if begun - self.begun > 60 * MINUTES:
                raise TimeoutError(f"left out: {MINUTES} minutes are over")
            yield
        except Exception as error:
            self.found["errors"][name] = traceback.format_exc()
            print(f"! {name}: {type(error).__name__}: {str(error)[:300]}", file=sys.stderr)
        else:
            print(f"  {name}: {time.monotonic() - begun:.1f} s", file=sys.stderr)
        self.path.write_text(json.dumps(self.found, indent=1) + "\n")

    def add(self, section: str, row: dict[str, Any]) -> None:
        """One more row of a section."""
        print(f"{section}: {json.dumps(row)}", flush=True)
        self.found.setdefault(section, []).append(row)


def made_split(images: int) -> Split:
    """Random images in memory, as those of a prepared split whose pages are cached."""
    draw = np.random.default_rng(0)
    shape = (images, paper.SIDE, paper.SIDE, paper.CHANNELS)
    images_NHWC = draw.integers(0, 256, shape, dtype=np.uint8)
    labels_N = draw.integers(0, 4, images)
    shard = Shard(Path("made up"), labels_N, None, None, images_NHWC, paper.SIDE)
    return Split("train", labels_N, (shard,), paper.SIDE, np.zeros(1, np.int64))


class MadeStatistics:
    """A mean image and colour components like those of photographs."""

    mean_HWC = np.random.default_rng(1).uniform(100, 130, (256, 256, 3)).astype(np.float32)
    eigenvectors_33 = np.linalg.qr(np.random.default_rng(2).normal(size=(3, 3)))[0]
    deviations_3 = np.array(paper.IMAGENET_COLOUR_DEVIATIONS)


class MadeBatches:
    """One batch on the device again and again: training without an input pipeline."""

    def __init__(self, batch: int, device: torch.device) -> None:
        self.cuts_B8 = torch.zeros(batch, 8, dtype=torch.int32, device=device)
        self.labels_B = torch.arange(batch, device=device) % 4
        self.step = -1

    def batches(self, first: int, last: int) -> Iterator[MadeBatches]:
        for self.step in range(first, last):
            yield self

    def cut_into(self, x_BCHW: Tensor) -> None:
        if self.step == 0:
            x_BCHW.normal_(0, 64)


# --- Is it right? ---------------------------------------------------------------------------------


def error_of(found: Tensor, expected: Tensor) -> float:
    """The largest difference as a share of the largest number."""
    one, other = found.detach().double(), expected.detach().double()
    return float((one - other).abs().max() / other.abs().max().clamp_min(1e-30))


def length_of_error(found: Tensor, expected: Tensor) -> float:
    """The length of the difference as a share of the length."""
    return float((found.detach().double() - expected).norm() / expected.double().norm())


def check(report: Report, name: str, error: float, limit: float) -> None:
    report.add("checks", {"what": name, "error": error, "limit": limit, "ok": error <= limit})


def block_shapes(scale: Scale) -> list[tuple[str, tuple[int, int], LRN]]:
    """Layer, (maps, side) and normalization of the three blocks."""
    if scale.is_quick:
        return [("conv1", (16, 3), LRN()), ("conv5", (16, 3), NONE)]
    return [("conv1", (96, 55), LRN()), ("conv2", (256, 27), LRN()), ("conv5", (256, 13), NONE)]


def block_numbers(
    scale: Scale, maps: int, side: int, images: int, dtype: torch.dtype
) -> tuple[Tensor, Tensor, Tensor]:
    """x, bias, and the gradient of the output."""
    out = (side - paper.POOL.size) // paper.POOL.stride + 1
    torch.manual_seed(1)
    x = 40 * torch.randn(images, maps, side, side, device=scale.device)
    g = torch.randn(images, maps, out, out, device=scale.device)
    bias = torch.randn(maps, device=scale.device)
    last = torch.channels_last
    return (
        x.to(dtype, memory_format=last).requires_grad_(),
        bias.to(dtype).requires_grad_(),
        g.to(dtype, memory_format=last),
    )


def our_block(x: Tensor, bias: Tensor, lrn: LRN) -> Tensor:
    settings = (paper.COLUMNS, lrn.n // 2, lrn.k, lrn.alpha, lrn.beta, *paper.POOL)
    y: Tensor = gpu_block(x, bias, *settings)[0]
    return y


def their_block(x: Tensor, bias: Tensor, lrn: LRN) -> Tensor:
    return plain_block(x, bias, lrn, paper.COLUMNS, *paper.POOL)


def check_blocks(scale: Scale, report: Report) -> None:
    for dtype, limit in ((torch.float32, 1e-5), (torch.bfloat16, 2**-7)):
        for name, (maps, side), lrn in block_shapes(scale):
            x, bias, g = block_numbers(scale, maps, side, scale.checked, dtype)
            y = our_block(x, bias, lrn)
            found = (y, *torch.autograd.grad(y, (x, bias), g))
            exact = [one.detach().double().requires_grad_() for one in (x, bias)]
            y = their_block(exact[0], exact[1], lrn)
            expected = (y, *torch.autograd.grad(y, exact, g.double()))
            for part, one, other in zip(("y", "dx", "dbias"), found, expected, strict=True):
                check(report, f"block {name} {part} {dtype}", error_of(one, other), limit)


def check_masks(scale: Scale, report: Report) -> None:
    for dtype in (torch.float32, torch.bfloat16):
        shape = (scale.checked, 4096)
        mask = torch.from_numpy(bernoulli(shape, 0.5, 7, Purpose.DROPOUT, time=123_456, lane=5))
        x = torch.randn(shape, generator=torch.Generator().manual_seed(1)).to(dtype)
        y = gpu_relu_dropout(x.to(scale.device), address(7, 123_456).to(scale.device), 5, 4096, 0)
        check(report, f"dropout {dtype}", error_of(y.cpu(), F.relu(x) * mask.to(dtype)), 0.0)


def loader_of(scale: Scale, batch: int, split: Split) -> Loader:
    statistics: Any = MadeStatistics()
    return Loader(split, statistics, AugmentationConfig(), batch, seed=3)


def check_cuts(scale: Scale, report: Report) -> None:
    batch = min(scale.checked, scale.images)
    loader = loader_of(scale, batch, made_split(2 * batch))
    for resident in (True, False):
        for one in loading.DeviceLoader(loader, scale.device, resident).batches(1, 4):
            x = torch.empty(batch, 3, 224, 224, device=scale.device)
            x = x.contiguous(memory_format=torch.channels_last)
            one.cut_into(x)
            expected = torch.from_numpy(loader.make(one.step).x_BHWC)
            error = error_of(x.permute(0, 2, 3, 1).cpu(), expected)
            check(report, f"crops, {'resident' if resident else 'streamed'}", error, 0.0)


def check_update(scale: Scale, report: Report) -> None:
    size = (64, 33) if scale.is_quick else (4096, 4096)
    w, v, g = torch.randn(3, *size, device=scale.device).unbind()
    rates = torch.tensor([0.01, 0.01 * 0.0005], device=scale.device)
    v_after = 0.9 * v.double() - 0.0005 * 0.01 * w.double() - 0.01 * g.double()
    w_after = w.double() + v_after
    working = w.bfloat16()
    working.grad = g.bfloat16()
    v_after += 0.01 * (g.double() - working.grad.double())
    w_after += 0.01 * (g.double() - working.grad.double())
    update(w, v, working, rates, torch.ones(1, dtype=torch.int32, device=scale.device), 0.9)
    check(report, "update of the velocity", error_of(v, v_after), 1e-6)
    check(report, "update of the weights", error_of(w, w_after), 1e-6)
    check(report, "the bfloat16 copy", error_of(working, w), 2**-7)


def check_convolutions(scale: Scale, report: Report) -> None:
    set_products("fp32")
    network = scale.network()
    for shape in filter(lambda shape: not is_connected(shape.layer), network.shapes):
        x = torch.randn(scale.checked, *shape.inputs, device=scale.device, dtype=torch.float64)
        x = x.contiguous(memory_format=torch.channels_last)
        weight, bias = network.weight_and_bias(shape.layer.name)
        w, b = (value.detach().to(scale.device, torch.float64) for value in (weight, bias))
        expected = plain_convolve(x, w, b, shape.layer)
        for name, way in convolution.ways_of(x, w, shape.layer).items():
            found = way(x.float(), w.float(), b.float(), shape.layer)
            check(report, f"{shape.layer.name} {name}", error_of(found, expected), 1e-5)


def check_steps(scale: Scale, report: Report) -> None:
    """Steps of every precision beside float32 steps on the CPU; recorded ones beside single ones."""
    loader = loader_of(scale, 2 * scale.checked, made_split(4 * scale.checked))
    cpus = EagerStep(Placed(scale.network(), SGD), 0)
    expected = [one for batch in loader.batches(0, 4) for one in cpus.take(batch, 0.01)]
    limits = {"fp32": (1e-3, 0.01), "tf32": (0.01, 0.1), "bf16": (0.03, 0.5)}
    if scale.is_quick:  # few kernels average little of the rounding
        limits["bf16"] = (0.03, 0.8)
    torch.use_deterministic_algorithms(not scale.is_quick)
    try:
        for precision in ("fp32", "bf16") if scale.is_quick else limits:
            ways = {}
            for graphs in (False,) if scale.is_quick else (False, True):
                step = GpuStep(Placed(scale.network().to(scale.device), SGD), 0, precision, graphs)
                batches = step.loader(loader).batches(0, 4)
                outcomes = [one for batch in batches for one in step.take(batch, 0.01)]
                outcomes += step.finish()
                ways[graphs] = (
                    outcomes,
                    [w.detach().clone() for w in step.placed.whole.parameters()],
                )
            losses = [abs(a.loss / b.loss - 1) for a, b in zip(outcomes, expected, strict=True)]
            check(report, f"losses {precision}", max(losses), limits[precision][0])
            for name, w in cpus.network.named_parameters():
                ours = step.placed.optimizer.velocity(step.placed.whole.get_parameter(name)).cpu()
                error = length_of_error(ours, cpus.placed.optimizer.velocity(w))
                check(report, f"velocity of {name}, {precision}", error, limits[precision][1])
            if len(ways) == 2:
                same = ways[False][0] == ways[True][0] and all(
                    torch.equal(a, b) for a, b in zip(ways[False][1], ways[True][1], strict=True)
                )
                check(report, f"recorded {precision}: the same bits", float(not same), 0.0)
    finally:
        torch.use_deterministic_algorithms(False)


# --- How fast is it? ------------------------------------------------------------------------------


def synchronize(scale: Scale) -> None:
    if not scale.is_quick:
        torch.cuda.synchronize()


def begin_afresh(scale: Scale) -> None:
    """Give back what the part before took."""
    gc.collect()
    if not scale.is_quick:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def rate_of(scale: Scale, do: Callable[[], object], batch: int) -> dict[str, float]:
    """Images per second of a step done again and again: median, least, most."""
    do()
    synchronize(scale)
    begun = time.perf_counter()
    for _ in range(1 if scale.is_quick else 5):
        do()
    synchronize(scale)
    steps = max(1, int(scale.seconds / ((time.perf_counter() - begun) / 5)))
    rates = []
    for _ in range(scale.blocks):
        begun = time.perf_counter()
        for _ in range(steps):
            do()
        synchronize(scale)
        rates.append(batch * steps / (time.perf_counter() - begun))
    middle = statistics.median(rates)
    return {
        "images_per_second": round(middle, 1),
        "least": round(min(rates), 1),
        "most": round(max(rates), 1),
        "milliseconds_per_step": round(1000 * batch / middle, 4),
    }


def measured_row(scale: Scale, about: dict[str, Any], found: dict[str, float]) -> dict[str, Any]:
    rate = found["images_per_second"]
    memory = 0 if scale.is_quick else torch.cuda.max_memory_allocated()
    return {
        **about,
        **found,
        "minutes_for_90_epochs": round(paper.EPOCHS * ILSVRC / rate / 60, 1),
        "tflops": round(training_flops() * rate / 1e12, 2),
        "peak_memory_gb": round(memory / 1e9, 2),
    }


def measure_training(
    scale: Scale, report: Report, split: Split, batch: int, precision: str, source: str
) -> None:
    """One configuration: input that is made up, streamed from memory, or resident on the device."""
    begin_afresh(scale)
    step = GpuStep(
        Placed(scale.network().to(scale.device), SGD),
        0,
        precision,
        graphs=not scale.is_quick,
        resident=source == "resident",
    )
    made = MadeBatches(batch, scale.device)
    images = made if source == "synthetic" else step.loader(loader_of(scale, batch, split))
    batches = images.batches(0, 1_000_000)
    found = rate_of(scale, lambda: step.take(next(batches), 1e-5), batch)  # type: ignore[arg-type]
    step.finish()
    about = {"batch": batch, "precision": precision, "input": source}
    if source == "streamed":
        about["seconds_waited"] = round(images.waited, 3)  # type: ignore[union-attr]
    report.add("training", measured_row(scale, about, found))
    batches.close()  # type: ignore[union-attr]


def measure_parts(scale: Scale, report: Report, batch: int) -> None:
    """Each part of a bf16 step by itself, as a recorded graph: milliseconds."""
    device, precision = scale.device, "fp32" if scale.is_quick else "bf16"
    step = GpuStep(Placed(scale.network().to(device), SGD), 0, precision, graphs=not scale.is_quick)
    split = made_split(batch)
    (one,) = step.loader(loader_of(scale, batch, split)).batches(0, 1)
    step.take(one, 1e-5)
    step.finish()
    network, x, labels_B = step.network, step._x, step._labels_B
    parameters = list(network.parameters())

    def forward() -> Tensor:
        logits = network.connected(network.convolved(x), step._address_3).float()
        return F.cross_entropy(logits, labels_B)

    def gradients() -> list[Tensor]:
        return [w.grad for w in parameters if w.grad is not None]

    works: dict[str, Callable[[], object]] = {
        "input": lambda: one.cut_into(x),
        "convolved": lambda: network.convolved(x),
        "forward": forward,
        "forward and backward": lambda: torch.autograd.grad(forward(), parameters),
        "check": lambda: torch._foreach_norm(gradients(), 2, dtype=torch.float32),
        "update, early": lambda: step._update(step._early, step._rates_P2, step._pending_1 + 1),
        "update, late": lambda: step._update(step._late, step._rates_P2, step._pending_1 + 1),
    }
    row = {name: round(1000 * convolution.seconds(work, device), 4) for name, work in works.items()}
    report.add("parts", {"batch": batch, "precision": precision, "milliseconds": row})


def measure_convolutions(scale: Scale, report: Report, batch: int) -> None:
    network, dtype = scale.network(), dtype_of("fp32" if scale.is_quick else "bf16")
    for shape in filter(lambda shape: not is_connected(shape.layer), network.shapes):
        layer, last = shape.layer, torch.channels_last
        x = torch.randn(batch, *shape.inputs, device=scale.device).to(dtype, memory_format=last)
        weight = network.weight_and_bias(layer.name)[0].detach()
        weight = weight.to(scale.device, dtype, memory_format=last).requires_grad_()
        x.requires_grad_(layer.name != "conv1")
        ways = convolution.measure(x, weight, None, layer)
        milliseconds = {name: round(1000 * seconds, 4) for name, seconds in ways.items()}
        passes = 2 if layer.name == "conv1" else 3
        flops = 2 * passes * batch * shape.multiply_adds
        row = {"layer": layer.name, "batch": batch, "milliseconds": milliseconds}
        report.add("convolutions", {**row, "tflops": round(flops / min(ways.values()) / 1e12, 2)})


def measure_blocks(scale: Scale, report: Report, batch: int) -> None:
    """Our block and PyTorch's operations, forward and backward, and what of memory's speed is used."""
    for name, (maps, side), lrn in block_shapes(scale):
        x, bias, g = block_numbers(scale, maps, side, batch, torch.bfloat16)
        row: dict[str, Any] = {"layer": name, "batch": batch}
        for who, way in (("ours", our_block), ("pytorch", their_block)):

            def both(way: Callable[..., Tensor] = way) -> object:
                return torch.autograd.grad(way(x, bias, lrn), (x, bias), g)  # noqa: B023

            def forward(way: Callable[..., Tensor] = way) -> object:
                return way(x, bias, lrn)  # noqa: B023

            row[f"{who}, forward, ms"] = round(1000 * convolution.seconds(forward, scale.device), 4)
            row[f"{who}, both, ms"] = round(1000 * convolution.seconds(both, scale.device), 4)
        moved = (
            2 * (3 * x.numel() + 2 * g.numel()) + 2 * g.numel()
        )  # bytes, each number once a pass
        row["ours, GB/s"] = round(moved / row["ours, both, ms"] / 1e6, 1)
        report.add("blocks", row)


def measure_ceiling(scale: Scale, report: Report) -> None:
    """Products of square matrices, and a copy: what this card does at best."""
    side = 64 if scale.is_quick else 8192
    for precision in ("fp32", "tf32", "bf16"):
        set_products(precision)
        a, b = torch.randn(2, side, side, device=scale.device).to(dtype_of(precision)).unbind()
        seconds = convolution.seconds(lambda a=a, b=b: a @ b, scale.device)  # type: ignore[misc]
        tflops = round(2 * side**3 / seconds / 1e12, 2)
        report.add("ceiling", {"product": precision, "tflops": tflops})
    a = torch.empty(side * side, device=scale.device)
    b = torch.empty_like(a)
    seconds = convolution.seconds(lambda: b.copy_(a), scale.device)
    report.add(
        "ceiling", {"copy": "float32", "gb_per_second": round(8 * side**2 / seconds / 1e9, 1)}
    )


def measure_peer(scale: Scale, report: Report, batch: int, compiled: bool, precision: str) -> None:
    """PyTorch's own modules for the same network, trained as its tutorials do, on made-up input."""
    set_products("tf32" if precision == "bf16" else precision)
    last = torch.channels_last
    begin_afresh(scale)
    network = pytorch_alexnet().to(scale.device, memory_format=last)  # type: ignore[call-overload]
    sgd = torch.optim.SGD(network.parameters(), 1e-5, momentum=0.9, weight_decay=0.0005)
    model = torch.compile(network, mode="reduce-overhead") if compiled else network
    x = (64 * torch.randn(batch, 3, 224, 224, device=scale.device)).to(memory_format=last)
    labels_B = torch.randint(paper.CLASSES, (batch,), device=scale.device)

    def step() -> None:
        sgd.zero_grad()
        with torch.autocast(scale.device.type, torch.bfloat16, enabled=precision == "bf16"):
            loss = F.cross_entropy(model(x), labels_B)
        loss.backward()
        sgd.step()

    about = {"who": "pytorch compiled" if compiled else "pytorch eager"}
    about |= {"batch": batch, "precision": precision}  # type: ignore[dict-item]
    report.add("peers", measured_row(scale, about, rate_of(scale, step, batch)))


def machine(scale: Scale) -> dict[str, Any]:
    """What it ran on."""
    about = environment(str(scale.device), "")
    if not scale.is_quick:
        import triton

        fields = (
            "name,driver_version,clocks.sm,clocks.max.sm,clocks.mem,power.limit,temperature.gpu"
        )
        command = ["nvidia-smi", f"--query-gpu={fields}", "--format=csv"]
        said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
        about |= {
            "nvidia_smi": said.strip().splitlines(),
            "memory_gb": round(torch.cuda.get_device_properties(0).total_memory / 1e9, 1),
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
            "triton": triton.__version__,
        }
    return about


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--quick", action="store_true", help="try the script itself on a CPU")
    asked = parser.parse_args()
    scale, report = QUICK if asked.quick else FULL, Report(asked.output)
    if scale.is_quick:
        loading._BLOCK = 1 << 16  # the interpreter takes a millisecond a program
    with report.part("machine"):
        report.found["machine"] = machine(scale)
    for do_check in (check_blocks, check_masks, check_cuts, check_update, check_convolutions):
        with report.part(do_check.__name__):
            do_check(scale, report)
    with report.part("check_steps"):
        check_steps(scale, report)
    first, *_, largest = (*scale.batches, scale.batches[-1])
    split = made_split(scale.images)
    precision = "fp32" if scale.is_quick else "bf16"
    plans = [(batch, precision, "synthetic") for batch in scale.batches]
    plans += [(batch, precision, "streamed") for batch in scale.batches]
    plans += [(batch, precision, "resident") for batch in scale.batches]
    plans += [] if scale.is_quick else [(first, "tf32", "synthetic"), (first, "fp32", "synthetic")]
    for plan in plans:
        with report.part(f"training {plan}"):
            measure_training(scale, report, split, *plan)
    for batch in sorted({first, largest}):
        with report.part(f"parts {batch}"):
            measure_parts(scale, report, batch)
        with report.part(f"convolutions {batch}"):
            measure_convolutions(scale, report, batch)
        with report.part(f"blocks {batch}"):
            measure_blocks(scale, report, batch)
    with report.part("ceiling"):
        measure_ceiling(scale, report)
    peers = [(first, False, "fp32")]
    if not scale.is_quick:
        peers += [(first, False, "bf16"), (largest, False, "bf16")]
        peers += [(first, True, "bf16"), (largest, True, "bf16")]
    for batch, compiled, kind in peers:
        with report.part(f"pytorch {batch} {'compiled' if compiled else 'eager'} {kind}"):
            measure_peer(scale, report, batch, compiled, kind)
    if not scale.is_quick:
        with report.part("machine afterwards"):
            report.found["machine_afterwards"] = machine(scale)
    wrong = [row["what"] for row in report.found.get("checks", []) if not row["ok"]]
    failed = list(report.found["errors"])
    print(f"checks that failed: {wrong or 'none'}; parts that failed: {failed or 'none'}")
    sys.exit(bool(wrong or failed))


if __name__ == "__main__":
    main()
