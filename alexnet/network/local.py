"""Locally connected layers (figure 1): a convolution with kernels of their own at every position."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from alexnet.network.table import Shape


class LocallyConnected2d(nn.Module):
    """The module of such a layer; its weights are not set."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.layer = shape.layer
        self.weight = nn.Parameter(torch.empty(shape.weight_shape))
        self.bias = nn.Parameter(torch.empty(shape.kernels))

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """N x K x Y x X."""
        return locally_connected(x_NCHW, self.weight, self.bias, self.layer.padding)

    def extra_repr(self) -> str:
        """Input maps, kernels, size, and the positions that have kernels of their own."""
        K, C, S, _, Y, X = self.weight.shape
        return f"{C}, {K}, kernel_size=({S}, {S}), positions=({Y}, {X}), zeros={self.layer.padding}"


def locally_connected(
    x_NCHW: Tensor, weight: Tensor, bias: Tensor, padding: tuple[int, int]
) -> Tensor:
    """N x K x Y x X from kernels K x C x S x S x Y x X and K*Y*X biases.

    At each place a product of what the kernels see there, N x S*S*C, with those kernels.
    """
    K, C, S, _, Y, X = weight.shape
    before, after = padding
    x_HWNC = F.pad(x_NCHW.permute(2, 3, 0, 1).contiguous(), (0, 0, 0, 0, *(before, after) * 2))
    seen = [x_HWNC[y : y + Y, x : x + X] for y in range(S) for x in range(S)]
    seen_PNI = torch.cat(seen, dim=-1).flatten(0, 1)
    weight_PIK = weight.permute(4, 5, 2, 3, 1, 0).reshape(Y * X, S * S * C, K)
    y_PNK = torch.bmm(seen_PNI, weight_PIK)
    return y_PNK.permute(1, 2, 0).reshape(-1, K, Y, X) + bias.reshape(K, Y, X)
