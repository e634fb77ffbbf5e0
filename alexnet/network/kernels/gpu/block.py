"""The normalization block on a GPU as one operator, with its gradient: see `block_kernels`.

Shape letters: N images, H x W positions of the input, Y x X of the pooled output, C kernel maps.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from functools import partial
from typing import Any

import torch
import triton
from torch import Tensor

from alexnet.network import reference
from alexnet.network.kernels.gpu.block_kernels import backward, forward
from alexnet.network.operators import operator, plain_gradient
from alexnet.network.reference import channels_last
from alexnet.paper import Normalization

_WARPS = 4
_LANES = 8 * 32 * _WARPS  # numbers of a program: eight for each thread
_TILES = 8  # one after the other in a program of the backward pass: fewer partial sums of the bias


@operator("gpu_block")
def gpu_block(
    x: Tensor,
    bias: Tensor,
    columns: int,
    radius: int,
    k: float,
    alpha: float,
    beta: float,
    size: int,
    stride: int,
) -> tuple[Tensor, Tensor]:
    """Max-pool of the normalized ReLU of x + bias, and each maximum's place in its window.

    N x C x Y x X each, channels-last in memory; y in x's precision, the places uint8.
    """
    x_NHWC = channels_last(x)
    N, H, W, C = x_NHWC.shape
    y_NYXC, tap_NYXC = _pooled(x_NHWC, size, stride)
    _, Y, X, _ = y_NYXC.shape
    outputs, width = N * Y * X, C // columns
    variant = _variant(width, radius, alpha, beta, size, stride)
    with torch.cuda.device_of(x):
        forward[(triton.cdiv(outputs, variant["P"]), columns)](
            *(x_NHWC, bias.contiguous(), y_NYXC, tap_NYXC, outputs, H, W, C, Y, X, k, alpha, beta),
            **variant,
        )
    return y_NYXC.permute(0, 3, 1, 2), tap_NYXC.permute(0, 3, 1, 2)


@torch.library.register_fake(gpu_block)
def _(x, bias, columns, radius, k, alpha, beta, size, stride):
    y, tap = _pooled(x.permute(0, 2, 3, 1), size, stride)
    return y.permute(0, 3, 1, 2), tap.permute(0, 3, 1, 2)


@operator("gpu_block_backward")
def _block_backward(
    g: Tensor,
    tap: Tensor,
    x: Tensor,
    bias: Tensor,
    columns: int,
    radius: int,
    k: float,
    alpha: float,
    beta: float,
    size: int,
    stride: int,
) -> tuple[Tensor, Tensor]:
    x_NHWC, g_NYXC, tap_NYXC = channels_last(x), channels_last(g), channels_last(tap)
    N, H, W, C = x_NHWC.shape
    _, Y, X, _ = g_NYXC.shape
    pixels, width = N * H * W, C // columns
    variant = _variant(width, radius, alpha, beta, size, stride)
    tiles = min(_TILES, triton.cdiv(pixels, variant["P"]))
    programs = triton.cdiv(pixels, variant["P"] * tiles)
    dx_NHWC = torch.empty_like(x_NHWC)
    dbias_C = x.new_empty(programs, C, dtype=torch.float32)
    with torch.cuda.device_of(x):
        backward[(programs, columns)](
            *(g_NYXC, tap_NYXC, x_NHWC, bias.contiguous(), dx_NHWC, dbias_C, pixels, H, W, C, Y, X),
            *(k, alpha, beta),
            **variant,
            TILES=tiles,
        )
    return dx_NHWC.permute(0, 3, 1, 2), dbias_C.sum(0).to(bias.dtype)


@torch.library.register_fake(_block_backward)
def _(g, tap, x, bias, *settings):
    return torch.empty_like(x, memory_format=torch.channels_last), torch.empty_like(bias)


def _remember(ctx, inputs, output):
    x, bias, *ctx.settings = inputs
    ctx.save_for_backward(output[1], x, bias)
    ctx.mark_non_differentiable(output[1])


def _pass_back(ctx, g, _):
    tap, x, bias = ctx.saved_tensors
    if torch.is_grad_enabled():
        columns, radius, k, alpha, beta, size, stride = ctx.settings
        rule = Normalization(k, 2 * radius + 1, alpha, beta)
        plain = partial(reference.block, rule=rule, groups=columns, size=size, stride=stride)
        return (*plain_gradient(plain, (x, bias), g), *[None] * 7)
    dx, dbias = _block_backward(g, tap, x, bias, *ctx.settings)
    return dx, dbias, None, None, None, None, None, None, None


torch.library.register_autograd(gpu_block, _pass_back, setup_context=_remember)


def _pooled(x_NHWC: Tensor, size: int, stride: int) -> tuple[Tensor, Tensor]:
    """Room for the pooled output and its taps: N x Y x X x C."""
    N, H, W, C = x_NHWC.shape
    shape = (N, (H - size) // stride + 1, (W - size) // stride + 1, C)
    return x_NHWC.new_empty(shape), x_NHWC.new_empty(shape, dtype=torch.uint8)


def _variant(
    width: int, radius: int, alpha: float, beta: float, size: int, stride: int
) -> dict[str, Any]:
    """What the kernels are compiled for."""
    groups = triton.next_power_of_2(triton.cdiv(width, 8))
    return {
        "WIDTH": width,
        "RADIUS": radius,
        "NORMALIZED": alpha != 0.0,
        "PAPERS_BETA": beta == 0.75,
        "SIZE": size,
        "STRIDE": stride,
        "P": max(1, _LANES // (8 * groups)),
        "Q": groups,
        "num_warps": _WARPS,
    }
