"""What the tests of several verbs share."""

from __future__ import annotations

import pytest

from alexnet.config import StartConfig
from alexnet.models import ModelCard, save_model
from alexnet.network import AlexNet
from alexnet.prepared import PreparedDataset


@pytest.fixture(scope="module")
def model(photo_set: PreparedDataset, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of an untrained model of the six classes of `photo_set`."""
    folder = tmp_path_factory.mktemp("models") / "untrained"
    statistics = {"mean": photo_set.statistics.mean_HWC}
    network = AlexNet(6, start=StartConfig(rule="he", bias=0.0), seed=1)
    save_model(folder, network, ModelCard(photo_set.classes, photo_set.titles, statistics))
    return str(folder)
