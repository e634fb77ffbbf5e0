"""The mask drawn in the kernel is the one drawn on the CPU."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from alexnet.base.randomness import Purpose, bernoulli

pytest.importorskip("triton", reason="Triton is not installed")

from alexnet.network.dropout import address
from alexnet.network.kernels.gpu.dropout import gpu_relu_dropout


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize(
    ("seed", "step"), [(0, 0), (7, 123_456), (2**40 + 1, 2**31 + 9), (2**64 - 5, 3)]
)
def test_masks_are_the_cpus_bit_for_bit(
    device: str, seed: int, step: int, dtype: torch.dtype
) -> None:
    shape = (3, 1028)  # not a multiple of a program
    mask = torch.from_numpy(bernoulli(shape, 0.5, seed, Purpose.DROPOUT, time=step, lane=6))
    draw = torch.Generator().manual_seed(1)
    x, g = torch.randn(2, *shape, generator=draw).to(dtype).unbind()
    ours = x.to(device).requires_grad_()
    y = gpu_relu_dropout(ours, address(seed, step).to(device), 6, 1028, 0)
    y.backward(g.to(device))
    assert torch.equal(y.detach().cpu(), F.relu(x) * mask.to(dtype))
    assert ours.grad is not None
    assert torch.equal(ours.grad.cpu(), g * mask.to(dtype) * (x > 0))


def test_a_part_of_the_images_and_units_has_its_part_of_the_mask(device: str) -> None:
    x = torch.rand(5, 48) + 1
    whole = gpu_relu_dropout(x.to(device), address(3, 8).to(device), 6, 48, 0)
    part = x[2:, 24:].contiguous().to(device)
    found = gpu_relu_dropout(part, address(3, 8, first=2).to(device), 6, 48, 24)
    assert torch.equal(found, whole[2:, 24:])


def test_a_dropped_unit_hides_no_bad_number(device: str) -> None:
    x = torch.full((1, 64), float("inf"), device=device)
    y = gpu_relu_dropout(x, address(0, 0).to(device), 5, 64, 0)
    assert not y.isfinite().any(), "infinity times zero is not a number, as on the CPU"


def test_operator_is_fit_for_compile_and_export(device: str) -> None:
    x = torch.randn(2, 40, device=device, requires_grad=True)
    torch.library.opcheck(gpu_relu_dropout, (x, address(0, 0).to(device), 5, 40, 0))
