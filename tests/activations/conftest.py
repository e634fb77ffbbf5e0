"""A network of the paper's eight layers with a handful of kernels, and what it needs to be used."""

from __future__ import annotations

import pytest
from torture.narrow_run import KERNELS

from alexnet.config import StartConfig
from alexnet.conventions import PAPER
from alexnet.models import ModelCard
from alexnet.network import AlexNet
from alexnet.prepared import PreparedDataset


@pytest.fixture(scope="session")
def narrow() -> AlexNet:
    start = StartConfig(rule="he", bias=0.0)
    return AlexNet(6, PAPER.with_kernels(KERNELS), start, seed=2)


@pytest.fixture(scope="session")
def card(photo_set: PreparedDataset) -> ModelCard:
    statistics = {"mean": photo_set.statistics.mean_HWC}
    return ModelCard(photo_set.classes, photo_set.titles, statistics)
