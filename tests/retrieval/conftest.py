"""Two models of the paper's eight layers with a handful of kernels, and images for them."""

from __future__ import annotations

from pathlib import Path

import pytest
from torture.narrow_run import KERNELS

from alexnet.config import StartConfig
from alexnet.conventions import PAPER
from alexnet.models import ModelCard, save_model
from alexnet.network import AlexNet
from alexnet.prepared import PreparedDataset


def save(folder: Path, photo_set: PreparedDataset, seed: int) -> Path:
    start = StartConfig(rule="he", bias=0.0)
    network = AlexNet(6, PAPER.with_kernels(KERNELS), start, seed=seed)
    statistics = {"mean": photo_set.statistics.mean_HWC}
    save_model(folder, network, ModelCard(photo_set.classes, photo_set.titles, statistics))
    return folder


@pytest.fixture(scope="session")
def narrow_model(photo_set: PreparedDataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("model") / "narrow", photo_set, 2)


@pytest.fixture(scope="session")
def other_model(photo_set: PreparedDataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("model") / "other", photo_set, 3)
