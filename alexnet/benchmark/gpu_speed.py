"""How fast is a GPU, where does the time of a step go, and what would PyTorch's own modules take?

Rates are images per second of the whole training step: input, forward, backward, check, update.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from alexnet import paper
from alexnet.benchmark.gpu_setup import (
    SGD,
    RepeatedBatch,
    Report,
    Scale,
    block_numbers,
    block_shapes,
    loader_of,
    our_block,
    plain_block,
    random_split,
)
from alexnet.benchmark.pytorch_network import pytorch_alexnet
from alexnet.network.dropout import address, masks_of
from alexnet.network.kernels.gpu import convolution
from alexnet.network.precision import dtype_of, set_products
from alexnet.network.table import is_connected, training_flops
from alexnet.prepared.dataset import Split
from alexnet.training.gpu import GpuStep, is_late
from alexnet.training.mesh import Placed
from alexnet.training.update import update

ILSVRC = 1_281_167  # training images of ILSVRC-2012


def measure_training(
    scale: Scale, report: Report, split: Split, batch: int, precision: str, source: str
) -> None:
    """One configuration: synthetic input, streamed from memory, or resident on the device."""
    begin_afresh(scale)
    step = GpuStep(
        Placed(scale.network().to(scale.device), SGD),
        0,
        precision,
        graphs=not scale.is_quick,
        resident=source == "resident",
    )
    made = RepeatedBatch(batch, scale.device)
    images = made if source == "synthetic" else step.loader(loader_of(batch, split))
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
    split = random_split(batch)
    (one,) = step.loader(loader_of(batch, split)).batches(0, 1)
    step.take(one, 1e-5)
    step.finish()
    network, labels_B = step.network, one.labels_B
    crop = network.convention.crop
    x = torch.empty(batch, 3, crop, crop, dtype=step.dtype, device=device)
    x = x.contiguous(memory_format=torch.channels_last)
    one.cut_into(x)
    address_3 = address(0, 0).to(device)
    convolutions = [stage for stage in network.stages if not is_connected(stage.layer)]
    parameters = list(network.parameters())

    def forward() -> Tensor:
        with masks_of(network, address_3):
            logits = network(x).float()
        return F.cross_entropy(logits, labels_B)

    def gradients() -> list[Tensor]:
        return [w.grad for w in parameters if w.grad is not None]

    works: dict[str, Callable[[], object]] = {
        "input": lambda: one.cut_into(x),
        "convolutions": lambda: network.run(convolutions, network.entered(x)),
        "forward": forward,
        "forward and backward": lambda: torch.autograd.grad(forward(), parameters),
        "check": lambda: torch._foreach_norm(gradients(), 2, dtype=torch.float32),
        "update, early": updating(step, late=False),
        "update, late": updating(step, late=True),
    }
    row = {name: round(1000 * convolution.seconds(work, device), 4) for name, work in works.items()}
    report.add("parts", {"batch": batch, "precision": precision, "milliseconds": row})


def updating(step: GpuStep, late: bool) -> Callable[[], None]:
    """The update of the parameters that a step updates late, or of the others, with its gradients."""
    masters, working = step.placed.network.named_parameters(), dict(step.network.named_parameters())
    velocity = step.placed.optimizer.velocity
    several = [(w, velocity(w), working[name]) for name, w in masters if is_late(name) == late]
    rates_2 = torch.tensor([1e-5, 1e-5 * SGD.weight_decay], device=step.device)
    go_1 = torch.ones(1, dtype=torch.int32, device=step.device)

    @torch.no_grad()
    def work() -> None:
        for w, v, one in several:
            update(w, v, one, rates_2, go_1, step.momentum)

    return work


def measure_convolutions(scale: Scale, report: Report, batch: int) -> None:
    """Every way to compute each convolution, forward and backward: milliseconds, and TFLOP/s at best."""
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
    for name, (maps, side), rule in block_shapes(scale):
        x, bias, g = block_numbers(scale, maps, side, batch, torch.bfloat16)
        row: dict[str, Any] = {"layer": name, "batch": batch}
        for who, way in (("ours", our_block), ("pytorch", plain_block)):

            def both(way: Callable[..., Tensor] = way) -> object:
                return torch.autograd.grad(way(x, bias, rule), (x, bias), g)  # noqa: B023

            def forward(way: Callable[..., Tensor] = way) -> object:
                return way(x, bias, rule)  # noqa: B023

            row[f"{who}, forward, ms"] = round(1000 * convolution.seconds(forward, scale.device), 4)
            row[f"{who}, both, ms"] = round(1000 * convolution.seconds(both, scale.device), 4)
        # Bytes, each number once a pass.
        moved = 2 * (3 * x.numel() + 2 * g.numel()) + 2 * g.numel()
        row["ours, GB/s"] = round(moved / row["ours, both, ms"] / 1e6, 1)
        report.add("blocks", row)


def measure_ceiling(scale: Scale, report: Report) -> None:
    """Products of square matrices, and a copy: what this GPU does at most."""
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
    """PyTorch's own modules for the same network, trained as its tutorials do, on synthetic input."""
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


def synchronize(scale: Scale) -> None:
    """Wait for the GPU, where there is one."""
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
    """A configuration's rate, what that means for the paper's training, and its memory."""
    rate = found["images_per_second"]
    memory = 0 if scale.is_quick else torch.cuda.max_memory_allocated()
    return {
        **about,
        **found,
        "minutes_for_90_epochs": round(paper.EPOCHS * ILSVRC / rate / 60, 1),
        "tflops": round(training_flops() * rate / 1e12, 2),
        "peak_memory_gb": round(memory / 1e9, 2),
    }
