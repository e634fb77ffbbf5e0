"""CIFAR-10 as its authors publish it: the python version's pickles, or the binary version.

The pickles are read without executing them: nothing but the parts of a NumPy array, strings, bytes,
numbers, lists and dictionaries can come out. Legend: N pictures, C colours, H height, W width.
"""

from __future__ import annotations

import hashlib
import io
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from alexnet import paper
from alexnet.errors import DataError
from alexnet.sources.archive import list_members, read_members
from alexnet.sources.base import Picture, Source, as_ppm

CLASSES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
_SIDE = paper.CIFAR_10_SIDE
_VALUES = 3 * _SIDE * _SIDE
_BATCHES = {**{f"data_batch_{n}": "train" for n in range(1, 6)}, "test_batch": "val"}


def is_batch_folder(path: Path) -> bool:
    """Whether `path` holds the unpacked batches of the python or the binary version."""
    return any((path / f"test_batch{suffix}").is_file() for suffix in ("", ".bin"))


def open_batches(path: Path, spec: str) -> Source:
    """CIFAR-10 from the publisher's archive or its unpacked folder; test pictures are "val".

    Raises DataError where a batch is missing, cut, or holds anything that is not a CIFAR batch.
    """
    counts, contents = {}, hashlib.sha256()
    for name, data in _batches(path):
        counts[name] = len(_decode(data, where=f"{path}: {name}")[0])
        contents.update(data)
    if missing := sorted(set(_BATCHES) - set(counts)):
        raise DataError(f"CIFAR-10 is not complete: no {', '.join(missing)}.", where=path)

    def pictures() -> Iterator[Picture]:
        for name, data in _batches(path):
            labels_N, pixels_NCHW = _decode(data, where=f"{path}: {name}")
            for n, (label, pixels_CHW) in enumerate(zip(labels_N, pixels_NCHW, strict=True)):
                key = f"{CLASSES[label]}/{name}_{n:05d}"
                yield Picture(_BATCHES[name], key, label, as_ppm(pixels_CHW.transpose(1, 2, 0)))

    return Source(
        spec=spec,
        found=path.name,
        classes=CLASSES,
        titles=CLASSES,
        splits=("train", "val"),
        count=sum(counts.values()),
        identity=contents.hexdigest(),
        pictures=pictures,
    )


def _batches(path: Path) -> Iterator[tuple[str, bytes]]:
    """(batch name, bytes) in the order of the names, train before test."""
    if path.is_dir():
        found = {file.name.removesuffix(".bin"): file for file in path.iterdir()}
        for name in _BATCHES:
            if name in found:
                yield name, found[name].read_bytes()
        return
    members, _, truncated = list_members(path)
    if truncated:
        raise DataError(f"The archive breaks off {truncated}.", where=path)
    wanted = [m for m in members if m.parts[-1].removesuffix(".bin") in _BATCHES]
    contents = read_members(path, wanted)
    batches = {
        member.parts[-1].removesuffix(".bin"): data
        for member, (data, _) in zip(wanted, contents, strict=True)
    }
    yield from ((name, batches[name]) for name in _BATCHES if name in batches)


def _decode(data: bytes, where: str) -> tuple[list[int], np.ndarray]:
    """Labels, and pixels as uint8 N x 3 x 32 x 32; raises DataError."""
    if data[:1] == b"\x80":  # a pickle's first byte; a binary batch begins with a label below 10
        labels_N, pixels = _unpickle(data, where)
    else:
        if len(data) % (_VALUES + 1):
            raise DataError("A CIFAR-10 batch of an impossible size.", where=where)
        rows = np.frombuffer(data, np.uint8).reshape(-1, _VALUES + 1)
        labels_N, pixels = rows[:, 0].tolist(), rows[:, 1:]
    if not labels_N or min(labels_N) < 0 or max(labels_N) >= len(CLASSES):
        raise DataError("A CIFAR-10 batch with labels that are not 0 to 9.", where=where)
    return labels_N, pixels.reshape(-1, 3, _SIDE, _SIDE)


def _unpickle(data: bytes, where: str) -> tuple[list[int], np.ndarray]:
    try:
        batch = _ArraysOnly(io.BytesIO(data), encoding="bytes").load()
        labels_N, pixels = batch[b"labels"], batch[b"data"]
    except Exception as error:  # hostile bytes may raise anything; none of it is executed
        raise DataError(f"Not a batch of CIFAR-10: {error}.", where=where) from None
    good = (
        isinstance(labels_N, list)
        and isinstance(pixels, np.ndarray)
        and pixels.dtype == np.uint8
        and pixels.shape == (len(labels_N), _VALUES)
        and all(type(label) is int for label in labels_N)
    )
    if not good:
        raise DataError("Not a batch of CIFAR-10: no uint8 array with a label a row.", where=where)
    return labels_N, pixels


class _ArraysOnly(pickle.Unpickler):
    """An unpickler that knows the three names a NumPy array is made of, and no other."""

    def find_class(self, module: str, name: str) -> Any:
        module = module.replace("numpy.core", "numpy._core")
        if (module, name) == ("numpy._core.multiarray", "_reconstruct"):
            return np._core.multiarray._reconstruct  # type: ignore[attr-defined]
        if module == "numpy" and name in ("ndarray", "dtype"):
            return getattr(np, name)
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")
