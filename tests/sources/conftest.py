"""Small real image files, and trees of them."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


def pixels(data: bytes) -> np.ndarray:
    """What an image file shows: H x W x 3, or H x W without colour."""
    return np.asarray(Image.open(io.BytesIO(data)))


@pytest.fixture(scope="session")
def jpeg() -> Callable[[int], bytes]:
    """A JPEG of 24x20 pixels that differs for every number."""

    def make(number: int) -> bytes:
        noise = np.random.default_rng(number).integers(0, 256, (20, 24, 3), np.uint8)
        file = io.BytesIO()
        Image.fromarray(noise).save(file, "JPEG")
        return file.getvalue()

    return make


@pytest.fixture
def tree(tmp_path: Path, jpeg: Callable[[int], bytes]) -> Callable[[str], Path]:
    """A folder with an image at each of the given paths."""

    def make(paths: str, name: str = "photos") -> Path:
        root = tmp_path / name
        root.mkdir(exist_ok=True)
        for number, path in enumerate(paths.split()):
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(jpeg(number))
        return root

    return make
