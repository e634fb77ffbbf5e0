"""A small real dataset: the built-in digits, prepared once."""

from __future__ import annotations

import numpy as np
import pytest

from alexnet.prepared import PreparedDataset, prepare
from alexnet.sources import open_source


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    return prepare(open_source("synthetic:40x4"), tmp_path_factory.mktemp("set") / "prepared")


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)


@pytest.fixture
def mean() -> np.ndarray:
    return np.random.default_rng(1).uniform(100, 130, (256, 256, 3)).astype(np.float32)


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    """Images of 32 pixels, for the nets of CIFAR-10."""
    folder = tmp_path_factory.mktemp("small") / "set"
    return prepare(open_source("synthetic:40x4"), folder, side=32)
