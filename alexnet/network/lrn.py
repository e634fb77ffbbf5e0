"""Local response normalization (section 3.3), and the block it stands in: ReLU, LRN, max-pool.

`normalize` is the formula as the paper prints it, in plain PyTorch operations: the reference, and the
path of every device and type for which no kernel is written. `block` is what the network runs: one
operator for bias, ReLU, normalization and pooling, which `torch.compile` and `torch.export` accept.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from alexnet import paper
from alexnet.network.conv import channels_last
from alexnet.network.kernels.gpu import HAS_TRITON
from alexnet.network.operators import operator
from alexnet.paper import Normalization


@dataclass(frozen=True)
class LRN:
    """b_i = a_i / (k + alpha * sum of a_j^2 over the n nearest maps of the same column)^beta.

    `alpha` multiplies the sum itself, as printed; PyTorch's, Caffe's and the original program's
    setting is divided by n, so theirs is n times this one.
    """

    k: float = paper.LRN.k
    n: int = paper.LRN.n
    alpha: float = paper.LRN.alpha
    beta: float = paper.LRN.beta

    @classmethod
    def of(cls, row: Normalization) -> LRN:
        """The normalization of a convention."""
        return cls(*row)


NONE = LRN(k=1.0, n=1, alpha=0.0, beta=0.75)  # the same block without normalization: a / 1
_WIDTHS = (128, 96, 64, 48, 32)  # maps; a kernel is compiled for each width that is used


def normalize(a_NCHW: Tensor, lrn: LRN, columns: int) -> Tensor:
    """Normalize ReLU outputs across the maps of each of `columns` equal groups (section 3.3)."""
    N, C, H, W = a_NCHW.shape
    reach = lrn.n // 2
    squares = a_NCHW.square().reshape(N, columns, C // columns, H, W)
    padded = F.pad(squares, (0, 0, 0, 0, reach, reach))
    total = torch.zeros_like(squares)
    for j in range(2 * reach + 1):
        total = total + padded[:, :, j : j + C // columns]
    return a_NCHW / (lrn.k + lrn.alpha * total).reshape(N, C, H, W).pow(lrn.beta)


def normalize_within(a_NCHW: Tensor, lrn: LRN) -> Tensor:
    """Normalize each map by itself: the sum is over the n x n places around, those inside the map."""
    squares = a_NCHW.square()
    total = F.avg_pool2d(squares, lrn.n, stride=1, padding=lrn.n // 2, divisor_override=1)
    return a_NCHW * (lrn.k + lrn.alpha * total).pow(-lrn.beta)


def block(x_NCHW: Tensor, bias_C: Tensor, lrn: LRN, columns: int, size: int, stride: int) -> Tensor:
    """Max-pool of the normalized ReLU of x + bias: N x C x Y x X, channels-last in memory."""
    if _fits(x_NCHW, lrn, columns, size):
        y_NCYX: Tensor = _block(
            x_NCHW, bias_C, columns, lrn.n // 2, lrn.k, lrn.alpha, size, stride
        )[0]
        return y_NCYX
    if x_NCHW.is_cuda and HAS_TRITON and x_NCHW.dtype != torch.float64:
        from alexnet.network.kernels.gpu.block import gpu_block

        y_NCYX = gpu_block(
            x_NCHW, bias_C, columns, lrn.n // 2, lrn.k, lrn.alpha, lrn.beta, size, stride
        )[0]
        return y_NCYX
    return plain_block(x_NCHW, bias_C, lrn, columns, size, stride)


def relu_pool(x_NCHW: Tensor, bias_C: Tensor, size: int, stride: int) -> Tensor:
    """The block without normalization, in pieces of 128 maps, or as many as go, at a time."""
    C = x_NCHW.shape[1]
    width = next((width for width in _WIDTHS if C % width == 0), C)
    return block(x_NCHW, bias_C, NONE, C // width, size, stride)


def _fits(x_NCHW: Tensor, lrn: LRN, columns: int, size: int) -> bool:
    """Whether the kernel for processors is made for this block."""
    if x_NCHW.device.type != "cpu" or x_NCHW.dtype != torch.float32:
        return False
    from alexnet.network.kernels.cpu import block as kernel

    return kernel.fits(x_NCHW.shape[1], columns, lrn.n // 2, lrn.beta, size)


def plain_block(
    x_NCHW: Tensor, bias_C: Tensor, lrn: LRN, columns: int, size: int, stride: int
) -> Tensor:
    """What `block` computes, in PyTorch's own operations."""
    a_NCHW = F.relu(x_NCHW + bias_C[:, None, None])
    return F.max_pool2d(normalize(a_NCHW, lrn, columns), size, stride)


def _pooled(side: int, size: int, stride: int) -> int:
    return (side - size) // stride + 1


@operator("block")
def _block(
    x: Tensor,
    bias: Tensor,
    columns: int,
    radius: int,
    k: float,
    alpha: float,
    size: int,
    stride: int,
) -> tuple[Tensor, Tensor]:
    from alexnet.network.kernels import cpu
    from alexnet.network.kernels.cpu import block as kernel

    cpu.threads()
    x_NHWC = channels_last(x)
    N, H, W, C = x_NHWC.shape
    shape = (N, _pooled(H, size, stride), _pooled(W, size, stride), C)
    y_NYXC = x.new_empty(shape)
    tap_NYXC = x.new_empty(shape, dtype=torch.uint8)
    kernel.forward(
        x_NHWC.numpy(),
        bias.numpy(),
        columns,
        radius,
        k,
        alpha,
        size,
        stride,
        y_NYXC.numpy(),
        tap_NYXC.numpy(),
    )
    return y_NYXC.permute(0, 3, 1, 2), tap_NYXC.permute(0, 3, 1, 2)


@torch.library.register_fake(_block)
def _(x, bias, columns, radius, k, alpha, size, stride):  # type: ignore[no-untyped-def]
    N, C, H, W = x.shape
    shape = (N, _pooled(H, size, stride), _pooled(W, size, stride), C)
    y = x.new_empty(shape).permute(0, 3, 1, 2)
    return y, x.new_empty(shape, dtype=torch.uint8).permute(0, 3, 1, 2)


@operator("block_backward")
def _block_backward(
    g: Tensor,
    tap: Tensor,
    x: Tensor,
    bias: Tensor,
    columns: int,
    radius: int,
    k: float,
    alpha: float,
    size: int,
    stride: int,
) -> tuple[Tensor, Tensor]:
    from alexnet.network.kernels import cpu
    from alexnet.network.kernels.cpu import block as kernel

    cpu.threads()
    x_NHWC = channels_last(x)
    N, _, _, C = x_NHWC.shape
    dx_NHWC = torch.empty_like(x_NHWC)
    dbias_NC = x.new_empty(N, C)
    kernel.backward(
        channels_last(g).numpy(),
        tap.permute(0, 2, 3, 1).numpy(),
        x_NHWC.numpy(),
        bias.numpy(),
        columns,
        radius,
        k,
        alpha,
        size,
        stride,
        dx_NHWC.numpy(),
        dbias_NC.numpy(),
    )
    return dx_NHWC.permute(0, 3, 1, 2), dbias_NC.sum(0)


@torch.library.register_fake(_block_backward)
def _(g, tap, x, bias, *rest):  # type: ignore[no-untyped-def]
    return torch.empty_like(x, memory_format=torch.channels_last), torch.empty_like(bias)


def _remember(ctx, inputs, output):  # type: ignore[no-untyped-def]
    x, bias, *ctx.settings = inputs
    ctx.save_for_backward(output[1], x, bias)


def _pass_back(ctx, g, _):  # type: ignore[no-untyped-def]
    tap, x, bias = ctx.saved_tensors
    dx, dbias = _block_backward(g, tap, x, bias, *ctx.settings)
    return dx, dbias, None, None, None, None, None, None


torch.library.register_autograd(_block, _pass_back, setup_context=_remember)
