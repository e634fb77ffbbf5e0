"""Training images ready for the network: 224x224 crops, augmented, minus the mean, float32.

The same images are read from raw shards, from JPEG shards, and by the peer from JPEG files, as users of
PyTorch would: Pillow decodes, NumPy augments, a worker process of a DataLoader delivers.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import count
from pathlib import Path

import numpy as np
import simplejpeg
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from alexnet import paper
from alexnet.benchmark.alternate import Comparison, Implementation, Step
from alexnet.benchmark.photographs import views
from alexnet.config import AugmentationConfig
from alexnet.loading.loader import Loader
from alexnet.network import keep_memory
from alexnet.prepared import PreparedDataset, prepare, shards
from alexnet.sources import open_source
from alexnet.sources.base import as_ppm

_RAW_EPOCHS = 8  # in a step, so that a step takes long enough to be timed


def comparisons(peers: Sequence[str], batch: int, images: int, folder: Path) -> list[Comparison]:
    """One from raw and one from JPEG shards of `images` images, all made in `folder`.

    Each implementation has one core.
    """
    _make_images(folder, images)
    batches = max(images // batch, 1)
    others = [Implementation(name, partial(_PEERS[name], folder, batch), images) for name in peers]
    raw = partial(alexnet, folder / "raw", batch, _RAW_EPOCHS * batches)
    jpeg = partial(alexnet, folder / "jpeg", batch, batches)
    return [
        Comparison(
            "crops from raw shards, per core",
            [Implementation("alexnet", raw, _RAW_EPOCHS * batches * batch), *others],
            one_core=True,
        ),
        Comparison(
            "crops from JPEG shards, per core",
            [Implementation("alexnet", jpeg, batches * batch), *others],
            Implementation("ceiling", partial(ceiling, folder), images),
            "simplejpeg decoding the same JPEG, and nothing else",
            one_core=True,
        ),
    ]


def alexnet(prepared: Path, batch: int, batches: int) -> Step:
    """This package's loader, as training uses it."""
    keep_memory()
    dataset = PreparedDataset.open(prepared)
    loader = Loader(dataset.split("train"), dataset.statistics, AugmentationConfig(), batch, 0)
    turns = count()

    def step() -> None:
        first = next(turns) * batches
        for _ in loader.batches(first, first + batches):
            pass

    return step


def pillow(folder: Path, batch: int) -> Step:
    """Pillow in one worker process of a DataLoader."""
    torch.set_num_threads(1)
    files = sorted((folder / "files").iterdir())
    loader = DataLoader(
        _Augmented(files, PreparedDataset.open(folder / "raw")),
        batch,
        shuffle=True,
        num_workers=1,
        persistent_workers=True,
    )

    def step() -> None:
        for _ in loader:
            pass

    return step


def ceiling(folder: Path) -> Step:
    """Bare decoding, in one thread, into memory that is there already."""
    contents = [path.read_bytes() for path in sorted((folder / "files").iterdir())]
    pixels_HWC = shards.room_for_decoded(1)[0]

    def step() -> None:
        for content in contents:
            simplejpeg.decode_jpeg(content, buffer=pixels_HWC)

    return step


_PEERS = {"pillow": pillow}


class _Augmented(Dataset[torch.Tensor]):
    """Section 4.1 over JPEG files, one image at a time."""

    def __init__(self, files: list[Path], dataset: PreparedDataset) -> None:
        statistics = dataset.statistics
        self.files, self.mean_HWC = files, statistics.mean_HWC
        self.components_33 = statistics.eigenvectors_33 * statistics.deviations_3
        self.random = np.random.default_rng()

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, n: int) -> torch.Tensor:
        with Image.open(self.files[n]) as image:
            pixels_HWC = np.asarray(image.convert("RGB"))
        top, left = self.random.integers(0, paper.SIDE - paper.CROP, 2)
        window = slice(top, top + paper.CROP), slice(left, left + paper.CROP)
        alphas_3 = self.random.normal(0, paper.COLOUR_DEVIATION, 3)
        shift_3 = (self.components_33 @ alphas_3).astype(np.float32)
        x_HWC = pixels_HWC[window] - self.mean_HWC[window] + shift_3
        if self.random.integers(2):
            x_HWC = x_HWC[:, ::-1].copy()
        return torch.from_numpy(x_HWC)


def _make_images(folder: Path, images: int) -> None:
    """Photographs in `folder`: raw/ and jpeg/ prepared, files/ with the same JPEG bytes."""
    own, files = folder / "photographs" / "one-class", folder / "files"
    own.mkdir(parents=True)
    files.mkdir()
    for n, pixels_HWC in enumerate(views(images)):
        (own / f"{n:04d}.ppm").write_bytes(as_ppm(pixels_HWC))
        (files / f"{n:04d}.jpg").write_bytes(shards.encode_jpeg(pixels_HWC))
    for storage in ("raw", "jpeg"):
        source = open_source(str(own.parent), validation_share=0)
        prepare(source, folder / storage, storage=storage)
