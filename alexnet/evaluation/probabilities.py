"""What a network says of images from their views: the average of the softmax outputs (section 4.1).

Shape letters: B images of a batch, V views, K classes, H x W pixels, C colours.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from alexnet.network import AlexNet
from alexnet.network.alexnet import evaluating


@torch.inference_mode()
def average_over_views(network: AlexNet, x_NCHW: Tensor, views: int) -> np.ndarray:
    """Softmax of every view, then the average of each image's: float64, B x K.

    `x_NCHW` are the B * V views, those of one image together. It is the test network that computes,
    whatever mode the network is in.
    """
    weights = next(network.parameters())
    with evaluating(network):
        logits_NK = network(x_NCHW.to(weights.device, weights.dtype))
    probs_BVK = torch.softmax(logits_NK.double(), dim=1).unflatten(0, (-1, views))
    return np.asarray(probs_BVK.mean(dim=1).cpu())
