"""Locally connected layers: the places of a convolution, with kernels of their own at each of them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from alexnet.paper import Layer


def locally_connected(x_NCHW: Tensor, weight: Tensor, bias: Tensor, layer: Layer) -> Tensor:
    """N x K x Y x X from kernels K x C x S x S x Y x X and K*Y*X biases."""
    K, C, S, _, Y, X = weight.shape
    assert layer.padding[0] == layer.padding[1]
    patches_NIP = F.unfold(x_NCHW, S, padding=layer.padding[0], stride=layer.stride)
    weight_PIK = weight.reshape(K, C * S * S, Y * X).permute(2, 1, 0)
    y_PNK = torch.bmm(patches_NIP.permute(2, 0, 1), weight_PIK)
    return y_PNK.permute(1, 2, 0).reshape(-1, K, Y, X) + bias.reshape(K, Y, X)
