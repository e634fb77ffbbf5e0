"""Arrays with one row for each image, written row by row and read back, in the format of the ending."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from difflib import get_close_matches
from math import prod
from pathlib import Path
from typing import Protocol

from alexnet.activations import csv, hdf5, mat, npy, npz, parquet
from alexnet.activations.arrays import Output, Stored, Write, mixed, unreadable
from alexnet.base.errors import AlexNetError, DataError, UsageError
from alexnet.base.files import require_space
from alexnet.base.provenance import names_hash


class Format(Protocol):
    """What the module of a format has."""

    def files_of(self, path: Path, names: Sequence[str]) -> list[Path]:
        """All files that arrays of these names come to, in the order in which they get their names."""

    def space(self, output: Output) -> int:
        """Bytes that the arrays come to, about, without their keys."""

    def require_possible(self, output: Output) -> None:
        """Raise an error, before there is any work, for what cannot be written."""

    def writing(self, output: Output) -> AbstractContextManager[Write]:
        """A function that takes the next rows of every array; the files are there after the block."""

    def read(self, path: Path, stack: ExitStack) -> Stored:
        """The arrays that `path` stands for, open as long as `stack`; raises anything if damaged."""


FORMATS: dict[str, Format] = {
    ".npy": npy,
    ".npz": npz,
    ".h5": hdf5,
    ".parquet": parquet,
    ".csv": csv,
    ".mat": mat,
}
# Endings that others have for these formats, or for what comes nearest.
_OTHERS = {
    **dict.fromkeys((".hdf", ".hdf5", ".he5", ".nc", ".zarr"), ".h5"),
    **dict.fromkeys((".pq", ".parq", ".arrow", ".feather", ".ipc"), ".parquet"),
    **dict.fromkeys((".tsv", ".txt", ".xls", ".xlsx", ".tab", ".dat"), ".csv"),
    **dict.fromkeys((".pkl", ".pickle", ".pt", ".pth", ".safetensors", ".zip"), ".npz"),
    ".m": ".mat",
}
_KEY_BYTES = 32  # a key and its number, about


def require_ending(path: Path) -> str:
    """The ending of a file that is to be written or read.

    Raises UsageError for one that is not known, EnvironmentProblem where what it needs is not installed.
    """
    ending = path.suffix
    if ending not in FORMATS:
        small = ending.lower()
        near = get_close_matches(small, FORMATS, 1)
        meant = small if small in FORMATS else _OTHERS.get(small) or (near[0] if near else "")
        name = path.with_suffix(meant).name if ending else ""
        raise UsageError(
            f"The ending of {path.name!r} names no format.",
            where=path,
            remedy=(f"Did you mean {name!r}? " if meant and ending else "")
            + f"Known: {', '.join(FORMATS)}.",
        )
    if ending == ".h5":
        hdf5.import_h5py()
    return ending


def files_of(path: Path, names: Sequence[str]) -> list[Path]:
    """All files that arrays of these names come to, in the order in which they get their names."""
    return FORMATS[require_ending(path)].files_of(path, names)


def require_new(paths: Sequence[Path], force: bool) -> None:
    """Raise UsageError where one of the files is there already, unless `force`."""
    there = [path for path in paths if path.exists() or path.is_symlink()]
    if there and not force:
        raise UsageError(
            f"{there[0]} exists.",
            remedy="Choose another name with -o, or add --force to write it anew.",
        )


def require_possible(output: Output) -> None:
    """Raise an error, before there is any work, for what cannot be written.

    UsageError for an ending that is not known, a .mat that would be too large and a .csv that would be
    too wide, EnvironmentProblem for a package that is not installed.
    """
    FORMATS[require_ending(output.path)].require_possible(output)


def require_room(output: Output) -> None:
    """Raise EnvironmentProblem where the disk is too small."""
    folder = next(one for one in output.path.absolute().parents if one.is_dir())
    remedy = "Free some space, choose another folder with -o, or fewer layers."
    require_space(folder, space(output), "The result", remedy)


def space(output: Output) -> int:
    """Bytes that the files come to, about."""
    return FORMATS[output.path.suffix].space(output) + _KEY_BYTES * output.most


def writing(output: Output) -> AbstractContextManager[Write]:
    """A function that takes the next rows of every array; the files are there after the block."""
    return FORMATS[require_ending(output.path)].writing(output)


@contextmanager
def stored(path: Path) -> Iterator[Stored]:
    """The arrays of a file, open while the block lasts; `f.npy` also stands for its several layers.

    Keys are numbers where none are stored. Raises UsageError for an ending that is not read, DataError
    for files that are missing, damaged or do not belong together.
    """
    read = FORMATS[require_ending(path)].read
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
            raise unreadable(path, error) from None
        yield found


def _require_arrays(found: Stored) -> None:
    if not found.layers:
        raise ValueError("there are no arrays in it")
    for name, array in found.layers.items():
        if array.dtype.kind not in "iuf" or len(array.shape) < 2 or 0 in array.shape:
            raise ValueError(f"{name} is no array of numbers with a row for each image")


def _require_one_writing(found: Stored, path: Path) -> None:
    """Raise DataError where keys, arrays and what describes files of their own disagree."""
    about = found.about
    if about.get("keys_sha256", names_hash(found.keys)) != names_hash(found.keys):
        raise mixed("The keys are not those that were written with the arrays.", path)
    described = {one["name"]: one["shape"] for one in about.get("layers", []) if "file" in one}
    for name, array in found.layers.items():
        if len(array) != len(found.keys):
            what = f"There are {len(found.keys):,} keys and {len(array):,} rows of {name}."
            raise mixed(what, path)
        N, *shape = described.get(name, array.shape)
        if (N, prod(shape)) != (len(array), prod(array.shape[1:])):
            raise mixed(f"{name} is not of the size that was written with the keys.", path)
