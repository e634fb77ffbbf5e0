"""How weights start: the Gaussian of section 5, or one that learns from the first steps."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from alexnet.base.randomness import Purpose, stream
from alexnet.config import StartConfig
from alexnet.network.table import Shape

Module = TypeVar("Module", bound=nn.Module)


def unset(kind: type[Module], *arguments: Any, **options: Any) -> Module:
    """A module of PyTorch's whose weights are not set: they are about to be.

    As `torch.nn.utils.skip_init` does, but for loading SymPy on the way, which takes half a second.
    """
    without = type(kind.__name__, (kind,), {"reset_parameters": lambda self: None})
    module: Module = without(*arguments, **options)
    module.__class__ = kind
    return module


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
