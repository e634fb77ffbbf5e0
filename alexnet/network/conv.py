"""The convolutional layers (section 3.5): PyTorch's modules, and a faster convolution for processors.

`convolve` is what the fast path runs. On the CPU in float32 it is one operator, made of `cpu.winograd`
and, for conv1 with its stride, `cpu.fold`.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from alexnet.network import reference
from alexnet.network.initialization import unset
from alexnet.network.operators import operator, plain_gradient
from alexnet.network.reference import channels_last
from alexnet.paper import Layer


class PaddedConv2d(nn.Conv2d):
    """A convolution whose zeros are not the same before (left, top) and after (right, bottom)."""

    def __init__(
        self,
        maps: int,
        kernels: int,
        size: int,
        stride: int,
        zeros: tuple[int, int],
        groups: int = 1,
    ) -> None:
        super().__init__(maps, kernels, size, stride, groups=groups)
        self.zeros = zeros

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """N x K x Y x X."""
        return super().forward(reference.padded(x_NCHW, self.zeros)[0])

    def extra_repr(self) -> str:
        """As PyTorch's, with the zeros."""
        return f"{super().extra_repr()}, zeros={self.zeros}"  # type: ignore[no-untyped-call]


class ColourScale(nn.Module):
    """Divides red, green and blue by numbers of their own, as torchvision's network wants them."""

    divisors: Tensor

    def __init__(self, divisors: tuple[float, float, float]) -> None:
        super().__init__()
        self.register_buffer("divisors", torch.tensor(divisors)[:, None, None], persistent=False)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Like x."""
        return x_NCHW / self.divisors.to(x_NCHW.dtype)


def conv2d(maps: int, layer: Layer, groups: int) -> nn.Conv2d:
    """The module of a layer over `maps` input maps; its weights are not set."""
    sizes = (maps, layer.kernels, layer.size, layer.stride)
    before, after = layer.padding
    if before == after:
        return unset(nn.Conv2d, *sizes, padding=before, groups=groups)
    return unset(PaddedConv2d, *sizes, zeros=layer.padding, groups=groups)


def convolve(
    x_NCHW: Tensor, weight: Tensor, bias: Tensor | None, layer: Layer, relu: bool = False
) -> Tensor:
    """The layer's convolution plus bias, and its ReLU if asked for: N x K x Y x X, channels-last.

    Kernels that see fewer maps than there are belong to columns that see only themselves.
    """
    if layer.stride > 1 and layer.padding[0]:  # the strided kernels begin at the corner
        x_NCHW = F.pad(x_NCHW, (layer.padding * 2))
        layer = layer._replace(padding=(0, 0))
    if _fits(x_NCHW, weight, layer):
        bias = weight.new_zeros(weight.shape[0]) if bias is None else bias
        training = torch.is_grad_enabled() and weight.requires_grad
        y_NKYX: Tensor = _conv(x_NCHW, weight, bias, layer.stride, *layer.padding, relu, training)
        return y_NKYX
    if x_NCHW.is_cuda:
        from alexnet.network.kernels.gpu.convolution import convolve as gpu_convolve

        y_NKYX = gpu_convolve(x_NCHW, weight, bias, layer)
    else:
        y_NKYX = reference.convolve(x_NCHW, weight, bias, layer)
    return F.relu(y_NKYX) if relu else y_NKYX


def _fits(x_NCHW: Tensor, weight: Tensor, layer: Layer) -> bool:
    """Whether the fast convolution is made for this one."""
    if x_NCHW.device.type != "cpu" or x_NCHW.dtype != torch.float32:
        return False
    from alexnet.network.kernels.cpu import winograd

    (before, after), stride = layer.padding, layer.stride
    squares = x_NCHW.shape[2] == x_NCHW.shape[3] and weight.shape[2] == weight.shape[3]
    groups = x_NCHW.shape[1] // weight.shape[1]
    maps, size = x_NCHW.shape[1] * stride**2, -(-weight.shape[2] // stride)
    padded = before == 0 and groups == 1 if stride > 1 else before == after
    return squares and padded and winograd.fits(maps, weight.shape[0], size, groups)


@operator("conv")
def _conv(
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    stride: int,
    before: int,
    after: int,
    relu: bool,
    training: bool,
) -> Tensor:
    from alexnet.network.kernels import cpu
    from alexnet.network.kernels.cpu import winograd

    cpu.threads()
    x_NHWC, kernels = _at_stride_one(x, weight, stride, _out(x, weight, stride, before, after))
    bias_K = bias.contiguous().numpy()
    y_NYXK = winograd.forward(x_NHWC, kernels, bias_K, before, relu, training)
    return torch.from_numpy(y_NYXK).permute(0, 3, 1, 2)


@torch.library.register_fake(_conv)
def _(x, weight, bias, stride, before, after, relu, training):  # type: ignore[no-untyped-def]
    out = _out(x, weight, stride, before, after)
    return x.new_empty(x.shape[0], out, out, weight.shape[0]).permute(0, 3, 1, 2)


@operator("conv_backward")
def _conv_backward(
    g: Tensor,
    x: Tensor,
    weight: Tensor,
    y: Tensor | None,
    stride: int,
    before: int,
    needs_dx: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    from alexnet.network.kernels import cpu
    from alexnet.network.kernels.cpu import fold, winograd

    side, size = x.shape[2], weight.shape[2]
    x_NHWC, kernels = _at_stride_one(x, weight, stride, g.shape[2])
    y_NYXK = None if y is None else channels_last(y).numpy()
    dx, dw, dbias = winograd.backward(
        channels_last(g).numpy(), x_NHWC, kernels, y_NYXK, before, cpu.threads(), needs_dx
    )
    if stride > 1:
        dw = fold.unfold_kernels(dw, stride, size)
        dx = None if dx is None else fold.unfold_images(dx, stride, side)
    dx_NCHW = x.new_empty(0) if dx is None else torch.from_numpy(dx).permute(0, 3, 1, 2)
    return dx_NCHW, torch.from_numpy(dw), torch.from_numpy(dbias)


@torch.library.register_fake(_conv_backward)
def _(g, x, weight, y, stride, before, needs_dx):  # type: ignore[no-untyped-def]
    last = torch.channels_last
    dx = torch.empty_like(x, memory_format=last) if needs_dx else x.new_empty(0)
    return dx, torch.empty_like(weight), weight.new_empty(weight.shape[0])


def _remember(ctx, inputs, output):  # type: ignore[no-untyped-def]
    x, weight, _, ctx.stride, ctx.before, ctx.after, relu, _ = inputs
    ctx.save_for_backward(x, weight, output if relu else None)


def _pass_back(ctx, g):  # type: ignore[no-untyped-def]
    needs_dx = ctx.needs_input_grad[0]
    if torch.is_grad_enabled():
        return (*_differentiable_gradients(ctx, g), *[None] * 5)  # type: ignore[no-untyped-call]
    dx, dw, dbias = _conv_backward(g, *ctx.saved_tensors, ctx.stride, ctx.before, needs_dx)
    return dx if needs_dx else None, dw, dbias, None, None, None, None, None


def _differentiable_gradients(ctx, g):  # type: ignore[no-untyped-def]
    x, weight, y = ctx.saved_tensors
    groups = x.shape[1] // weight.shape[1]

    def plain(x: Tensor, weight: Tensor) -> Tensor:
        x, padding = reference.padded(x, (ctx.before, ctx.after))
        return F.conv2d(x, weight, None, ctx.stride, padding, groups=groups)

    g = g if y is None else torch.where(y > 0, g, 0)
    return *plain_gradient(plain, (x, weight), g), g.sum((0, 2, 3))


torch.library.register_autograd(_conv, _pass_back, setup_context=_remember)


def _out(x: Tensor, weight: Tensor, stride: int, before: int, after: int) -> int:
    return int((x.shape[2] + before + after - weight.shape[2]) // stride + 1)


def _at_stride_one(
    x: Tensor, weight: Tensor, stride: int, out: int
) -> tuple[np.ndarray, np.ndarray]:
    """Images, channels-last, and kernels whose convolution needs no stride."""
    from alexnet.network.kernels.cpu import fold

    x_NHWC, weight_KCSS = channels_last(x).numpy(), weight.contiguous().numpy()
    if stride == 1:
        return x_NHWC, weight_KCSS
    kernels = fold.fold_kernels(weight_KCSS, stride)
    return fold.fold_images(x_NHWC, stride, out + kernels.shape[2] - 1), kernels
