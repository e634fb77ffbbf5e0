"""Is what runs on the GPU right? Each part against the CPU, float64 or PyTorch's own operations.

Shape letters: N, B images, C maps, H x W positions.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from alexnet.base.randomness import Purpose, bernoulli
from alexnet.benchmark.gpu_setup import (
    SGD,
    Report,
    Scale,
    block_numbers,
    block_shapes,
    loader_of,
    our_block,
    plain_block,
    random_split,
)
from alexnet.loading.gpu import DeviceLoader
from alexnet.network import reference
from alexnet.network.dropout import address
from alexnet.network.kernels.gpu import convolution
from alexnet.network.kernels.gpu.dropout import gpu_relu_dropout
from alexnet.network.precision import set_products
from alexnet.network.table import is_connected
from alexnet.training.eager import EagerStep
from alexnet.training.gpu import GpuStep
from alexnet.training.mesh import Placed
from alexnet.training.update import update


def check_blocks(scale: Scale, report: Report) -> None:
    """The normalization block and its gradients beside PyTorch's operations in float64."""
    for dtype, limit in ((torch.float32, 1e-5), (torch.bfloat16, 2**-7)):
        for name, (maps, side), rule in block_shapes(scale):
            x, bias, g = block_numbers(scale, maps, side, scale.checked, dtype)
            y = our_block(x, bias, rule)
            found = (y, *torch.autograd.grad(y, (x, bias), g))
            exact = [one.detach().double().requires_grad_() for one in (x, bias)]
            y = plain_block(exact[0], exact[1], rule)
            expected = (y, *torch.autograd.grad(y, exact, g.double()))
            for part, one, other in zip(("y", "dx", "dbias"), found, expected, strict=True):
                check(report, f"block {name} {part} {dtype}", error_of(one, other), limit)


def check_masks(scale: Scale, report: Report) -> None:
    """Dropout's masks beside those of the CPU, bit for bit."""
    for dtype in (torch.float32, torch.bfloat16):
        shape = (scale.checked, 4096)
        mask = torch.from_numpy(bernoulli(shape, 0.5, 7, Purpose.DROPOUT, time=123_456, lane=5))
        x = torch.randn(shape, generator=torch.Generator().manual_seed(1)).to(dtype)
        y = gpu_relu_dropout(x.to(scale.device), address(7, 123_456).to(scale.device), 5, 4096, 0)
        check(report, f"dropout {dtype}", error_of(y.cpu(), F.relu(x) * mask.to(dtype)), 0.0)


def check_cuts(scale: Scale, report: Report) -> None:
    """Training views cut on the device beside those of the CPU, bit for bit."""
    batch = min(scale.checked, scale.images)
    loader = loader_of(batch, random_split(2 * batch))
    for resident in (True, False):
        for one in DeviceLoader(loader, scale.device, resident).batches(1, 4):
            x = torch.empty(batch, 3, 224, 224, device=scale.device)
            x = x.contiguous(memory_format=torch.channels_last)
            one.cut_into(x)
            expected = torch.from_numpy(loader.make(one.step).x_BHWC)
            error = error_of(x.permute(0, 2, 3, 1).cpu(), expected)
            check(report, f"crops, {'resident' if resident else 'streamed'}", error, 0.0)


def check_update(scale: Scale, report: Report) -> None:
    """The update rule, with the bfloat16 copy that it writes, beside the same in float64."""
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
    """Every way to compute each convolution beside float64."""
    set_products("fp32")
    network = scale.network()
    for shape in filter(lambda shape: not is_connected(shape.layer), network.shapes):
        x = torch.randn(scale.checked, *shape.inputs, device=scale.device, dtype=torch.float64)
        x = x.contiguous(memory_format=torch.channels_last)
        weight, bias = network.weight_and_bias(shape.layer.name)
        w, b = (value.detach().to(scale.device, torch.float64) for value in (weight, bias))
        expected = reference.convolve(x, w, b, shape.layer)
        for name, way in convolution.ways_of(x, w, shape.layer).items():
            found = way(x.float(), w.float(), b.float(), shape.layer)
            check(report, f"{shape.layer.name} {name}", error_of(found, expected), 1e-5)


def check_steps(scale: Scale, report: Report) -> None:
    """Steps of every precision beside float32 steps on the CPU; recorded ones beside single ones."""
    loader = loader_of(2 * scale.checked, random_split(4 * scale.checked))
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
                step = GpuStep(
                    Placed(scale.network().to(scale.device), SGD), 0, precision, graphs=graphs
                )
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


def error_of(found: Tensor, expected: Tensor) -> float:
    """The largest difference as a share of the largest number."""
    one, other = found.detach().double(), expected.detach().double()
    return float((one - other).abs().max() / other.abs().max().clamp_min(1e-30))


def length_of_error(found: Tensor, expected: Tensor) -> float:
    """The length of the difference as a share of the length."""
    return float((found.detach().double() - expected).norm() / expected.double().norm())


def check(report: Report, name: str, error: float, limit: float) -> None:
    """Add a check to the report: right where the error is at most the limit."""
    report.add("checks", {"what": name, "error": error, "limit": limit, "ok": error <= limit})


CHECKS = (check_blocks, check_masks, check_cuts, check_update, check_convolutions, check_steps)
