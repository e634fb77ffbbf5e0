"""A small prepared dataset and untrained networks for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from alexnet.network import AlexNet, ModelCard
from alexnet.prepared import PreparedDataset, prepare
from alexnet.sources import open_source


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    """Real handwritten digits: ten classes, the first hundred of each split... made quickly."""
    folder = tmp_path_factory.mktemp("prepared") / "synthetic"
    return prepare(open_source("synthetic:40x6"), folder)
