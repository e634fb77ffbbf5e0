"""A network small enough for exact arithmetic."""

from __future__ import annotations

import pytest

from alexnet.config import StartConfig
from alexnet.conventions import PAPER
from alexnet.network import AlexNet


@pytest.fixture
def narrow() -> AlexNet:
    """The eight layers with the paper's geometry and a handful of kernels, in float64."""
    kernels = {"conv1": 8, "conv2": 8, "conv3": 12, "conv4": 12, "conv5": 8, "fc6": 10, "fc7": 10}
    return AlexNet(5, PAPER.with_kernels(kernels), StartConfig(rule="he", gain=0.8)).double()
