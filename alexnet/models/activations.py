"""Named activations of a trained network as arrays, averaged over the views of each image.

Shape letters: B images of a batch, V views, C maps, H x W positions.
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import torch
from torch import Tensor

from alexnet import paper
from alexnet.network import AlexNet


@torch.inference_mode()
def named_activations(
    network: AlexNet, x_NCHW: Tensor, names: Collection[str], views: int = 1
) -> dict[str, np.ndarray]:
    """What the images of `x_NCHW`, B * V views, those of one image together, activate: float32,
    B x U or B x C x H x W by name.

    Raises UsageError with the nearest name where there is no such activation.
    """
    weights = next(network.parameters())
    found = network.activations(x_NCHW.to(weights.device, weights.dtype), names)
    return {name: _averaged(value, views) for name, value in found.items()}


def _averaged(value: Tensor, views: int) -> np.ndarray:
    value = value.float()
    if views > 1:
        value = value.unflatten(0, (-1, views)).mean(dim=1)
    return value.contiguous().cpu().numpy()


def row_shapes(network: AlexNet, names: Collection[str]) -> dict[str, tuple[int, ...]]:
    """The shape of one image's activations by name; raises UsageError as `named_activations`."""
    side, colours = network.convention.crop, paper.CHANNELS
    found = named_activations(network, torch.zeros(1, colours, side, side), names)
    return {name: value.shape[1:] for name, value in found.items()}
