"""The synthetic batch that every network is measured on."""

from __future__ import annotations

import torch
from torch import Tensor

from alexnet import paper


def synthetic_batch(batch: int) -> tuple[Tensor, Tensor]:
    """Numbers like pixels minus their mean, N x 3 x 224 x 224, and N labels."""
    draw = torch.Generator().manual_seed(0)
    x_NCHW = 64 * torch.randn(batch, paper.CHANNELS, paper.CROP, paper.CROP, generator=draw)
    return x_NCHW, torch.randint(paper.CLASSES, (batch,), generator=draw)
