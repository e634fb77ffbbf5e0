"""Arrays with one row for each picture, read back from .npy, .h5, .csv or .mat, also foreign ones."""

from __future__ import annotations

import csv
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from alexnet.errors import DataError, UsageError, did_you_mean
from alexnet.files import read_json
from alexnet.retrieval.output import (
    about_file,
    import_h5py,
    keys_file,
    require_ending,
    variable,
)

_NOT_ARRAYS = {"keys", "about"}


@dataclass(frozen=True)
class Stored:
    """`layers` by name, each an array or what reads like one, N rows; `keys` of the N pictures.

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
            _require_whole(found)
        except FileNotFoundError as error:
            raise DataError(
                "There is no such file.",
                where=error.filename or path,
                remedy="Write it with: alexnet features MODEL PICTURES -o FILE",
            ) from None
        except (OSError, ValueError, KeyError, TypeError, IndexError, EOFError) as error:
            if isinstance(error, DataError):
                raise
            said = str(error).partition("\n")[0]
            raise DataError(f"Not a readable {path.suffix} file: {said}.", where=path) from None
        yield found


def _npy(path: Path, stack: ExitStack) -> Stored:
    about, whose = _about(path)
    files = _files(path, about)
    layers = {name: np.load(file, mmap_mode="r") for name, file in files.items()}
    rows = len(next(iter(layers.values())))
    if keys_file(whose).is_file():
        with open(keys_file(whose), encoding="utf-8", errors="surrogateescape", newline="") as file:
            keys = [row["key"] for row in csv.DictReader(file)]
    else:
        keys = [str(n) for n in range(rows)]
    return Stored(tuple(keys), layers, about)


def _csv(path: Path, stack: ExitStack) -> Stored:
    about, _ = _about(path)
    keys: list[str] = []
    layers = {}
    for name, file in _files(path, about).items():
        keys, layers[name] = _table(file, stack)
    return Stored(tuple(keys), layers, about)


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


def _h5(path: Path, stack: ExitStack) -> Stored:
    if not path.exists():
        raise FileNotFoundError(2, "", str(path))
    file = stack.enter_context(import_h5py().File(path, "r"))
    layers = {name: file[name] for name in file if name not in _NOT_ARRAYS}
    rows = range(len(next(iter(layers.values()))))
    keys = file["keys"].asstr()[:] if "keys" in file else [str(n) for n in rows]
    about = json.loads(file["about"].asstr()[()]) if "about" in file else {}
    return Stored(tuple(keys), _in_order(layers, about), about)


def _mat(path: Path, stack: ExitStack) -> Stored:
    import scipy.io

    with open(path, "rb") as file:
        try:
            found = scipy.io.loadmat(file)
        except NotImplementedError:  # MATLAB's own version 7.3 is HDF5
            raise ValueError("it is of another version; save it with -v7") from None
        except Exception as error:  # of a damaged file SciPy raises whatever comes
            raise ValueError(str(error)) from None
    about = json.loads(found["about"][0]) if "about" in found else {}
    names = {variable(name): name for name in _names(about)}
    layers = {
        names.get(name, name): value
        for name, value in found.items()
        if not name.startswith("__") and name not in _NOT_ARRAYS
    }
    rows = range(len(next(iter(layers.values()))))
    keys = [str(one[0]) for one in found["keys"][:, 0]] if "keys" in found else map(str, rows)
    return Stored(tuple(keys), _in_order(layers, about), about)


def _about(path: Path) -> tuple[dict[str, Any], Path]:
    """The description of the files that `path` is one of, and their common name; else nothing."""
    stem = path.stem
    while stem:
        whose = path.with_name(stem + path.suffix)
        about = read_json(about_file(whose)) if about_file(whose).is_file() else {}
        files = [layer["file"] for layer in about["layers"]] if "layers" in about else []
        stands_for_all = whose == path and not path.exists() and files
        if path.name in files or (stands_for_all and files[0].endswith(path.suffix)):
            return about, whose
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


def _require_whole(found: Stored) -> None:
    for name, array in found.layers.items():
        if array.dtype.kind not in "iuf" or len(array.shape) < 2 or 0 in array.shape:
            raise ValueError(f"{name} is no array of numbers with a row for each picture")
        if len(array) != len(found.keys):
            raise DataError(
                f"There are {len(found.keys):,} keys and {len(array):,} rows of {name}.",
                remedy="The files do not belong together: write them again.",
            )
