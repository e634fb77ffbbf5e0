"""Parquet: an image a row, with its key, its label and a list of numbers for each array."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from math import prod
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from alexnet.activations.arrays import Output, Stored, Write, in_order, numbered, writers

GROUP_BYTES = 2**23  # of rows that are written together
_ABOUT = b"alexnet"  # the key of the description among the file's own


def files_of(path: Path, names: Sequence[str]) -> list[Path]:
    """The one file."""
    return [path]


def space(output: Output) -> int:
    """Bytes that the arrays come to, uncompressed."""
    return output.numbers * output.dtype.itemsize


def require_possible(output: Output) -> None:
    """Any array can be written."""


@contextmanager
def writing(output: Output) -> Iterator[Write]:
    """A function that takes the next rows of every array; the file is there after the block."""
    sizes = {name: prod(shape) for name, shape in output.shapes.items()}
    number = pa.from_numpy_dtype(output.dtype)
    text = [pa.field("key", pa.string()), *([pa.field("label", pa.string())] * bool(output.labels))]
    lists = [pa.field(name, pa.list_(number, size)) for name, size in sizes.items()]
    keys: list[str] = []
    waiting: list[pa.RecordBatch] = []
    with writers([output.path]) as opened:
        schema = pa.schema([*text, *lists])
        file = pq.ParquetWriter(
            opened[output.path], schema, compression="zstd", use_dictionary=False
        )

        def write(some: Sequence[str], rows: Mapping[str, np.ndarray]) -> None:
            keys.extend(some)
            columns = [pa.array([_utf8(key) for key in some], pa.string())]
            if output.labels:
                columns.append(pa.array([_utf8(output.labels[key]) for key in some], pa.string()))
            for name, size in sizes.items():
                flat = np.array(rows[name], output.dtype).reshape(-1)  # the caller may use it again
                columns.append(pa.FixedSizeListArray.from_arrays(pa.array(flat, number), size))
            waiting.append(pa.RecordBatch.from_arrays(columns, schema=schema))
            if sum(batch.nbytes for batch in waiting) >= GROUP_BYTES:
                settle()

        def settle() -> None:
            if waiting:
                file.write_table(pa.Table.from_batches(waiting))
                waiting.clear()

        try:
            yield write
            settle()
            file.add_key_value_metadata({_ABOUT: json.dumps(output.described(len(keys)))})
            file.close()
        finally:
            if file.is_open:
                with suppress(Exception):  # what failed is on its way already
                    file.close()


def read(path: Path, stack: ExitStack) -> Stored:
    """The arrays of a file, each read whole when it is asked for."""
    file = stack.enter_context(pq.ParquetFile(path))
    schema = file.schema_arrow
    about = json.loads((file.metadata.metadata or {}).get(_ABOUT, b"{}"))
    shapes = {one["name"]: one["shape"][1:] for one in about.get("layers", [])}
    layers = {}
    for field in schema:
        if pa.types.is_fixed_size_list(field.type):
            values = file.read([field.name]).column(0).combine_chunks()
            shape = shapes.get(field.name, [field.type.list_size])
            layers[field.name] = values.flatten().to_numpy().reshape(len(values), *shape)

    def texts(name: str) -> tuple[str, ...]:
        return tuple(map(str, file.read([name]).column(0).to_pylist()))

    keys = texts("key") if "key" in schema.names else numbered(layers)
    labels = texts("label") if "label" in schema.names else ()
    return Stored(keys, in_order(layers, about), about, labels)


def _utf8(text: str) -> str:
    """Text that is UTF-8; bytes of a file's name that are not, written as such."""
    return text.encode("utf-8", "backslashreplace").decode()
