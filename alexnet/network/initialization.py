"""How weights start: the Gaussian of section 5, or one that learns from the first steps."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from alexnet.base.randomness import Purpose, stream
from alexnet.config import StartConfig
from alexnet.network.table import Shape


@torch.no_grad()
def initialize(
    layers: Iterable[tuple[Shape, Tensor, Tensor]], start: StartConfig, seed: int
) -> None:
    """Draw the weights and set the biases of layers given as (shape, weight, bias).

    A layer's draws depend on the seed and its name alone.
    """
    for shape, weight, bias in layers:
        deviation = shape.layer.deviation
        if start.rule == "he":
            deviation = math.sqrt(2 / shape.weights_per_kernel)
        draws = stream(seed, Purpose.WEIGHTS, shape.layer.name)
        values = draws.standard_normal(weight.numel(), dtype="float32")
        weight.copy_(torch.from_numpy(values).mul_(start.gain * deviation).reshape(weight.shape))
        bias.fill_(start.bias * shape.layer.bias)
