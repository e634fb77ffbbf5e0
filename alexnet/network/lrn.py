"""Local response normalization (section 3.3), and the block it stands in: ReLU, LRN, max-pool.

`block` is what the fast path runs: one operator for bias, ReLU, normalization and pooling; where no
kernel is written for a device, type or rule, it is `reference.block`.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from alexnet.network import reference
from alexnet.network.kernels.gpu import HAS_TRITON
from alexnet.network.operators import operator, plain_gradient
from alexnet.network.reference import channels_last
from alexnet.paper import Normalization


class LocalResponseNorm(nn.Module):
    """Normalization over neighbouring maps, each of `groups` equal groups by itself (section 3.3)."""

    def __init__(self, rule: Normalization, groups: int) -> None:
        super().__init__()
        self.rule, self.groups = rule, groups

    def forward(self, a_NCHW: Tensor) -> Tensor:
        """Like a."""
        return reference.normalize(a_NCHW, self.rule, self.groups)

    def extra_repr(self) -> str:
        """The constants as the paper prints them."""
        return f"{_described(self.rule)}, groups={self.groups}"


class LocalResponseNormWithin(nn.Module):
    """Normalization within each map, over neighbouring positions (cuda-convnet's nets)."""

    def __init__(self, rule: Normalization) -> None:
        super().__init__()
        self.rule = rule

    def forward(self, a_NCHW: Tensor) -> Tensor:
        """Like a."""
        return reference.normalize_within(a_NCHW, self.rule)

    def extra_repr(self) -> str:
        """The constants as the paper prints them."""
        return _described(self.rule)


def _described(rule: Normalization) -> str:
    return ", ".join(f"{name}={value:g}" for name, value in rule._asdict().items())


# The same block without normalization: a / 1.
NONE = Normalization(k=1.0, n=1, alpha=0.0, beta=0.75)
_WIDTHS = (128, 96, 64, 48, 32)  # maps; a kernel is compiled for each width that is used


def block(
    x_NCHW: Tensor, bias_C: Tensor, rule: Normalization, groups: int, size: int, stride: int
) -> Tensor:
    """Max-pool of the normalized ReLU of x + bias: N x C x Y x X, channels-last in memory."""
    if _fits(x_NCHW, rule, groups, size):
        y_NCYX: Tensor = _block(
            x_NCHW, bias_C, groups, rule.n // 2, rule.k, rule.alpha, size, stride
        )[0]
        return y_NCYX
    if x_NCHW.is_cuda and HAS_TRITON and x_NCHW.dtype != torch.float64:
        from alexnet.network.kernels.gpu.block import gpu_block

        y_NCYX = gpu_block(
            x_NCHW, bias_C, groups, rule.n // 2, rule.k, rule.alpha, rule.beta, size, stride
        )[0]
        return y_NCYX
    return reference.block(x_NCHW, bias_C, rule, groups, size, stride)


def relu_pool(x_NCHW: Tensor, bias_C: Tensor, size: int, stride: int) -> Tensor:
    """The block without normalization, in pieces of 128 maps, or as many as go, at a time."""
    C = x_NCHW.shape[1]
    width = next((width for width in _WIDTHS if C % width == 0), C)
    return block(x_NCHW, bias_C, NONE, C // width, size, stride)


def _fits(x_NCHW: Tensor, rule: Normalization, groups: int, size: int) -> bool:
    """Whether the kernel for processors is made for this block."""
    if x_NCHW.device.type != "cpu" or x_NCHW.dtype != torch.float32:
        return False
    from alexnet.network.kernels.cpu import block as kernel

    return kernel.fits(x_NCHW.shape[1], groups, rule.n // 2, rule.beta, size)


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
    bias_C = bias.contiguous().numpy()
    given = (x_NHWC.numpy(), bias_C, columns, radius, k, alpha, size, stride)
    kernel.forward(*given, y_NYXC.numpy(), tap_NYXC.numpy())
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
    g_NYXC, tap_NYXC = channels_last(g).numpy(), channels_last(tap).numpy()
    bias_C = bias.contiguous().numpy()
    given = (x_NHWC.numpy(), bias_C, columns, radius, k, alpha, size, stride)
    kernel.backward(g_NYXC, tap_NYXC, *given, dx_NHWC.numpy(), dbias_NC.numpy())
    return dx_NHWC.permute(0, 3, 1, 2), dbias_NC.sum(0)


@torch.library.register_fake(_block_backward)
def _(g, tap, x, bias, *rest):  # type: ignore[no-untyped-def]
    return torch.empty_like(x, memory_format=torch.channels_last), torch.empty_like(bias)


def _remember(ctx, inputs, output):  # type: ignore[no-untyped-def]
    x, bias, *ctx.settings = inputs
    ctx.save_for_backward(output[1], x, bias)


def _pass_back(ctx, g, _):  # type: ignore[no-untyped-def]
    tap, x, bias = ctx.saved_tensors
    if torch.is_grad_enabled():
        from alexnet.network.kernels.cpu.block import BETA

        columns, radius, k, alpha, size, stride = ctx.settings
        rule = Normalization(k, 2 * radius + 1, alpha, BETA)
        plain = partial(reference.block, rule=rule, groups=columns, size=size, stride=stride)
        return (*plain_gradient(plain, (x, bias), g), *[None] * 6)
    dx, dbias = _block_backward(g, tap, x, bias, *ctx.settings)
    return dx, dbias, None, None, None, None, None, None


torch.library.register_autograd(_block, _pass_back, setup_context=_remember)
