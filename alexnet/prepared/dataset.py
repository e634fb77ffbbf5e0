"""A prepared dataset, opened and checked: what training, evaluation and retrieval read from.

Legend: N images, H height, W width, C colours.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from alexnet.base.errors import DataError, UsageError, did_you_mean
from alexnet.base.files import canonical_json, sha256_of
from alexnet.base.names import distinct
from alexnet.prepared import description as descriptions
from alexnet.prepared.pages import Advice
from alexnet.prepared.shards import Index, Shard
from alexnet.prepared.statistics import Statistics


@dataclass(frozen=True)
class Split:
    """One split's images, numbered 0 to len - 1; safe to read from many threads at once.

    `labels` is int64, N.
    """

    name: str
    labels: np.ndarray
    shards: tuple[Shard, ...]
    side: int  # of the images, in pixels
    _first: np.ndarray  # the number of each shard's first image

    def __len__(self) -> int:
        return len(self.labels)

    def pixels(self, i: int, out_HWC: np.ndarray | None = None) -> np.ndarray:
        """Image `i`: uint8 (side, side, 3); a read-only view of the file where it is stored raw.

        A JPEG is decoded into `out_HWC` if that is given.
        """
        shard, n = self._locate(i)
        return shard.pixels(n, out_HWC)

    @property
    def is_raw(self) -> bool:
        """Whether images are stored as plain pixels."""
        return all(shard.raw_NHWC is not None for shard in self.shards)

    def addresses(self, indices_N: np.ndarray) -> np.ndarray:
        """Where in memory raw images lie, for as long as the split is open: uint64, N."""
        assert indices_N.size == 0 or 0 <= indices_N.min() <= indices_N.max() < len(self)
        numbers_N = np.searchsorted(self._first, indices_N, side="right") - 1
        places_N = (indices_N - self._first[numbers_N]).astype(np.uint64)
        addresses_N: np.ndarray = self._bases[numbers_N] + places_N * self._bytes_each
        return addresses_N

    def advise(self, first: int, end: int, advice: Advice) -> None:
        """Advise the system about the images first ... end - 1, which may lie in several shards."""
        for shard, begins in zip(self.shards, self._firsts, strict=True):
            here, there = max(first - begins, 0), min(end - begins, len(shard))
            if here < there:
                shard.advise(here, there, advice)

    @cached_property
    def _bytes_each(self) -> np.uint64:
        return np.uint64(self.side * self.side * 3)

    @cached_property
    def _bases(self) -> np.ndarray:
        images = [shard.raw_NHWC for shard in self.shards]
        return np.array([raw.ctypes.data for raw in images if raw is not None], np.uint64)

    def key(self, i: int) -> str:
        """The name of image `i` in its source."""
        shard, n = self._locate(i)
        return str(shard.keys[n])

    def _locate(self, i: int) -> tuple[Shard, int]:
        if not 0 <= i < len(self.labels):
            raise IndexError(f"image {i} of {len(self.labels)} in {self.name}")
        number = bisect_right(self._firsts, i) - 1
        return self.shards[number], i - self._firsts[number]

    @cached_property
    def _firsts(self) -> list[int]:
        # A list: to find one number in an array takes ten times as long.
        return [int(first) for first in self._first]


@dataclass(frozen=True)
class PreparedDataset:
    """A folder with dataset.json, shards and statistics.

    `classes` are the names in label order, `titles` what people call them, `fingerprint` a SHA-256
    that changes with any image, label, key or class name. `description` is dataset.json.
    """

    folder: Path
    classes: tuple[str, ...]
    titles: tuple[str, ...]
    splits: tuple[str, ...]
    statistics: Statistics
    fingerprint: str
    description: Mapping[str, Any]
    _splits: Mapping[str, Split] = field(repr=False)

    @classmethod
    def open(cls, folder: Path | str) -> PreparedDataset:
        """Open and check everything that can be checked without reading the images.

        Raises DataError where files are missing, cut or contradict dataset.json, IncompatibleError
        where another version of this program wrote them.
        """
        folder = Path(folder)
        description = descriptions.read_description(folder)
        classes = tuple(description["classes"])
        statistics = description["statistics"]
        path = folder / statistics["file"]
        if not path.is_file() or sha256_of(path) != statistics["sha256"]:
            raise DataError("The statistics are missing or changed.", where=path)
        splits = {
            name: _open_split(folder, name, split, len(classes), description["made"]["size"])
            for name, split in description["splits"].items()
        }
        essence = {
            "version": 1,  # of this hash
            "classes": description["classes_sha256"],
            "shards": {
                name: [shard["sha256"] for shard in split["shards"]]
                for name, split in description["splits"].items()
            },
        }
        return cls(
            folder=folder,
            classes=classes,
            titles=distinct(description["titles"]),
            splits=tuple(splits),
            statistics=Statistics.load(path, description["made"]["size"]),
            fingerprint=hashlib.sha256(canonical_json(essence)).hexdigest(),
            description=description,
            _splits=splits,
        )

    @property
    def side(self) -> int:
        """Of the images, in pixels."""
        return int(self.description["made"]["size"])

    def split(self, name: str) -> Split:
        """One split by its name; raises UsageError for a name that does not exist."""
        if name not in self._splits:
            raise UsageError(
                f"{self.folder} has no split {name!r}.", remedy=did_you_mean(name, self.splits)
            )
        return self._splits[name]


def _open_split(folder: Path, name: str, split: dict[str, Any], classes: int, side: int) -> Split:
    shards = []
    for entry in split["shards"]:
        first, end = entry["images_at"]
        index = Index(first, end, entry["index_sha256"])
        shard = Shard.open(folder / entry["file"], entry["bytes"], index, side)
        if len(shard) != entry["images"]:
            raise DataError(
                f"A shard has {len(shard)} images instead of {entry['images']}.",
                where=shard.path,
            )
        if len(shard) and not 0 <= shard.labels_N.min() <= shard.labels_N.max() < classes:
            raise DataError(
                f"A shard has labels {shard.labels_N.min()} to {shard.labels_N.max()}; "
                f"there are {classes} classes, 0 to {classes - 1}.",
                where=shard.path,
            )
        shards.append(shard)
    counts = [len(shard) for shard in shards]
    labels = np.concatenate([np.empty(0, np.int64), *(shard.labels_N for shard in shards)])
    if np.bincount(labels, minlength=classes).tolist() != split["per_class"]:
        raise DataError(
            f"The labels of {name!r} are not those that dataset.json counts.",
            where=folder,
            remedy="Remove the folder and prepare the set again.",
        )
    labels.flags.writeable = False
    return Split(name, labels, tuple(shards), side, np.cumsum([0, *counts])[:-1])
