"""NumPy's .npy: one file for each array, their keys and labels in a .csv, and a .json about them."""

from __future__ import annotations

import csv
import errno
import hashlib
import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np

from alexnet.activations.arrays import (
    Output,
    Stored,
    Write,
    about_file,
    array_files,
    described_arrays,
    described_files,
    description,
    keys_file,
    numbered,
    utf8,
    writers,
)
from alexnet.base import files
from alexnet.base.files import Writer, canonical_json


def files_of(path: Path, names: Sequence[str]) -> list[Path]:
    """All files that arrays of these names come to, in the order in which they get their names."""
    return [keys_file(path), *array_files(path, names).values(), about_file(path)]


def space(output: Output) -> int:
    """Bytes that the arrays come to."""
    return output.numbers * output.dtype.itemsize


def require_possible(output: Output) -> None:
    """Any array can be written."""


@contextmanager
def writing(output: Output) -> Iterator[Write]:
    """A function that takes the next rows of every array; the files are there after the block."""
    names = tuple(output.shapes)
    arrays = array_files(output.path, names)
    with writers(files_of(output.path, names)) as opened:
        keys: list[str] = []
        for name, path in arrays.items():
            opened[path].write(_header(output, name, output.most))

        def write(some: Sequence[str], rows: Mapping[str, np.ndarray]) -> None:
            keys.extend(some)
            for name, path in arrays.items():
                opened[path].write(np.ascontiguousarray(rows[name], output.dtype).reshape(-1))

        yield write
        for name, path in arrays.items():
            if len(keys) < output.most:
                _replace_start(opened[path], _header(output, name, len(keys)))
        lines = io.StringIO()
        table = csv.writer(lines, lineterminator="\n")
        if output.labels:
            rows = [(n, key, output.labels[key]) for n, key in enumerate(keys)]
            table.writerows([("number", "key", "label"), *rows])
        else:
            table.writerows([("number", "key"), *enumerate(keys)])
        opened[keys_file(output.path)].write(utf8(lines.getvalue()))
        digests = {path: opened[path].digest.hexdigest() for path in arrays.values()}
        about = described_files(output, keys, digests)
        opened[about_file(output.path)].write(canonical_json(about))


def read(path: Path, stack: ExitStack) -> Stored:
    """The arrays that `path` stands for, mapped into memory."""
    about, whose = description(path)
    layers = {
        name: np.lib.format.open_memmap(file, mode="r")
        for name, file in described_arrays(path, about).items()
    }
    if not about:
        return Stored(numbered(layers), layers, about)
    with open(keys_file(whose), encoding="utf-8", errors="surrogateescape", newline="") as file:
        rows = list(csv.DictReader(file))
    labels = tuple(row["label"] for row in rows if "label" in row)
    return Stored(tuple(row["key"] for row in rows), layers, about, labels)


def _header(output: Output, name: str, count: int) -> bytes:
    """What a file begins with: NumPy makes it as long for every number of rows."""
    header = io.BytesIO()
    described = {
        "descr": output.dtype.str,
        "fortran_order": False,
        "shape": (count, *output.shapes[name]),
    }
    np.lib.format.write_array_header_1_0(header, described)
    return header.getvalue()


def _replace_start(writer: Writer, start: bytes) -> None:
    """Other first bytes for what was written, where fewer images came than were expected.

    Raises OSError unless the disk gives the rest back as it was written.
    """
    files.step("write", writer.path)
    before, after = hashlib.sha256(), hashlib.sha256(start)
    with open(writer.path, "r+b") as file:
        before.update(file.read(len(start)))
        while part := file.read(2**20):
            before.update(part)
            after.update(part)
        file.seek(0)
        file.write(start)
    if before.digest() != writer.digest.digest():
        raise OSError(errno.EIO, "The disk gives back other bytes than were written")
    writer.digest = after
