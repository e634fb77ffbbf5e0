"""What many tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with the real picture sets (Imagenette, CIFAR-10); skips where there is none."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("ALEXNET_DATA", beside))
    if not (folder / "imagenette-224.tar").exists():
        pytest.skip("no picture sets: set ALEXNET_DATA to a folder with imagenette-224.tar")
    return folder
