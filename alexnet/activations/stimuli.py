"""The images that activations are taken of, in order: files, or the split of a prepared set.

Shape letters: B images of a batch, V views, H x W pixels, C colours.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from alexnet.base import ranks
from alexnet.base.errors import DataError
from alexnet.base.names import printable
from alexnet.base.progress import progress
from alexnet.evaluation.classifier import pixels_of
from alexnet.evaluation.files import image_files
from alexnet.evaluation.predictions import inputs
from alexnet.loading.crops import cut_views
from alexnet.network import AlexNet
from alexnet.network.alexnet import as_batch
from alexnet.prepared import PreparedDataset

_LOOKED_AT_ONCE = 64
_AHEAD = 1  # batches whose images are decoded while the network is at work

# The views of each batch, B * V x C x H x W: of a network, its mean image, V, and the batches.
Inputs = Callable[[AlexNet, np.ndarray, int, Sequence[range]], Generator[Tensor]]


class Skipped(NamedTuple):
    """An image that cannot be used, and why."""

    image: str
    reason: str


@dataclass(frozen=True)
class Stimuli:
    """Images that can be used, by their `keys`; `skipped` cannot, and `source` says what they are
    of.
    """

    keys: tuple[str, ...]
    inputs: Inputs
    source: Mapping[str, Any]
    skipped: tuple[Skipped, ...] = ()


def of_split(dataset: PreparedDataset, split: str) -> Stimuli:
    """The images of a split in its order; raises UsageError for a name that does not exist."""
    images = dataset.split(split)
    if len(images) == 0:
        raise DataError(f"The split {split!r} has no images.", where=dataset.folder)

    def views_of(
        network: AlexNet, mean_HWC: np.ndarray, views: int, batches: Sequence[range]
    ) -> Generator[Tensor]:
        return inputs(network, mean_HWC, images, views, batches)

    return Stimuli(
        tuple(images.key(i) for i in range(len(images))),
        views_of,
        {"dataset": str(dataset.folder), "fingerprint": dataset.fingerprint, "split": split},
    )


def of_files(names: Sequence[str]) -> Stimuli:
    """Image files, and those in folders in the order of their paths, each of them looked at first.

    Links to folders inside a folder are not followed, but skipped like what is no image. Keys are the
    paths inside a folder that is named alone, otherwise paths as they were typed. Several processes share
    the looking. Raises DataError where none of the images can be used, or a folder cannot be read.
    """
    root = names[0] if len(names) == 1 and os.path.isdir(names[0]) else ""
    found = image_files(names)
    faults = _faults(found)
    keys = [printable(os.path.relpath(file, root) if root else file) for file in found]
    usable = [n for n, fault in enumerate(faults) if not fault]
    skipped = [Skipped(keys[n], fault) for n, fault in enumerate(faults) if fault]
    if not usable:
        reasons = [f"{one.image}: {one.reason}" for one in skipped[:3]]
        raise DataError(
            "None of the images could be used.",
            where=" ".join(reasons) or ", ".join(names),
            remedy="JPEG, PNG, WebP, GIF, BMP, TIFF and PPM are read.",
        )
    files = [found[n] for n in usable]

    def views_of(
        network: AlexNet, mean_HWC: np.ndarray, views: int, batches: Sequence[range]
    ) -> Generator[Tensor]:
        yield from map(as_batch, _cut(files, network, mean_HWC, views, batches))

    source = {"files": [printable(name) for name in names]}
    return Stimuli(tuple(keys[n] for n in usable), views_of, source, tuple(skipped))


def _faults(files: Sequence[str]) -> list[str]:
    """Why each of the files cannot be used, or ""."""
    mine = files[ranks.share(len(files), ranks.rank(), ranks.world())]
    faults: list[str] = []
    with (
        ThreadPoolExecutor(ranks.cores()) as pool,
        progress("looking at images", len(files), "images") as shown,
    ):
        for first in range(0, len(mine), _LOOKED_AT_ONCE):
            group = mine[first : first + _LOOKED_AT_ONCE]
            faults += pool.map(_fault, group)
            shown.advance(len(group) * ranks.world())  # the others are as far
    return ranks.gathered(faults)


def _fault(file: str) -> str:
    if os.path.isdir(file):
        return "A link to a folder, which is not followed."
    try:
        pixels_of(file)
    except DataError as error:
        return error.what
    return ""


def _cut(
    files: Sequence[str],
    network: AlexNet,
    mean_HWC: np.ndarray,
    views: int,
    batches: Sequence[range],
) -> Iterator[np.ndarray]:
    """The views of each batch of files, decoded by all cores, ahead: float32, B*V x H x W x C."""
    about = network.convention
    waiting: deque[list[Future[np.ndarray]]] = deque()

    def taken() -> np.ndarray:
        images = (future.result() for future in waiting.popleft())
        return np.concatenate([cut_views(pixels, mean_HWC, views, about.crop) for pixels in images])

    with ThreadPoolExecutor(ranks.cores()) as pool:
        for batch in batches:
            waiting.append([pool.submit(pixels_of, files[n], about.side) for n in batch])
            if len(waiting) > _AHEAD:
                yield taken()
        while waiting:
            yield taken()
