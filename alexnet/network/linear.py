"""Fully connected layers on the CPU, through oneDNN instead of the BLAS that PyTorch's own calls.

PyTorch multiplies float32 matrices with MKL, which runs at half speed on processors of other makers;
oneDNN, which does PyTorch's convolutions, has no favourites. The operator is the one that PyTorch's
compiler puts in place of a linear layer; where it is missing, PyTorch's linear is used.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from alexnet.network.operators import operator, plain_gradient

_ONEDNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def linear(x_NI: Tensor, weight_OI: Tensor, bias_O: Tensor) -> Tensor:
    """x W^T + b: N x O."""
    if x_NI.device.type == "cpu" and x_NI.dtype == torch.float32:
        y_NO: Tensor = _linear(x_NI, weight_OI, bias_O)
        return y_NO
    return F.linear(x_NI, weight_OI, bias_O)


def product(x_NI: Tensor, weight_OI: Tensor, bias_O: Tensor | None = None) -> Tensor:
    """x W^T (+ b) by oneDNN, or where PyTorch has it not, by its BLAS."""
    if not _ONEDNN:
        return F.linear(x_NI, weight_OI, bias_O)
    if bias_O is not None:
        bias_O = bias_O.contiguous()  # oneDNN reads the strides of matrices, but not a bias's
    y_NO: Tensor = torch.ops.mkldnn._linear_pointwise(x_NI, weight_OI, bias_O, "none", [], "")
    return y_NO


# Operators of our own, because the compiler knows oneDNN's only where it has put it itself.


@operator("linear")
def _linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return product(x, weight, bias)


@torch.library.register_fake(_linear)
def _(x, weight, bias):  # type: ignore[no-untyped-def]
    return x.new_empty(x.shape[0], weight.shape[0])


@operator("linear_backward")
def _linear_backward(
    g: Tensor, x: Tensor, weight: Tensor, needs_dx: bool
) -> tuple[Tensor, Tensor, Tensor]:
    dx = product(g, weight.t()) if needs_dx else x.new_empty(0)
    return dx, g.t() @ x, g.sum(0)


@torch.library.register_fake(_linear_backward)
def _(g, x, weight, needs_dx):  # type: ignore[no-untyped-def]
    dx = torch.empty_like(x) if needs_dx else x.new_empty(0)
    return dx, torch.empty_like(weight), weight.new_empty(weight.shape[0])


def _remember(ctx, inputs, output):  # type: ignore[no-untyped-def]
    ctx.save_for_backward(*inputs[:2])


def _pass_back(ctx, g):  # type: ignore[no-untyped-def]
    needs_dx = ctx.needs_input_grad[0]
    if torch.is_grad_enabled():
        return *plain_gradient(F.linear, ctx.saved_tensors, g), g.sum(0)
    dx, dweight, dbias = _linear_backward(g, *ctx.saved_tensors, needs_dx)
    return dx if needs_dx else None, dweight, dbias


torch.library.register_autograd(_linear, _pass_back, setup_context=_remember)
