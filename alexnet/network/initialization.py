"""How weights start: the paper's Gaussian (section 5), or one that learns from the first steps."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from alexnet.config import StartConfig
from alexnet.randomness import Purpose, stream

if TYPE_CHECKING:
    from alexnet.network.alexnet import AlexNet


@torch.no_grad()
def initialize(network: AlexNet, start: StartConfig, seed: int) -> None:
    """Draw all weights anew; a layer's draws depend on the seed and its name alone."""
    for shape in network.shapes:
        weight, bias = network.weight_and_bias(shape.layer.name)
        if start.rule == "he":
            deviation = start.gain * math.sqrt(2 / shape.weights_per_kernel)
        else:
            deviation = start.deviation
        draws = stream(seed, Purpose.WEIGHTS, shape.layer.name)
        values = draws.standard_normal(weight.numel(), dtype="float32")
        weight.copy_(torch.from_numpy(values).mul_(deviation).reshape(weight.shape))
        bias.fill_(start.bias if shape.layer.bias else 0.0)
