"""Arrays with one row for each image, read back from .npy, .h5, .csv or .mat, also foreign ones."""

from __future__ import annotations

import csv
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from alexnet.activations.output import (
    about_file,
    import_h5py,
    keys_file,
    keys_hash,
    require_ending,
    variable,
)
from alexnet.base.errors import AlexNetError, DataError, UsageError, did_you_mean
from alexnet.base.files import read_json

_NOT_ARRAYS = {"keys", "about"}


@dataclass(frozen=True)
class Stored:
    """`layers` by name, each an array or what reads like one, N rows; `keys` of the N images.

    Only the rows that are asked for are read, but for a .mat, which is read whole. `about` is what was
    written of them.
    """

    keys: tuple[str, ...]
    layers: Mapping[str, Any]
    about: Mapping[str, Any]

    def layer(self, name: str) -> Any:
        """One layer by its name; raises UsageError for one that is not there."""
        if name not in self.layers:
            raise UsageError(
                f"There is no layer {name!r} in the file.",
                remedy=did_you_mean(name, self.layers),
            )
        return self.layers[name]


@contextmanager
def stored(path: Path) -> Iterator[Stored]:
    """The arrays of a file, open while the block lasts; `f.npy` also stands for its several layers.

    Keys are numbers where none are stored. Raises UsageError for an ending that is not read, DataError
    for files that are missing, damaged or do not belong together.
    """
    readers: dict[str, Callable[[Path, ExitStack], Stored]]
    readers = {".npy": _npy, ".csv": _csv, ".h5": _h5, ".mat": _mat}
    read = readers[require_ending(path)]
    with ExitStack() as stack:
        try:
            found = read(path, stack)
            _require_arrays(found)
            _require_one_writing(found, path)
        except FileNotFoundError as error:
            raise DataError(
                "There is no such file.",
                where=error.filename or path,
                remedy="Write it with: alexnet features MODEL IMAGES -o FILE",
            ) from None
        except AlexNetError:
            raise
        except Exception as error:  # of a damaged file its library raises whatever comes
            raise _unreadable(path, error) from None
        yield found


def _npy(path: Path, stack: ExitStack) -> Stored:
    about, whose = _about(path)
    files = _files(path, about)
    layers = {name: np.lib.format.open_memmap(file, mode="r") for name, file in files.items()}
    if not about:
        return Stored(_numbers(layers), layers, about)
    with open(keys_file(whose), encoding="utf-8", errors="surrogateescape", newline="") as file:
        keys = tuple(row["key"] for row in csv.DictReader(file))
    return Stored(keys, layers, about)


def _csv(path: Path, stack: ExitStack) -> Stored:
    about, _ = _about(path)
    tables = {name: _table(file, stack) for name, file in _files(path, about).items()}
    keys, *others = [keys for keys, _ in tables.values()]
    if any(one != keys for one in others):
        raise _mixed("The layers' files have different keys.", path)
    return Stored(tuple(keys), {name: numbers for name, (_, numbers) in tables.items()}, about)


def _table(path: Path, stack: ExitStack) -> tuple[list[str], np.ndarray]:
    """Keys and numbers (float64) of a .csv, which go through a nameless file to be read anywhere."""
    keys = []
    spool = stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 - as long as the stack
    with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
        lines = csv.reader(file)
        columns = len(next(lines, [])) - 1
        for number, (key, *numbers) in enumerate(lines, start=2):
            if len(numbers) != columns:
                raise ValueError(f"line {number} has {len(numbers)} numbers, not {columns}")
            keys.append(key)
            spool.write(np.array(numbers, np.float64).tobytes())
    spool.flush()
    if not keys or columns < 1:
        raise ValueError("there are no numbers in it")
    with open(path, "rb") as end:
        end.seek(-1, os.SEEK_END)
        if end.read() != b"\n":
            raise ValueError("it is cut: the last line has no end")
    return keys, np.memmap(spool, np.float64, "r", shape=(len(keys), columns))


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
            raise _unreadable(self._path, error) from None
        return values


def _h5(path: Path, stack: ExitStack) -> Stored:
    if not path.exists():
        raise FileNotFoundError(2, "", str(path))
    file = stack.enter_context(import_h5py().File(path, "r"))
    layers = {name: _Rows(file[name], path) for name in file if name not in _NOT_ARRAYS}
    keys = file["keys"].asstr()[:] if "keys" in file else _numbers(layers)
    about = json.loads(file["about"].asstr()[()]) if "about" in file else {}
    return Stored(tuple(keys), _in_order(layers, about), about)


def _mat(path: Path, stack: ExitStack) -> Stored:
    import scipy.io

    with open(path, "rb") as file:
        try:
            found = scipy.io.loadmat(file)
        except NotImplementedError:  # MATLAB's own version 7.3 is HDF5
            raise ValueError("it is of another version; save it with -v7") from None
    about = json.loads(found["about"][0]) if "about" in found else {}
    names = {variable(name): name for name in _names(about)}
    layers = {
        names.get(name, name): value
        for name, value in found.items()
        if not name.startswith("__") and name not in _NOT_ARRAYS
    }
    keys = [str(one[0]) for one in found["keys"][:, 0]] if "keys" in found else _numbers(layers)
    return Stored(tuple(keys), _in_order(layers, about), about)


def _about(path: Path) -> tuple[dict[str, Any], Path]:
    """The description of the files that `path` is one of, and their common name; else nothing.

    Raises DataError where there are keys but no description that they and `path` have in common.
    """
    stem = path.stem
    while stem:
        whose = path.with_name(stem + path.suffix)
        about = read_json(about_file(whose)) if about_file(whose).is_file() else {}
        files = [layer["file"] for layer in about["layers"]] if "layers" in about else []
        stands_for_all = whose == path and not path.exists() and files
        if path.name in files or (stands_for_all and files[0].endswith(path.suffix)):
            return about, whose
        if path.suffix == ".npy" and keys_file(whose).is_file() and (whose == path or not about):
            raise _mixed(
                f"No {about_file(whose).name} says that {path.name} has the keys of "
                f"{keys_file(whose).name}.",
                path,
            )
        stem = stem.rpartition(".")[0]
    return {}, path


def _files(path: Path, about: Mapping[str, Any]) -> dict[str, Path]:
    """The file of each layer that `path` stands for."""
    known = {one["name"]: path.with_name(one["file"]) for one in about.get("layers", [])}
    asked = {name: file for name, file in known.items() if file == path}
    return asked or known or {path.stem: path}


def _in_order(layers: Mapping[str, Any], about: Mapping[str, Any]) -> dict[str, Any]:
    """Layers as they were asked for; HDF5 lists them by the alphabet."""
    order = [name for name in _names(about) if name in layers]
    return {name: layers[name] for name in dict.fromkeys([*order, *layers])}


def _names(about: Mapping[str, Any]) -> list[str]:
    """The layers that a description has, in the order in which they were asked for."""
    return [layer["name"] for layer in about.get("layers", [])]


def _unreadable(path: Path, error: Exception) -> DataError:
    said = str(error).partition("\n")[0] or type(error).__name__
    return DataError(f"Not a readable {path.suffix} file: {said}.", where=path)


def _numbers(layers: Mapping[str, Any]) -> tuple[str, ...]:
    """Keys for rows that have none."""
    return tuple(str(n) for rows in list(layers.values())[:1] for n in range(len(rows)))


def _require_arrays(found: Stored) -> None:
    if not found.layers:
        raise ValueError("there are no arrays in it")
    for name, array in found.layers.items():
        if array.dtype.kind not in "iuf" or len(array.shape) < 2 or 0 in array.shape:
            raise ValueError(f"{name} is no array of numbers with a row for each image")


def _require_one_writing(found: Stored, path: Path) -> None:
    """Raise DataError where keys, arrays and what describes files of their own disagree."""
    about = found.about
    if about.get("keys_sha256", keys_hash(found.keys)) != keys_hash(found.keys):
        raise _mixed("The keys are not those that were written with the arrays.", path)
    described = {one["name"]: one["shape"] for one in about.get("layers", []) if "file" in one}
    for name, array in found.layers.items():
        if len(array) != len(found.keys):
            what = f"There are {len(found.keys):,} keys and {len(array):,} rows of {name}."
            raise _mixed(what, path)
        N, *shape = described.get(name, array.shape)
        if (N, prod(shape)) != (len(array), prod(array.shape[1:])):
            raise _mixed(f"{name} is not of the size that was written with the keys.", path)


def _mixed(what: str, path: Path) -> DataError:
    return DataError(what, where=path, remedy="The files do not belong together: write them again.")
