"""Tables as .csv: one file for each array, an image a line after its key and label, and a .csv.json."""

from __future__ import annotations

import csv
import io
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from math import prod
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
    mixed,
    utf8,
    writers,
)
from alexnet.base.errors import UsageError
from alexnet.base.files import canonical_json

_BYTES = {4: 13, 8: 25}  # of a number of so many bytes, with its comma
_DIGITS = {4: 9, 8: 17}  # as many as every number needs
MOST_COLUMNS = 16_384  # a spreadsheet's; other programs take minutes for more
_LABEL = "label"  # the header of the column between the keys and the numbers


def files_of(path: Path, names: Sequence[str]) -> list[Path]:
    """All files that arrays of these names come to, in the order in which they get their names."""
    return [*array_files(path, names).values(), about_file(path)]


def space(output: Output) -> int:
    """Bytes that the numbers come to, about."""
    return output.numbers * _BYTES[output.dtype.itemsize]


def require_possible(output: Output) -> None:
    """Raise UsageError for an array of more columns than programs read."""
    for name, shape in output.shapes.items():
        if prod(shape) > MOST_COLUMNS:
            raise UsageError(
                f"A table of {name} would have {prod(shape):,} columns; {MOST_COLUMNS:,} are the most.",
                where=output.path,
                remedy=f"Write {output.path.with_suffix('.npy').name} or "
                f"{output.path.with_suffix('.parquet').name}, or choose another --layer.",
            )


@contextmanager
def writing(output: Output) -> Iterator[Write]:
    """A function that takes the next rows of every array; the files are there after the block."""
    names = tuple(output.shapes)
    arrays = array_files(output.path, names)
    digits = _DIGITS[output.dtype.itemsize]
    with writers(files_of(output.path, names)) as opened:
        keys: list[str] = []
        for name, path in arrays.items():
            label = [_LABEL] * bool(output.labels)
            opened[path].write(utf8(_line(["key", *label, *_columns(output, name)])))

        def write(some: Sequence[str], rows: Mapping[str, np.ndarray]) -> None:
            keys.extend(some)
            for name, path in arrays.items():
                values_BU = rows[name].reshape(len(some), -1)
                pattern = ",".join([f"%.{digits}g"] * values_BU.shape[1])
                for key, values_U in zip(some, values_BU, strict=True):
                    numbers = pattern % tuple(values_U.tolist())
                    label = [output.labels[key]] if output.labels else []
                    opened[path].write(utf8(f"{_line([key, *label])[:-1]},{numbers}\n"))

        yield write
        digests = {path: opened[path].digest.hexdigest() for path in arrays.values()}
        about = described_files(output, keys, digests)
        opened[about_file(output.path)].write(canonical_json(about))


def read(path: Path, stack: ExitStack) -> Stored:
    """The arrays that `path` stands for, float64."""
    about, _ = description(path)
    tables = {name: _table(file, stack) for name, file in described_arrays(path, about).items()}
    keys, *others = [keys for keys, *_ in tables.values()]
    if any(one != keys for one in others):
        raise mixed("The layers' files have different keys.", path)
    _, labels, _ = next(iter(tables.values()))
    layers = {name: numbers for name, (*_, numbers) in tables.items()}
    return Stored(tuple(keys), layers, about, tuple(labels))


def _table(path: Path, stack: ExitStack) -> tuple[list[str], list[str], np.ndarray]:
    """Keys, labels and numbers of one file, which go through a nameless one to be read anywhere."""
    keys, labels = [], []
    spool = stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 - as long as the stack
    with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
        lines = csv.reader(file)
        header = next(lines, [])
        is_labelled = header[1:2] == [_LABEL]
        columns = len(header) - 1 - is_labelled
        for number, (key, *numbers) in enumerate(lines, start=2):
            if is_labelled:
                labels.append(numbers.pop(0))
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
    return keys, labels, np.memmap(spool, np.float64, "r", shape=(len(keys), columns))


def _columns(output: Output, name: str) -> Iterator[str]:
    if name in output.columns:
        yield from output.columns[name]
        return
    for place in np.ndindex(output.shapes[name]):
        yield f"{name}[{','.join(map(str, place))}]"


def _line(cells: Sequence[str]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()
