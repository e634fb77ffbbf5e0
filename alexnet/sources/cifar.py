"""CIFAR-10 as its authors publish it: the python version's pickles, or the binary version.

The pickles are read without executing anything in them (`alexnet.formats.pickles`).
Legend: N images, C colours, H height, W width.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from alexnet import paper
from alexnet.base.errors import DataError
from alexnet.formats.pickle_machine import BadPickle
from alexnet.formats.pickles import unpickled
from alexnet.sources.archive import list_members, read_members
from alexnet.sources.base import Files, LabelledImage, Source, as_ppm

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
_MAX_BYTES = 2**26  # of a batch, which has 31 MB
_BATCHES = {**{f"data_batch_{n}": "train" for n in range(1, 6)}, "test_batch": "val"}


def is_batch_folder(path: Path) -> bool:
    """Whether `path` holds the unpacked batches of the python or the binary version."""
    return any((path / f"test_batch{suffix}").is_file() for suffix in ("", ".bin"))


def open_batches(path: Path, spec: str) -> Source:
    """CIFAR-10 from the publisher's archive or its unpacked folder; test images are "val".

    Raises DataError where a batch is missing, cut, or holds anything that is not a CIFAR batch.
    """
    counts, contents = {}, hashlib.sha256()
    for name, data in _batches(path):
        counts[name] = len(_decode(data, where=f"{path}: {name}")[0])
        contents.update(data)
    if missing := sorted(set(_BATCHES) - set(counts)):
        raise DataError(f"CIFAR-10 is not complete: no {', '.join(missing)}.", where=path)

    def images() -> Iterator[LabelledImage]:
        for name, data in _batches(path):
            labels_N, pixels_NCHW = _decode(data, where=f"{path}: {name}")
            for n, (label, pixels_CHW) in enumerate(zip(labels_N, pixels_NCHW, strict=True)):
                key = f"{CLASSES[label]}/{name}_{n:05d}"
                yield LabelledImage(
                    _BATCHES[name], key, label, as_ppm(pixels_CHW.transpose(1, 2, 0))
                )

    return Source(
        spec=spec,
        found=path.name,
        classes=CLASSES,
        titles=CLASSES,
        splits=("train", "val"),
        count=sum(counts.values()),
        identity=contents.hexdigest(),
        images=images,
        files=Files(path),
    )


def _batches(path: Path) -> Iterator[tuple[str, bytes]]:
    """(batch name, bytes) in the order of the names, train before test."""
    if path.is_dir():
        files = {file.name.removesuffix(".bin"): file for file in path.iterdir()}
        for name in _BATCHES:
            if name in files:
                with open(files[name], "rb") as file:
                    yield name, _not_too_long(file.read(_MAX_BYTES + 1), f"{path}: {name}")
        return
    content = list_members(path)
    if content.truncated:
        raise DataError(f"The archive breaks off {content.truncated}.", where=path)
    wanted = {m.parts[-1].removesuffix(".bin"): m for m in content.members if not m.ignored}
    wanted = {name: m for name, m in wanted.items() if name in _BATCHES and m.size <= _MAX_BYTES}
    in_order = sorted(wanted, key=lambda name: wanted[name].offset)
    contents = read_members(path, [wanted[name] for name in in_order])
    batches = {name: data for name, (data, _) in zip(in_order, contents, strict=True)}
    yield from ((name, batches[name]) for name in _BATCHES if name in batches)


def _not_too_long(data: bytes, where: str) -> bytes:
    if len(data) > _MAX_BYTES:
        raise DataError("A CIFAR-10 batch of an impossible size.", where=where)
    return data


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
        batch = unpickled(data)
    except BadPickle as error:
        raise DataError(f"Not a batch of CIFAR-10: {error}.", where=where) from None
    parts = batch if isinstance(batch, dict) else {}
    labels_N, pixels = parts.get("labels"), parts.get("data")
    if not (
        isinstance(labels_N, list)
        and all(type(label) is int for label in labels_N)
        and isinstance(pixels, np.ndarray)
        and pixels.dtype == np.uint8
        and pixels.shape == (len(labels_N), _VALUES)
    ):
        raise DataError("Not a batch of CIFAR-10: no uint8 array with a label a row.", where=where)
    return labels_N, pixels
