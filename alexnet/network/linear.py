"""Fully connected layers on the CPU, through oneDNN instead of the BLAS that PyTorch's own calls.

PyTorch multiplies float32 matrices with MKL, which runs at half speed on processors of other makers;
oneDNN, which does PyTorch's convolutions, has no favourites. (`python -m alexnet benchmark train`
measures both ceilings.) The operator is the one that PyTorch's compiler puts in place of a linear
layer; where it is missing, PyTorch's linear is used.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

_ONEDNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def linear(x_NI: Tensor, weight_OI: Tensor, bias_O: Tensor) -> Tensor:
    """x W^T + b: N x O."""
    if x_NI.device.type == "cpu" and x_NI.dtype == torch.float32:
        y_NO: Tensor = _Linear.apply(x_NI, weight_OI, bias_O)  # type: ignore[no-untyped-call]
        return y_NO
    return F.linear(x_NI, weight_OI, bias_O)


def product(x_NI: Tensor, weight_OI: Tensor, bias_O: Tensor | None = None) -> Tensor:
    """x W^T (+ b) by oneDNN, or where PyTorch has it not, by its BLAS."""
    if not _ONEDNN:
        return F.linear(x_NI, weight_OI, bias_O)
    y_NO: Tensor = torch.ops.mkldnn._linear_pointwise(x_NI, weight_OI, bias_O, "none", [], "")
    return y_NO


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return product(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
        (g,) = gradients
        x, weight = ctx.saved_tensors
        dx = product(g, weight.t()) if ctx.needs_input_grad[0] else None
        return dx, g.t() @ x, g.sum(0)
