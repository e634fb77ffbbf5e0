"""ReLU and dropout of the hidden layers in one kernel, which draws the mask itself (section 4.2).

The mask is the one that `alexnet.base.randomness.bernoulli` draws for the same layer and step, bit
for bit: the same Philox generator at the same addresses. So a run on a GPU drops what a run on a CPU
drops, and no mask has to be transferred or kept: the backward pass sees in the output what was left.
"""

# mypy: disable-error-code="no-untyped-def,untyped-decorator"

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from alexnet import paper
from alexnet.base.randomness import Purpose
from alexnet.network.operators import operator

_LIMIT = round((1 - paper.DROPOUT) * 2**32)  # random words below it keep their unit
_BLOCK = 256  # addresses of a program; each gives four random words, for four units in a row


@triton.jit
def _forward(x, y, address, width, units, start, LANE: tl.constexpr, PURPOSE: tl.constexpr,
             LIMIT: tl.constexpr, BLOCK: tl.constexpr):  # fmt: skip
    seed, step, first = tl.load(address), tl.load(address + 1), tl.load(address + 2)
    row = tl.program_id(0).to(tl.int64)
    place = ((first + row) * units + start) // 4 + tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    one = tl.full((BLOCK,), 1, tl.uint32)
    words = tl.philox(
        seed, place.to(tl.uint32), one * (LANE << 8), one * step.to(tl.uint32), one * PURPOSE
    )
    word = tl.interleave(tl.interleave(words[0], words[2]), tl.interleave(words[1], words[3]))
    unit = tl.program_id(1) * (4 * BLOCK) + tl.arange(0, 4 * BLOCK)
    value = tl.load(x + row * width + unit, mask=unit < width, other=0.0)
    kept = tl.where(
        word.to(tl.int64) < LIMIT, value, value * 0.0
    )  # 0 * inf is not a number, as on a CPU
    tl.store(y + row * width + unit, tl.where(kept <= 0.0, 0.0, kept), mask=unit < width)


@triton.jit
def _backward(g, y, dx, size, BLOCK: tl.constexpr):
    unit = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    value = tl.load(y + unit, mask=unit < size, other=0.0)
    gradient = tl.load(g + unit, mask=unit < size, other=0.0)
    tl.store(dx + unit, tl.where(value <= 0.0, 0.0, gradient), mask=unit < size)


@operator("gpu_relu_dropout")
def gpu_relu_dropout(x: Tensor, address: Tensor, lane: int, units: int, start: int) -> Tensor:
    """What `alexnet.network.dropout.relu_dropout` computes, on a GPU; four units share an address."""
    assert units % 4 == start % 4 == 0
    x = x.contiguous()
    y = torch.empty_like(x)
    rows, width = x.shape
    with torch.cuda.device_of(x):
        _forward[(rows, triton.cdiv(width, 4 * _BLOCK))](
            *(x, y, address.contiguous(), width, units, start),
            LANE=lane,
            PURPOSE=int(Purpose.DROPOUT),
            LIMIT=_LIMIT,
            BLOCK=_BLOCK,
        )
    return y


@torch.library.register_fake(gpu_relu_dropout)
def _(x, address, lane, units, start):
    return torch.empty_like(x, memory_format=torch.contiguous_format)


@operator("gpu_relu_dropout_backward")
def _backward_op(g: Tensor, y: Tensor) -> Tensor:
    g = g.contiguous()
    dx = torch.empty_like(g)
    with torch.cuda.device_of(g):
        _backward[(triton.cdiv(g.numel(), 4 * _BLOCK),)](g, y, dx, g.numel(), BLOCK=4 * _BLOCK)
    return dx


@torch.library.register_fake(_backward_op)
def _(g, y):
    return torch.empty_like(g, memory_format=torch.contiguous_format)


def _remember(ctx, inputs, output):
    ctx.save_for_backward(output)


def _pass_back(ctx, g):
    (y,) = ctx.saved_tensors
    dx = torch.where(y <= 0, 0, g) if torch.is_grad_enabled() else _backward_op(g, y)
    return dx, None, None, None, None


torch.library.register_autograd(gpu_relu_dropout, _pass_back, setup_context=_remember)
