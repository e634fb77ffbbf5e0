"""A network small enough for exact arithmetic."""

from __future__ import annotations

import pytest

from alexnet import paper
from alexnet.config import StartConfig
from alexnet.network import AlexNet


@pytest.fixture
def narrow() -> AlexNet:
    """The eight layers with the paper's geometry and a handful of kernels, in float64."""
    kernels = {"conv1": 8, "conv2": 8, "conv3": 12, "conv4": 12, "conv5": 8, "fc6": 10, "fc7": 10}
    layers = tuple(
        layer._replace(kernels=kernels.get(layer.name, layer.kernels)) for layer in paper.LAYERS
    )
    return AlexNet(5, layers, StartConfig(rule="he", gain=0.8)).double()
