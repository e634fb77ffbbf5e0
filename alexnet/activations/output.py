"""Arrays with one row for each image, written row by row as .npy, .csv, .h5 or .mat.

A file gets its name when it is whole; where several belong together, the one that describes them comes
last, and goes first where they are replaced.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from alexnet import __version__
from alexnet.base import files
from alexnet.base.errors import EnvironmentProblem, UsageError, did_you_mean
from alexnet.base.files import Writer, canonical_json, drafts, require_space

ENDINGS = (".npy", ".h5", ".csv", ".mat")
MAT_BYTES = 2**31  # version 5 counts bytes in 32 bits, and MATLAB reads half of what they can count
_CHUNK_BYTES = 2**20
_CSV_BYTES = {4: 13, 8: 25}  # of a number of so many bytes, with its comma
_TITLE_BYTES = 116  # of a .mat, where SciPy puts the time

Write = Callable[[Mapping[str, np.ndarray]], None]


@dataclass(frozen=True)
class Output:
    """What is about to be written: a row of every array in `shapes` (of one row) for each of `keys`.

    `about` says what they are. `columns` are the names of one row's numbers in a .csv; without it
    `fc7[0]` ... or `conv3[0,0,0]` ... Raises UsageError for an ending that is not written, or, before
    there is any work, for a .mat that would be too large.
    """

    path: Path
    keys: Sequence[str]
    shapes: Mapping[str, tuple[int, ...]]
    dtype: np.dtype[Any]
    about: Mapping[str, Any]
    columns: Sequence[str] = ()

    def __post_init__(self) -> None:
        kind = require_ending(self.path)
        if kind == ".h5":
            import_h5py()
        if kind == ".mat" and self._numbers() * self.dtype.itemsize >= MAT_BYTES:
            raise UsageError(
                f"The arrays are {self._numbers() * self.dtype.itemsize / 1e9:.1f} GB; "
                f"a .mat file ends at {MAT_BYTES / 1e9:.1f} GB.",
                where=self.path,
                remedy=f"Write {self.path.with_suffix('.h5').name}: MATLAB reads it with h5read.",
            )

    @property
    def arrays(self) -> dict[str, Path]:
        """The file of each array."""
        return arrays_of(self.path, tuple(self.shapes))

    @property
    def files(self) -> list[Path]:
        """All files, in the order in which they get their names."""
        return files_of(self.path, tuple(self.shapes))

    def writing(self) -> AbstractContextManager[Write]:
        """A function that takes the next rows of every array; the files are there after the block."""
        kinds = {".npy": _as_npy, ".csv": _as_csv, ".h5": _as_h5, ".mat": _as_mat}
        return kinds[self.path.suffix](self)

    def space(self) -> int:
        """Bytes that the files come to, about."""
        size = self.dtype.itemsize
        each = _CSV_BYTES[size] if self.path.suffix == ".csv" else size
        twice = 2 if self.path.suffix == ".mat" else 1  # rows are gathered beside it
        return self._numbers() * each * twice + sum(len(key) + 16 for key in self.keys)

    def _numbers(self) -> int:
        return len(self.keys) * sum(prod(shape) for shape in self.shapes.values())


def require_ending(path: Path) -> str:
    """The ending of a file that is to be written; raises UsageError for one that is not known."""
    if path.suffix not in ENDINGS:
        raise UsageError(
            f"The ending of {path.name!r} names no format.",
            where=path,
            remedy=did_you_mean(path.suffix, ENDINGS)
            if path.suffix
            else "Known: .npy, .h5, .csv, .mat.",
        )
    return path.suffix


def require_new(paths: Sequence[Path], force: bool) -> None:
    """Raise UsageError where one of the files is there already, unless `force`."""
    there = [path for path in paths if path.exists() or path.is_symlink()]
    if there and not force:
        raise UsageError(
            f"{there[0]} exists.",
            remedy="Choose another name with -o, or add --force to write it anew.",
        )


def require_room(output: Output) -> None:
    """Raise EnvironmentProblem where the disk is too small."""
    folder = next(one for one in output.path.absolute().parents if one.is_dir())
    remedy = "Free some space, choose another folder with -o, or fewer layers."
    require_space(folder, output.space(), "The result", remedy)


def arrays_of(path: Path, names: Sequence[str]) -> dict[str, Path]:
    """The file of each array: `f.conv3.npy` and `f.fc7.npy` of several, `f.npy` of one."""
    if path.suffix in (".h5", ".mat") or len(names) == 1:
        return dict.fromkeys(names, path)
    return {name: path.with_name(f"{path.stem}.{name}{path.suffix}") for name in names}


def files_of(path: Path, names: Sequence[str]) -> list[Path]:
    """All files that arrays of these names come to, in the order in which they get their names."""
    arrays = list(dict.fromkeys(arrays_of(path, names).values()))
    return {
        ".npy": [keys_file(path), *arrays, about_file(path)],
        ".csv": [*arrays, about_file(path)],
    }.get(path.suffix, arrays)


def keys_file(path: Path) -> Path:
    """The keys of `f.npy`: `f.keys.csv`."""
    return path.with_suffix(".keys.csv")


def about_file(path: Path) -> Path:
    """What `f.npy` is: `f.json`; `f.csv` may lie beside it: `f.csv.json`."""
    return path.with_suffix(".json" if path.suffix == ".npy" else f"{path.suffix}.json")


def keys_hash(keys: Sequence[str]) -> str:
    """A SHA-256 of keys in order: what binds a description to them."""
    return hashlib.sha256(_utf8("\0".join(keys))).hexdigest()


def import_h5py() -> ModuleType:
    """h5py, or EnvironmentProblem that says how to get it."""
    try:
        import h5py
    except ImportError:
        raise EnvironmentProblem(
            "HDF5 files need the package h5py, which is not installed.",
            remedy="Install it: pip install 'alexnet[features]', or choose .npy, .csv or .mat.",
        ) from None
    module: ModuleType = h5py
    return module


def variable(name: str) -> str:
    """A layer's name as MATLAB may have it: fc7_pre of fc7.pre."""
    return name.replace(".", "_")


@contextmanager
def _as_npy(output: Output) -> Iterator[Write]:
    with _written(output) as writers:
        keys, about = io.StringIO(), writers[about_file(output.path)]
        lines = csv.writer(keys, lineterminator="\n")
        lines.writerows([("number", "key"), *enumerate(output.keys)])
        writers[keys_file(output.path)].write(_utf8(keys.getvalue()))
        for name, path in output.arrays.items():
            header = io.BytesIO()
            described = {
                "descr": output.dtype.str,
                "fortran_order": False,
                "shape": (len(output.keys), *output.shapes[name]),
            }
            np.lib.format.write_array_header_1_0(header, described)
            writers[path].write(header.getvalue())

        def write(rows: Mapping[str, np.ndarray]) -> None:
            for name, path in output.arrays.items():
                writers[path].write(np.ascontiguousarray(rows[name], output.dtype).reshape(-1))

        yield write
        about.write(canonical_json(_described(output, writers)))


@contextmanager
def _as_csv(output: Output) -> Iterator[Write]:
    with _written(output) as writers:
        digits = 9 if output.dtype.itemsize == 4 else 17  # as many as every number needs
        for name, path in output.arrays.items():
            writers[path].write(_utf8(_line(["key", *_columns(output, name)])))
        keys = iter(output.keys)

        def write(rows: Mapping[str, np.ndarray]) -> None:
            own = [next(keys) for _ in next(iter(rows.values()))]
            for name, path in output.arrays.items():
                values_BU = rows[name].reshape(len(own), -1)
                pattern = ",".join([f"%.{digits}g"] * values_BU.shape[1])
                for key, values_U in zip(own, values_BU, strict=True):
                    numbers = pattern % tuple(values_U.tolist())
                    writers[path].write(_utf8(f"{_line([key])[:-1]},{numbers}\n"))

        yield write
        about = writers[about_file(output.path)]
        about.write(canonical_json(_described(output, writers)))


@contextmanager
def _as_h5(output: Output) -> Iterator[Write]:
    h5py = import_h5py()
    with drafts([output.path]) as (draft,), _hdf5(h5py, draft) as (file, disk):
        for name, shape in output.shapes.items():
            size = output.dtype.itemsize * prod(shape)
            chunk = (max(1, min(_CHUNK_BYTES // size, len(output.keys))), *shape)
            whole = (len(output.keys), *shape)
            file.create_dataset(name, whole, output.dtype, chunks=chunk)
        text = h5py.string_dtype("utf-8")
        file.create_dataset("keys", data=np.array(output.keys, object), dtype=text)
        file.create_dataset("about", data=json.dumps(_described(output)), dtype=text)
        file.attrs.update(_plain(output.about))
        done = 0

        def write(rows: Mapping[str, np.ndarray]) -> None:
            nonlocal done
            end = done + len(next(iter(rows.values())))
            for name in output.shapes:
                file[name][done:end] = rows[name]
            disk.require_sound()
            done = end

        yield write


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
def _hdf5(h5py: ModuleType, draft: Path) -> Iterator[tuple[Any, _Disk]]:
    """An HDF5 file, open, and the file it is in; raises OSError where the disk fails."""
    with _Disk(draft) as disk:
        try:
            with h5py.File(disk, "w") as file:
                yield file, disk
        finally:
            disk.require_sound()  # what the library made of it says less


@contextmanager
def _as_mat(output: Output) -> Iterator[Write]:
    """Rows are gathered in nameless files; SciPy takes each array as a whole, in MATLAB's order."""
    import scipy.io

    with drafts([output.path]) as (draft,), ExitStack() as stack:
        spools = {
            name: stack.enter_context(tempfile.TemporaryFile(dir=draft.parent))
            for name in output.shapes
        }

        def write(rows: Mapping[str, np.ndarray]) -> None:
            files.step("write", draft)
            for name, spool in spools.items():
                spool.write(np.ascontiguousarray(rows[name], output.dtype).data)

        yield write
        arrays = {}
        for name, spool in spools.items():
            spool.flush()
            whole = (len(output.keys), *output.shapes[name])
            arrays[name] = np.memmap(spool, output.dtype, "r", shape=whole)
        variables: dict[str, Any] = {variable(name): array for name, array in arrays.items()}
        variables["keys"] = np.array(output.keys, object)[:, None]
        variables["about"] = json.dumps(_described(output))
        files.step("create", draft)
        with open(draft, "w+b") as file:
            scipy.io.savemat(file, variables, oned_as="column")
            file.seek(0)  # the same arrays give the same bytes
            file.write(
                f"MATLAB 5.0 MAT-file, by alexnet {__version__}".encode().ljust(_TITLE_BYTES)
            )


@contextmanager
def _written(output: Output) -> Iterator[dict[Path, Writer]]:
    """A writer for each of the output's files."""
    with drafts(output.files) as places, ExitStack() as stack:
        writers = {
            path: stack.enter_context(closing(Writer(place)))
            for path, place in zip(output.files, places, strict=True)
        }
        yield writers
        for writer in writers.values():
            writer.finish()


def _described(output: Output, writers: Mapping[Path, Writer] | None = None) -> dict[str, Any]:
    """What the arrays are, in their order; where they have files of their own, of which bytes those
    are, and of which keys.
    """
    layers: list[dict[str, Any]] = [
        {"name": name, "shape": [len(output.keys), *shape]} for name, shape in output.shapes.items()
    ]
    if writers:
        for layer in layers:
            path = output.arrays[layer["name"]]
            layer |= {"file": path.name, "sha256": writers[path].digest.hexdigest()}
        return {**output.about, "layers": layers, "keys_sha256": keys_hash(output.keys)}
    return {**output.about, "layers": layers}


def _plain(about: Mapping[str, Any]) -> dict[str, str | int]:
    """What of a description is a text or a number, with what is one level below: model_name."""
    found = {}
    for key, value in about.items():
        below = value if isinstance(value, dict) else {}
        named = {f"{key}_{name}": one for name, one in below.items()} or {key: value}
        found.update({name: one for name, one in named.items() if isinstance(one, str | int)})
    return found


def _columns(output: Output, name: str) -> Iterator[str]:
    if output.columns:
        yield from output.columns
        return
    for place in np.ndindex(output.shapes[name]):
        yield f"{name}[{','.join(map(str, place))}]"


def _line(cells: Sequence[str]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
