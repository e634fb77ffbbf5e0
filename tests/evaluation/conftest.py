"""Untrained networks for the small set of photographs, and their model folders."""

from __future__ import annotations

from pathlib import Path

import pytest

from alexnet.config import StartConfig
from alexnet.evaluation.predictions import Predictions, predict_split
from alexnet.models import ModelCard, save_model
from alexnet.network import AlexNet
from alexnet.prepared import PreparedDataset

START = StartConfig(rule="he", bias=0.0)  # its outputs differ between images


@pytest.fixture(scope="session")
def network(photo_set: PreparedDataset) -> AlexNet:
    """One network, not trained."""
    return AlexNet(len(photo_set.classes), start=START, seed=1)


@pytest.fixture(scope="session")
def card(photo_set: PreparedDataset) -> ModelCard:
    """What a run on the photographs stores with its weights."""
    statistics = photo_set.statistics
    return ModelCard(photo_set.classes, photo_set.titles, {"mean": statistics.mean_HWC})


@pytest.fixture(scope="session")
def model_folder(
    network: AlexNet, card: ModelCard, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """`network`, written."""
    folder = tmp_path_factory.mktemp("models") / "one"
    save_model(folder, network, card)
    return folder


@pytest.fixture(scope="session")
def found(network: AlexNet, card: ModelCard, photo_set: PreparedDataset) -> Predictions:
    """What `network` says of the validation images, from ten views."""
    return predict_split(network, card, photo_set, "val", 10, {"name": "untrained"})
