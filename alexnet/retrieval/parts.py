"""The files of an index: a part of its vectors, their heads, and the images that they are of.

Legend: N rows of a part, U numbers of a vector, D of its head.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import safetensors.numpy

from alexnet.base.errors import DataError
from alexnet.base.files import Writer, write_atomically
from alexnet.prepared.pages import Advice, advise
from alexnet.retrieval.description import File, PartFiles
from alexnet.retrieval.rotation import Heads, is_orthonormal

KEY = 64  # letters of a key: a SHA-256 in hexadecimal
_DIRECTIONS = "directions"
_REMEDY = "Build the index again, or copy it again from where it is whole."


class Place(NamedTuple):
    """Where an image lies: its path in source number `source` of the index, and what is said of it."""

    source: int
    path: str
    split: str
    label: str


_LISTS = {"sources": pa.int32(), "paths": pa.string(), "splits": pa.string(), "labels": pa.string()}
_IMAGES = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        *(
            pa.field(name, pa.list_(pa.field("item", kind, nullable=False)), nullable=False)
            for name, kind in _LISTS.items()
        ),
    ]
)


def vectors_schema(numbers: int) -> pa.Schema:
    """The columns of a file of vectors."""
    vector = pa.list_(pa.field("item", pa.float32(), nullable=False), numbers)
    return pa.schema(
        [
            pa.field("key", pa.string(), nullable=False),
            pa.field("vector", vector, nullable=False),
        ]
    )


# --- Writing --------------------------------------------------------------------------------------


def write_vectors(folder: Path, name: str, keys: Sequence[str], rows_NU: np.ndarray) -> File:
    """Write vectors and their keys as an Arrow file of one record batch."""
    schema = vectors_schema(rows_NU.shape[1])
    flat = pa.array(np.ascontiguousarray(rows_NU, np.float32).reshape(-1))
    vectors = pa.FixedSizeListArray.from_arrays(flat, type=schema.field("vector").type)
    written = _write(folder / name, schema, [pa.array(keys, pa.string()), vectors])
    whole = _map(folder / name)
    values = _columns(whole, folder / name, schema)[1].values.buffers()[1]
    first = values.address - whole.address
    end = first + 4 * rows_NU.size
    return File(name, written.bytes, _sha256(whole, first, end), first, end)


def write_images(
    folder: Path, name: str, keys: Sequence[str], places: Sequence[Sequence[Place]]
) -> File:
    """Write where the image of each key lies: nowhere, if it was removed."""
    lists = [
        pa.array([[getattr(one, what[:-1]) for one in some] for some in places], pa.list_(kind))
        for what, kind in _LISTS.items()
    ]
    columns = [pa.array(keys, pa.string()), *lists]
    cast = [column.cast(_IMAGES.field(n).type) for n, column in enumerate(columns)]
    return _write(folder / name, _IMAGES, cast)


def write_heads(folder: Path, name: str, heads: Heads) -> File:
    """Write heads as safetensors."""
    return _write_arrays(folder / name, heads._asdict())


def write_directions(folder: Path, name: str, basis_UD: np.ndarray) -> File:
    """Write the directions of heads as safetensors."""
    return _write_arrays(folder / name, {_DIRECTIONS: basis_UD})


def _write(path: Path, schema: pa.Schema, columns: list[pa.Array]) -> File:
    batch = pa.record_batch(columns, schema=schema)

    def save(file: Writer) -> None:
        with pa.ipc.new_file(file, schema) as writer:
            writer.write_batch(batch)

    written = write_atomically(path, save)
    return File(path.name, written.size, written.sha256)


def _write_arrays(path: Path, arrays: dict[str, np.ndarray]) -> File:
    written = write_atomically(path, safetensors.numpy.save(arrays))
    return File(path.name, written.size, written.sha256)


# --- Reading --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Part:
    """Some vectors of an index, memory-mapped; whether one is damaged is looked at when it is read."""

    path: Path
    keys: pa.StringArray
    rows_NU: np.ndarray
    heads: Heads | None
    images: pa.RecordBatch | None

    @classmethod
    def open(cls, folder: Path, files: PartFiles, numbers: int, directions: int) -> Part:
        """Map a part; raises DataError for a file that is missing, cut, or not as it was written."""
        path, schema = folder / files.vectors.file, vectors_schema(numbers)
        keys, vectors = _columns(_checked(folder, files.vectors), path, schema)
        rows_NU = np.frombuffer(vectors.values.buffers()[1], np.float32, files.rows * numbers)
        images = heads = None
        if files.images:
            whole = _checked(folder, files.images)
            columns = _columns(whole, folder / files.images.file, _IMAGES)
            images = pa.record_batch(columns, schema=_IMAGES)
            if not images["key"].equals(keys):
                raise _damaged(folder / files.images.file, "Its keys are not those of the vectors")
        if files.head:
            heads = _read_heads(folder, files.head, files.rows, directions)
        return cls(path, keys, rows_NU.reshape(files.rows, numbers), heads, images)

    def __len__(self) -> int:
        return len(self.rows_NU)

    @cached_property
    def key_bytes(self) -> np.ndarray:
        """The keys as text of fixed length: S64, N."""
        offset, size = self.keys.offset, len(self.keys)
        letters = np.frombuffer(self.keys.buffers()[2], f"S{KEY}", offset + size)
        return letters[offset:]

    @cached_property
    def is_there_N(self) -> np.ndarray:
        """Whether each row's image is still somewhere."""
        assert self.images is not None
        offsets_N = np.asarray(self.images["paths"].offsets)
        return np.diff(offsets_N) > 0

    def has_split_N(self, split: str) -> np.ndarray:
        """Whether each row's image belongs to a split, in whichever of its places."""
        assert self.images is not None
        lists = self.images["splits"]
        is_it = np.asarray(pc.equal(lists.flatten(), split))
        before = np.concatenate([[0], np.cumsum(is_it)])
        ends = np.asarray(lists.offsets) - lists.offsets[0].as_py()
        has_N: np.ndarray = np.diff(before[ends]) > 0
        return has_N

    def places(self, n: int) -> list[Place]:
        """Where row `n`'s image lies."""
        assert self.images is not None
        lists = [self.images[name][n].as_py() for name in _LISTS]
        return [Place(*one) for one in zip(*lists, strict=True)]

    def all_places(self) -> list[list[Place]]:
        """Where each row's image lies."""
        if self.images is None:
            return [[] for _ in range(len(self))]
        lists = [self.images[name].to_pylist() for name in _LISTS]
        return [[Place(*one) for one in zip(*row, strict=True)] for row in zip(*lists, strict=True)]

    def leave(self) -> None:
        """Give back the memory of rows that were read; they are still in the file."""
        advise(self.rows_NU.ctypes.data, self.rows_NU.nbytes, Advice.LEAVE)


def read_directions(folder: Path, file: File, numbers: int) -> np.ndarray:
    """The directions of heads: float64, U x D, orthonormal."""
    path = folder / file.file
    found = _arrays(_checked(folder, file), path)
    basis_UD = found.get(_DIRECTIONS)
    fits = (
        basis_UD is not None and basis_UD.dtype == np.float64 and basis_UD.shape[:1] == (numbers,)
    )
    if basis_UD is None or not fits or not is_orthonormal(basis_UD):
        raise _damaged(path, "It holds no orthonormal directions")
    return basis_UD


def damaged_row(part: Part, n: int) -> DataError:
    """The error for a vector that is not as it was written."""
    return _damaged(part.path, f"The vector of row {n} is not as it was written")


def _read_heads(folder: Path, file: File, rows: int, directions: int) -> Heads:
    path = folder / file.file
    found = _arrays(_checked(folder, file), path)
    expected = {
        "head": ((rows, directions), "float32"),
        "tail": ((rows,), "float32"),
        "square": ((rows,), "float64"),
        "sum": ((rows,), "uint64"),
    }
    if {name: (one.shape, one.dtype.name) for name, one in found.items()} != expected:
        raise _damaged(path, "It does not hold the heads of these vectors")
    return Heads(**found)


def _arrays(whole: pa.Buffer, path: Path) -> dict[str, np.ndarray]:
    """The arrays of a safetensors file, where they lie."""
    kinds: dict[str, Any] = {"F32": np.float32, "F64": np.float64, "U64": np.uint64}
    try:
        begin = 8 + int.from_bytes(bytes(whole[:8]), "little")
        header = json.loads(bytes(whole[8:begin]))
        return {
            name: np.frombuffer(
                whole, kinds[one["dtype"]], math.prod(one["shape"]), begin + one["data_offsets"][0]
            ).reshape(one["shape"])
            for name, one in header.items()
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(path, f"Not readable safetensors ({error})") from None


def _columns(whole: pa.Buffer, path: Path, schema: pa.Schema) -> list[Any]:
    """The columns of an Arrow file that has one record batch of this schema, fully checked."""
    try:
        reader = pa.ipc.open_file(whole)
        batches = [reader.get_batch(n) for n in range(reader.num_record_batches)]
        for batch in batches:
            batch.validate(full=True)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _damaged(path, f"Not a readable Arrow file ({error})") from None
    if len(batches) != 1 or batches[0].schema != schema:
        raise _damaged(path, "It has other columns")
    if any(column.null_count for column in batches[0].columns):
        raise _damaged(path, "Some of it is null")
    return list(batches[0].columns)


def _checked(folder: Path, file: File) -> pa.Buffer:
    """A file's bytes, mapped: all that are no vectors are as they were written."""
    path = folder / file.file
    try:
        found = os.path.getsize(path)
    except OSError:
        raise DataError("A file of the index is missing.", where=path, remedy=_REMEDY) from None
    if found != file.bytes:  # reading past the end of a cut file would kill the process
        raise _damaged(path, f"It has {found:,} bytes instead of {file.bytes:,}")
    whole = _map(path)
    if _sha256(whole, file.first, file.end) != file.sha256:
        raise _damaged(path, "It is not as it was written")
    return whole


def _map(path: Path) -> pa.Buffer:
    try:
        return pa.memory_map(str(path)).read_buffer()
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"Not a readable file: {error}.", where=path, remedy=_REMEDY) from None


def _sha256(whole: pa.Buffer, first: int, end: int) -> str:
    digest, view = hashlib.sha256(), memoryview(whole)
    digest.update(view[:first])
    digest.update(view[end:])
    return digest.hexdigest()


def _damaged(path: Path, how: str) -> DataError:
    return DataError(f"A file of the index is damaged. {how}.", where=path, remedy=_REMEDY)
