"""A network small enough for exact arithmetic."""

from __future__ import annotations

from dataclasses import replace

import pytest
from torture.narrow_run import KERNELS

from alexnet.config import StartConfig
from alexnet.conventions import PAPER
from alexnet.network import AlexNet


def narrow_net(crop: int) -> AlexNet:
    """The eight layers with the paper's geometry and a handful of kernels, in float64."""
    few = {**KERNELS, "fc6": 10, "fc7": 10}
    about = replace(PAPER.with_kernels(few), crop=crop)
    return AlexNet(5, about, StartConfig(rule="he", gain=0.8)).double()


@pytest.fixture
def narrow() -> AlexNet:
    """The network of 224 pixels."""
    return narrow_net(PAPER.crop)


@pytest.fixture
def small() -> AlexNet:
    """The network of 64 pixels: there too conv1's last windows reach over the edge."""
    return narrow_net(64)
