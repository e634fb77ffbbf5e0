"""Small sources made of given files, and preparation in small shards."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from alexnet.prepared import shards
from alexnet.sources import Source, open_source


@pytest.fixture(scope="session")
def image() -> Callable[..., bytes]:
    """A smooth image that differs for every number, as the bytes of a file."""

    def make(number: int = 0, kind: str = "PNG", size: tuple[int, int] = (90, 70)) -> bytes:
        small = np.random.default_rng(number).integers(0, 256, (5, 6, 3), np.uint8)
        file = io.BytesIO()
        Image.fromarray(small).resize(size, Image.Resampling.BICUBIC).save(file, kind)
        return file.getvalue()

    return make


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Five images to a shard."""
    monkeypatch.setattr(shards, "IMAGES", {"raw": 5, "jpeg": 5})
    yield


@pytest.fixture
def folder(tmp_path: Path, image: Callable[..., bytes]) -> Callable[..., Source]:
    """A source of train/cat, train/dog, val/cat, val/dog with `count` images for training, plus
    whatever files are given."""

    def make(count: int = 12, extra: dict[str, bytes] | None = None) -> Source:
        root = tmp_path / "photos"
        for n in range(count + 4):
            split = "train" if n < count else "val"
            path = root / split / ("cat", "dog")[n % 2] / f"{n:03d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(image(n))
        for name, data in (extra or {}).items():
            (root / name).write_bytes(data)
        return open_source(str(root))

    return make
