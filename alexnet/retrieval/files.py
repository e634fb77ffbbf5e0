"""The files of an index, written and read: Arrow and safetensors, nothing of them believed unchecked.

Legend: N rows of a part, U numbers of a vector, D of its head.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import safetensors.numpy

from alexnet.base.errors import DataError
from alexnet.base.files import Writer, write_atomically
from alexnet.prepared.pages import Advice, advise
from alexnet.retrieval.codes import WORD, Coder
from alexnet.retrieval.description import CodesOf, File
from alexnet.retrieval.rotation import Heads, is_orthonormal

_DIRECTIONS = "directions"
_CODES = "codes"
_REMEDY = "Build the index again, or copy it again from where it is whole."


class Place(NamedTuple):
    """Where an image lies: its path in source number `source` of the index, and what is said of it."""

    source: int
    path: str
    split: str
    label: str


LISTS = {"sources": pa.int32(), "paths": pa.string(), "splits": pa.string(), "labels": pa.string()}
IMAGES = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        *(
            pa.field(name, pa.list_(pa.field("item", kind, nullable=False)), nullable=False)
            for name, kind in LISTS.items()
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
    whole = mapped(folder / name)
    values = columns_of(whole, folder / name, schema)[1].values.buffers()[1]
    first = values.address - whole.address
    end = first + 4 * rows_NU.size
    return File(name, written.bytes, _sha256(whole, first, end), first, end)


def write_images(
    folder: Path, name: str, keys: Sequence[str], places: Sequence[Sequence[Place]]
) -> File:
    """Write where the image of each key lies: nowhere, if it was removed."""
    lists = [
        pa.array([[getattr(one, what[:-1]) for one in some] for some in places], pa.list_(kind))
        for what, kind in LISTS.items()
    ]
    columns = [pa.array(keys, pa.string()), *lists]
    cast = [column.cast(IMAGES.field(n).type) for n, column in enumerate(columns)]
    return _write(folder / name, IMAGES, cast)


def write_heads(folder: Path, name: str, heads: Heads) -> File:
    """Write heads as safetensors."""
    return _write_arrays(folder / name, heads._asdict())


def write_directions(folder: Path, name: str, basis_UD: np.ndarray) -> File:
    """Write the directions of heads as safetensors."""
    return _write_arrays(folder / name, {_DIRECTIONS: basis_UD})


def write_codes(folder: Path, name: str, codes_NW: np.ndarray) -> File:
    """Write the codes of a part's vectors as safetensors."""
    return _write_arrays(folder / name, {_CODES: codes_NW})


def write_coder(folder: Path, name: str, coder: Coder) -> File:
    """Write what codes come from as safetensors."""
    return _write_arrays(folder / name, coder.arrays())


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


def read_directions(folder: Path, file: File, numbers: int) -> np.ndarray:
    """The directions of heads: float64, U x D, orthonormal."""
    path = folder / file.file
    found = _arrays(checked(folder, file), path)
    basis_UD = found.get(_DIRECTIONS)
    fits = (
        basis_UD is not None and basis_UD.dtype == np.float64 and basis_UD.shape[:1] == (numbers,)
    )
    if basis_UD is None or not fits or not is_orthonormal(basis_UD):
        raise damaged(path, "It holds no orthonormal directions")
    return basis_UD


def read_heads(folder: Path, file: File, rows: int, directions: int) -> Heads:
    """The heads of so many rows, where they lie."""
    path = folder / file.file
    found = _arrays(checked(folder, file), path)
    expected = {
        "head": ((rows, directions), "float32"),
        "tail": ((rows,), "float32"),
        "square": ((rows,), "float64"),
        "sum": ((rows,), "uint64"),
    }
    if {name: (one.shape, one.dtype.name) for name, one in found.items()} != expected:
        raise damaged(path, "It does not hold the heads of these vectors")
    return Heads(**found)


def read_codes(folder: Path, file: File, rows: int, bits: int) -> np.ndarray:
    """The codes of so many rows, where they lie: uint64, N x W."""
    path = folder / file.file
    codes_NW = _arrays(checked(folder, file), path).get(_CODES)
    shape = (rows, -(-bits // WORD))
    if codes_NW is None or codes_NW.shape != shape or codes_NW.dtype.name != "uint64":
        raise damaged(path, "It does not hold the codes of these vectors")
    return codes_NW


def read_coder(folder: Path, codes: CodesOf, numbers: int) -> Coder:
    """What the codes of an index come from."""
    path = folder / codes.file.file
    arrays = _arrays(checked(folder, codes.file), path)
    try:
        return Coder.of(arrays, numbers, codes.bits)
    except (KeyError, ValueError, IndexError) as error:
        raise damaged(path, f"It holds no coder of these vectors ({error})") from None


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
        raise damaged(path, f"Not readable safetensors ({error})") from None


def columns_of(whole: pa.Buffer, path: Path, schema: pa.Schema) -> list[Any]:
    """The columns of an Arrow file that has one record batch of this schema, fully checked."""
    try:
        reader = pa.ipc.open_file(whole)
        batches = [reader.get_batch(n) for n in range(reader.num_record_batches)]
        for batch in batches:
            batch.validate(full=True)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise damaged(path, f"Not a readable Arrow file ({error})") from None
    if len(batches) != 1 or batches[0].schema != schema:
        raise damaged(path, "It has other columns")
    if any(column.null_count for column in batches[0].columns):
        raise damaged(path, "Some of it is null")
    return list(batches[0].columns)


def checked(folder: Path, file: File) -> pa.Buffer:
    """A file's bytes, mapped: all that are no vectors are as they were written."""
    path = folder / file.file
    try:
        found = os.path.getsize(path)
    except OSError:
        raise DataError("A file of the index is missing.", where=path, remedy=_REMEDY) from None
    if found != file.bytes:  # reading past the end of a cut file would kill the process
        raise damaged(path, f"It has {found:,} bytes instead of {file.bytes:,}")
    whole = mapped(path)
    if _sha256(whole, file.first, file.end) != file.sha256:
        raise damaged(path, "It is not as it was written")
    advise(whole.address, whole.size, Advice.LEAVE)
    return whole


def mapped(path: Path) -> pa.Buffer:
    """A file's bytes, memory-mapped, whatever they are."""
    try:
        return pa.memory_map(str(path)).read_buffer()
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"Not a readable file: {error}.", where=path, remedy=_REMEDY) from None


def _sha256(whole: pa.Buffer, first: int, end: int) -> str:
    digest, view = hashlib.sha256(), memoryview(whole)
    digest.update(view[:first])
    digest.update(view[end:])
    return digest.hexdigest()


def damaged(path: Path, how: str) -> DataError:
    """The error for a file that is not as it was written."""
    return DataError(f"A file of the index is damaged. {how}.", where=path, remedy=_REMEDY)
