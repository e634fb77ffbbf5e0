"""HDF5's .h5: all arrays in one file, with their keys and what they are."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from math import prod
from pathlib import Path
from shlex import quote
from types import ModuleType
from typing import Any

import numpy as np

from alexnet.activations.arrays import (
    NOT_ARRAYS,
    Output,
    Stored,
    Write,
    in_order,
    numbered,
    unreadable,
)
from alexnet.base import files
from alexnet.base.errors import EnvironmentProblem
from alexnet.base.files import drafts

_CHUNK_BYTES = 2**20


def files_of(path: Path, names: Sequence[str]) -> list[Path]:
    """The one file."""
    return [path]


def space(output: Output) -> int:
    """Bytes that the arrays come to."""
    return output.numbers * output.dtype.itemsize


def require_possible(output: Output) -> None:
    """Raise EnvironmentProblem where h5py is not installed."""
    import_h5py()


def import_h5py() -> ModuleType:
    """h5py, or EnvironmentProblem that says how to get it."""
    try:
        import h5py
    except ImportError:
        raise EnvironmentProblem(
            "HDF5 files need the package h5py, which is not installed.",
            remedy=f"Install it: {quote(sys.executable)} -m pip install h5py, or write .npz or .parquet.",
        ) from None
    module: ModuleType = h5py
    return module


@contextmanager
def writing(output: Output) -> Iterator[Write]:
    """A function that takes the next rows of every array; the file is there after the block."""
    h5py = import_h5py()
    with drafts([output.path]) as (draft,), _created(h5py, draft) as (file, disk):
        keys: list[str] = []
        for name, shape in output.shapes.items():
            size = output.dtype.itemsize * prod(shape)
            chunk = (max(1, min(_CHUNK_BYTES // size, output.most)), *shape)
            whole = (output.most, *shape)
            file.create_dataset(name, whole, output.dtype, chunks=chunk, maxshape=whole)

        def write(some: Sequence[str], rows: Mapping[str, np.ndarray]) -> None:
            for name in output.shapes:
                file[name][len(keys) : len(keys) + len(some)] = rows[name]
            disk.require_sound()
            keys.extend(some)

        yield write
        for name in output.shapes:
            file[name].resize(len(keys), axis=0)
        text = h5py.string_dtype("utf-8")
        file.create_dataset("keys", data=np.array(keys, object), dtype=text)
        if output.labels:
            labels = np.array([output.labels[key] for key in keys], object)
            file.create_dataset("labels", data=labels, dtype=text)
        file.create_dataset("about", data=json.dumps(output.described(len(keys))), dtype=text)
        file.attrs.update(_plain(output.about))


def read(path: Path, stack: ExitStack) -> Stored:
    """The arrays of a file, read as they are asked for."""
    if not path.exists():
        raise FileNotFoundError(2, "", str(path))
    file = stack.enter_context(import_h5py().File(path, "r"))
    layers = {name: _Rows(file[name], path) for name in file if name not in NOT_ARRAYS}
    keys = file["keys"].asstr()[:] if "keys" in file else numbered(layers)
    labels = file["labels"].asstr()[:] if "labels" in file else ()
    about = json.loads(file["about"].asstr()[()]) if "about" in file else {}
    return Stored(tuple(keys), in_order(layers, about), about, tuple(labels))


class _Rows:
    """A dataset of an HDF5 file; rows that cannot be read are a DataError."""

    def __init__(self, dataset: Any, path: Path) -> None:
        if not hasattr(dataset, "dtype"):
            raise ValueError(f"{dataset.name} is a group of arrays, not one")
        self.shape, self.dtype = dataset.shape, dataset.dtype
        self._dataset, self._path = dataset, path

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, rows: Any) -> np.ndarray:
        try:
            values: np.ndarray = self._dataset[rows]
        except (OSError, RuntimeError) as error:
            raise unreadable(self._path, error) from None
        return values


class _Disk(io.FileIO):
    """A file for HDF5's library, which never hears that the disk failed.

    It would raise whatever comes, and crash the process at its end because it could not close the file.
    After a failure, what it writes is kept in memory, for it reads some of that back.
    """

    def __init__(self, path: Path) -> None:
        files.step("create", path)
        super().__init__(path, "w+")
        self.path = path
        self.failure: OSError | None = None
        self.kept: list[tuple[int, bytes]] = []  # place in the file, and what is not in it

    def write(self, data: Any) -> int:
        """Write all of `data`, to memory from the first failure on."""
        place, view = self.tell(), memoryview(data).cast("B")
        left = view
        try:
            while left and not self.failure:
                most = files.step("write", self.path)
                left = left[super().write(left[:most]) :]
        except OSError as error:
            self.failure = error
        if self.failure:
            self.kept.append((place, bytes(view)))
        return len(view)

    def readinto(self, buffer: Any) -> int:
        """Fill `buffer` with what was written there."""
        place, view = self.tell(), memoryview(buffer).cast("B")
        count = super().readinto(view) or 0
        view[count:] = bytes(len(view) - count)
        for start, data in self.kept:
            first, end = max(place, start), min(place + len(view), start + len(data))
            if first < end:
                view[first - place : end - place] = data[first - start : end - start]
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        """Cut or lengthen the file, unless something has failed."""
        try:
            return self.tell() if self.failure else super().truncate(size)
        except OSError as error:
            self.failure = error
            return self.tell()

    def require_sound(self) -> None:
        """Raise what the disk said first, if it failed."""
        if self.failure:
            raise self.failure


@contextmanager
def _created(h5py: ModuleType, draft: Path) -> Iterator[tuple[Any, _Disk]]:
    """An HDF5 file, open, and the file it is in; raises OSError where the disk fails."""
    with _Disk(draft) as disk:
        try:
            with h5py.File(disk, "w") as file:
                yield file, disk
        finally:
            disk.require_sound()  # what the library made of it says less


def _plain(about: Mapping[str, Any]) -> dict[str, str | int]:
    """What of a description is a text or a number, with what is one level below: model_name."""
    found = {}
    for key, value in about.items():
        below = value if isinstance(value, dict) else {}
        named = {f"{key}_{name}": one for name, one in below.items()} or {key: value}
        found.update({name: one for name, one in named.items() if isinstance(one, str | int)})
    return found
