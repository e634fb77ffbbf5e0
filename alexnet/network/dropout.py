"""Dropout of the hidden layers (section 4.2): the module, and masks that are addressed.

`Dropout` draws from PyTorch's generator, as a user's own loop expects. The trainer's masks are addressed
instead (`masks_of`): a unit's is a function of (seed, step, layer, image, unit), Philox at the addresses
of `alexnet.base.randomness.bernoulli`, in Numba on a processor and in Triton on a GPU. So no mask is
made, transferred or kept; the backward pass of `relu_dropout` sees in the output what was left.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from alexnet import paper
from alexnet.base.randomness import Purpose, bernoulli
from alexnet.network.kernels.gpu import HAS_TRITON
from alexnet.network.operators import operator


class Dropout(nn.Module):
    """Zeroes a unit with probability 1/2 in training; otherwise halves all, as the paper does.

    With `inverted`, as later programs have it, what is kept in training is doubled instead. Another
    probability `p` may be set: the factors are then 1 - p, or 1 / (1 - p). `lane` is the number of the
    layer, which keeps addressed masks apart; where its units are a column's part of the layer, they are
    number `start` and following of `units` (0: all).
    """

    def __init__(self, lane: int, inverted: bool = False) -> None:
        super().__init__()
        self.lane, self.inverted, self.p = lane, inverted, paper.DROPOUT
        self.units, self.start = 0, 0
        self.address: Tensor | None = None  # set inside `masks_of`

    def forward(self, x: Tensor) -> Tensor:
        """Like x."""
        keep = 1 - self.p
        if not self.training:
            return x if self.inverted else x * keep
        if self.address is None:
            mask = torch.rand_like(x) < keep
        else:
            x_NU = x.flatten(1)
            mask_NU = mask_at(x_NU, self.address, self.lane, self.units, self.start, keep)
            mask = mask_NU.reshape(x.shape)
        return self.scaled(x * mask)

    def scaled(self, x: Tensor) -> Tensor:
        """What training makes of the units that are kept."""
        return x / (1 - self.p) if self.inverted and self.p < 1 else x

    @property
    def draws_by_address(self) -> bool:
        """Whether `relu_dropout` computes it: in training inside `masks_of`, with the paper's p."""
        return self.training and self.address is not None and self.p == paper.DROPOUT

    def extra_repr(self) -> str:
        """The probability, and what is scaled."""
        return f"p={self.p}, inverted={self.inverted}"


@contextmanager
def masks_of(network: nn.Module, address_3: Tensor) -> Iterator[None]:
    """Inside, what the network drops in training mode is that of a step, given by `address`."""
    modules = [module for module in network.modules() if isinstance(module, Dropout)]
    for module in modules:
        module.address = address_3
    try:
        yield
    finally:
        for module in modules:
            module.address = None


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
    return F.relu(x_NU) * mask_at(x_NU, address_3, lane, units, start)


def mask_at(
    x_NU: Tensor,
    address_3: Tensor,
    lane: int,
    units: int = 0,
    start: int = 0,
    keep: float = 1 - paper.DROPOUT,
) -> Tensor:
    """Ones where `relu_dropout` keeps a unit, zeros where it drops it: N x U, like x.

    Units are kept with probability `keep`.
    """
    seed, step, first = address_3.tolist()
    N, U = x_NU.shape
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
