"""The paper's arithmetic in PyTorch's own operations, as it is printed.

Each of these runs on every device and type, inside every tool. The fused operators of `conv`, `lrn` and
`dropout` compute the same, and are tested against them; `AlexNet`'s child modules are made of them.

Shape letters: N images, C input maps and K kernels, H x W positions, Y x X of an output, U units.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from alexnet.paper import Layer, Normalization


def padded(x_NCHW: Tensor, padding: tuple[int, int]) -> tuple[Tensor, int]:
    """The input, and how many zeros the convolution has to add on every side.

    Zeros that are not the same before and after, as conv1's (0, 3), are added here: its last windows
    reach three pixels over the right and bottom edges.
    """
    before, after = padding
    if before == after:
        return x_NCHW, before
    return F.pad(x_NCHW, (before, after, before, after)), 0


def convolve(x_NCHW: Tensor, weight: Tensor, bias: Tensor | None, layer: Layer) -> Tensor:
    """The layer's convolution plus bias (section 3.5): N x K x Y x X; columns are groups."""
    x_NCHW, padding = padded(x_NCHW, layer.padding)
    groups = x_NCHW.shape[1] // weight.shape[1]
    return F.conv2d(x_NCHW, weight, bias, layer.stride, padding, groups=groups)


def normalize(a_NCHW: Tensor, rule: Normalization, groups: int) -> Tensor:
    """Response normalization (section 3.3) across the maps of each of `groups` equal groups.

    b_i = a_i / (k + alpha * sum of a_j^2 over the n nearest maps of the same group)^beta. `alpha`
    multiplies the sum itself, as printed: PyTorch's, Caffe's and the original program's setting is
    divided by n, so theirs is n times this one.
    """
    N, C, H, W = a_NCHW.shape
    reach = rule.n // 2
    squares = a_NCHW.square().reshape(N, groups, C // groups, H, W)
    around = F.pad(squares, (0, 0, 0, 0, reach, reach))
    total = torch.zeros_like(squares)
    for j in range(2 * reach + 1):
        total = total + around[:, :, j : j + C // groups]
    return a_NCHW / (rule.k + rule.alpha * total).reshape(N, C, H, W).pow(rule.beta)


def normalize_within(a_NCHW: Tensor, rule: Normalization) -> Tensor:
    """Normalize each map by itself: the sum is over the n x n places around, those inside the map."""
    squares = a_NCHW.square()
    total = F.avg_pool2d(squares, rule.n, stride=1, padding=rule.n // 2, divisor_override=1)
    return a_NCHW * (rule.k + rule.alpha * total).pow(-rule.beta)


def block(
    x_NCHW: Tensor, bias_C: Tensor, rule: Normalization, groups: int, size: int, stride: int
) -> Tensor:
    """Max-pool of the normalized ReLU of x + bias (sections 3.1, 3.3 and 3.4): N x C x Y x X."""
    a_NCHW = F.relu(x_NCHW + bias_C[:, None, None])
    return F.max_pool2d(normalize(a_NCHW, rule, groups), size, stride)


def channels_last(x_NCHW: Tensor) -> Tensor:
    """The same numbers as N x H x W x C, contiguous; without copying where they are so already."""
    return x_NCHW.contiguous(memory_format=torch.channels_last).permute(0, 2, 3, 1)
