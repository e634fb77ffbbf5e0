"""ReLU and dropout of the hidden layers (section 4.2): one operator that draws the mask itself.

A unit's mask is a function of (seed, step, layer, image, unit): Philox at the addresses of
`alexnet.base.randomness.bernoulli`, in Numba on a processor and in Triton on a GPU. So no mask is made,
transferred or kept; the backward pass sees in the output what was left.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from alexnet import paper
from alexnet.base.randomness import Purpose, bernoulli
from alexnet.network.kernels.gpu import HAS_TRITON
from alexnet.network.operators import operator


def address(seed: int, step: int, first: int = 0) -> Tensor:
    """What masks are drawn from: int64, (seed, step, place of the first image in the step's batch).

    Seeds of 2^63 and more wrap around.
    """
    return torch.tensor([seed - 2**64 if seed >= 2**63 else seed, step, first], dtype=torch.int64)


def relu_dropout(
    x_NU: Tensor, address_3: Tensor, lane: int, units: int = 0, start: int = 0
) -> Tensor:
    """The ReLU of x, or zero where layer number `lane` drops the unit in this step: N x U.

    Where x is a column's part of the layer, its units are number `start` and following of `units`.
    What is kept is not scaled: the paper's test network halves its outputs instead.
    """
    units = units or x_NU.shape[1]
    if x_NU.device.type == "cpu" and x_NU.dtype == torch.float32:
        y_NU: Tensor = _relu_dropout(x_NU, address_3, lane, units, start)
        return y_NU
    if x_NU.is_cuda and HAS_TRITON and units % 4 == start % 4 == 0:
        from alexnet.network.kernels.gpu.dropout import gpu_relu_dropout

        y_NU = gpu_relu_dropout(x_NU, address_3, lane, units, start)
        return y_NU
    return F.relu(x_NU) * mask(x_NU, address_3, lane, units, start)


def mask(x_NU: Tensor, address_3: Tensor, lane: int, units: int = 0, start: int = 0) -> Tensor:
    """Ones where `relu_dropout` keeps a unit, zeros where it drops it: N x U, like x."""
    seed, step, first = address_3.tolist()
    (N, U), keep = x_NU.shape, 1 - paper.DROPOUT
    units = units or U
    place = (Purpose.DROPOUT, step, lane, first * units)
    drawn = bernoulli((N, units), keep, seed % 2**64, *place)
    return torch.from_numpy(drawn[:, start : start + U]).to(x_NU)


@operator("relu_dropout")
def _relu_dropout(x: Tensor, address: Tensor, lane: int, units: int, start: int) -> Tensor:
    from alexnet.network.kernels import cpu
    from alexnet.network.kernels.cpu.dropout import forward

    cpu.threads()
    x = x.contiguous()
    y = torch.empty_like(x)
    seed, step, first = address.tolist()
    forward(x.numpy(), (seed % 2**64, step, first), lane, units, start, y.numpy())
    return y


@torch.library.register_fake(_relu_dropout)
def _(x, address, lane, units, start):  # type: ignore[no-untyped-def]
    return torch.empty_like(x, memory_format=torch.contiguous_format)


def _remember(ctx, inputs, output):  # type: ignore[no-untyped-def]
    ctx.save_for_backward(output)


def _pass_back(ctx, g):  # type: ignore[no-untyped-def]
    (y,) = ctx.saved_tensors
    return torch.where(y <= 0, 0, g), None, None, None, None


torch.library.register_autograd(_relu_dropout, _pass_back, setup_context=_remember)
