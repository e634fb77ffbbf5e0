"""A run small enough to be repeated: real pictures, the real loop, few kernels."""

from __future__ import annotations

from pathlib import Path

import pytest

from alexnet.prepared import PreparedDataset, prepare
from alexnet.sources import open_source


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("set") / "prepared"
    dataset: PreparedDataset = prepare(open_source("synthetic:48x4", validation_share=0.25), folder)
    return dataset.folder
