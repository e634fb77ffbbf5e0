"""Whether a prepared set is still what a source would give, without reading what cannot have changed.

`source.stamps` beside a set has of every file of its source what the system knew of it before it was
read: size, times, number (inode). A file of which all that is the same has its contents still, and is not
read again. Any other is hashed, and if it is what it was (touched, copied, restored) so is the set.

A file that was written less than SETTLED before it was looked at is not trusted: written once more within
the grain of its file system's clock, it would look the same. Git does likewise with its index.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from alexnet.base.errors import DataError, EnvironmentProblem
from alexnet.base.files import Writer, read_json, write_atomically
from alexnet.prepared.dataset import PreparedDataset
from alexnet.prepared.description import FILE as DESCRIPTION
from alexnet.prepared.inputs import UNREAD, Inputs
from alexnet.sources import Source
from alexnet.sources.base import Listed, read_file, split_by_digest

FILE = "source.stamps"
_AT_ONCE = 4096  # names as Python's objects, which are large
SETTLED = 2 * 10**9  # nanoseconds: the grain of the coarsest clock, FAT's
_ABOUT = b"alexnet"
_NUMBERS = ("size", "modified", "changed", "inode")
_SCHEMA = pa.schema(
    [("name", pa.binary()), *((name, pa.uint64()) for name in _NUMBERS), ("row", pa.int32())]
)


@dataclass(frozen=True)
class Stamps:
    """What was known of a source's files, the `listing` that it was then, and where it lay.

    `place` is the source's path, `beside` the same as seen from the set. `row` is the number of a file's
    image among the set's inputs, -1 where a file is no single image.
    """

    listing: str
    place: str
    beside: str
    names: pa.BinaryArray
    known_N4: np.ndarray  # uint64: size, times, inode; zeros are not to be trusted
    row_N: np.ndarray

    @classmethod
    def read(cls, folder: Path) -> Stamps | None:
        """Those of a set; None where they are missing or damaged, which costs a reading of the source."""
        path = folder / FILE
        try:
            data = path.read_bytes()
            digest, _, content = data.partition(b"\n")
            if digest.decode() != hashlib.sha256(content).hexdigest():
                return None
            with pa.ipc.open_file(pa.py_buffer(content)) as reader:
                rows, about = reader.get_batch(0), json.loads(reader.schema.metadata[_ABOUT])
        except (OSError, ValueError, pa.ArrowException):
            return None
        known_N4 = np.stack([np.asarray(rows[name]) for name in _NUMBERS], axis=1)
        return cls(**about, names=rows["name"], known_N4=known_N4, row_N=np.asarray(rows["row"]))

    @classmethod
    def of(cls, source: Source, out: Path, inputs: Inputs) -> Stamps:
        """Those of a source whose images are these, prepared in `out`."""
        place, beside = _places(source, out)
        if not source.files:
            none_N4, none_N = np.zeros((0, 4), np.uint64), np.zeros(0, np.int32)
            return cls(source.identity, place, beside, pa.array([], pa.binary()), none_N4, none_N)
        known_N4 = _known(source).copy()
        newest_N = known_N4[:, 1:3].astype(np.int64).max(axis=1, initial=0)
        known_N4[newest_N > source.files.listed_at - SETTLED] = 0
        row_N = np.full(len(known_N4), -1, np.int32)
        if source.listed:
            row_N = np.fromiter(_rows(source, inputs), np.int32)
        return cls(source.identity, place, beside, _names(source), known_N4, row_N)

    def write(self, folder: Path) -> None:
        """Write `source.stamps`: a line with the SHA-256 of the rest, which is an Arrow file."""
        about = {"listing": self.listing, "place": self.place, "beside": self.beside}
        columns = [
            self.names,
            *(pa.array(self.known_N4[:, n]) for n in range(4)),
            pa.array(self.row_N),
        ]
        schema = _SCHEMA.with_metadata({_ABOUT: json.dumps(about)})
        content = pa.BufferOutputStream()
        with pa.ipc.new_file(content, schema) as writer:
            writer.write_batch(pa.record_batch(columns, schema=schema))
        data = content.getvalue()

        def save(file: Writer) -> None:
            file.write(hashlib.sha256(data).hexdigest().encode() + b"\n")
            file.write(data)

        write_atomically(folder / FILE, save)

    def trusted(self, source: Source) -> np.ndarray:
        """Of every file of the source, its row here if it is what it was then, else -1: int64, N."""
        names, known_N4 = _names(source), _known(source)
        if names.equals(self.names):
            row_N = np.arange(len(names))
        else:
            found = pc.index_in(names, value_set=self.names)
            row_N = np.asarray(pc.fill_null(found, -1)).astype(np.int64)
        if not len(self.names):
            return np.full(len(names), -1)
        is_same_N = (self.known_N4[row_N] == known_N4).all(axis=1) & known_N4.any(axis=1)
        return np.where(is_same_N & (row_N >= 0), row_N, -1)


def is_unchanged(dataset: PreparedDataset, source: Source) -> bool:
    """Whether the source would give the images that the set was made from.

    What was hashed for it is noted beside the set, where that can be written to.
    """
    stamps = Stamps.read(dataset.folder)
    is_same_listing = stamps is not None and stamps.listing == source.identity
    if stamps and is_same_listing and (not source.files or (stamps.trusted(source) >= 0).all()):
        if _places(source, dataset.folder) == (stamps.place, stamps.beside):
            return True
        inputs = inputs_of(dataset)
    else:
        inputs = inputs_of(dataset)
        if list(source.classes) != list(dataset.classes) or source.count != len(inputs):
            return False
        if not _gives(source, stamps, inputs):
            return False
    if stamps and _is_a_copy(stamps, source, dataset.folder):
        return True  # what the set was made from is still there, and is what it is compared with
    with suppress(EnvironmentProblem):
        Stamps.of(source, dataset.folder, inputs).write(dataset.folder)
    return True


def _is_a_copy(stamps: Stamps, source: Source, folder: Path) -> bool:
    place, beside = _places(source, folder)
    is_same = stamps.place == place or stamps.beside == beside
    return not is_same and bool(stamps.place) and Path(stamps.place).exists()


def lies_under(listing: str, folders: Iterable[Path]) -> Iterator[Path]:
    """The sets among these that were made from files of such names and sizes."""
    for folder in folders:
        if (stamps := Stamps.read(folder)) and stamps.listing == listing:
            yield folder


def inputs_of(dataset: PreparedDataset) -> Inputs:
    """What a set was made from; raises DataError where the list is damaged."""
    return Inputs.read(dataset.folder, dataset.description["inputs"])


def is_of(folder: Path, source: Source) -> bool:
    """Whether the set in `folder` was made from what lies where the source lies, now or then."""
    stamps, (place, beside) = Stamps.read(folder), _places(source, folder)
    if stamps and place:
        return stamps.place == place or stamps.beside == beside
    try:
        return bool(read_json(folder / DESCRIPTION)["source"]["spec"] == source.spec)
    except (DataError, KeyError, TypeError):
        return False


def _gives(source: Source, stamps: Stamps | None, inputs: Inputs) -> bool:
    """Whether the source's images are these inputs; ends at the first that is not."""
    next_N, ends_N = _bounds(inputs)
    keys, sha256, splits = inputs.rows["key"], inputs.sha256_N, inputs.splits
    for split, key, label, digest in _identities(source, stamps, inputs):
        if split not in splits:
            return False
        number = splits.index(split)
        row = next_N[number]
        if row == ends_N[number] or inputs.label_N[row] != label or keys[row].as_py() != key:
            return False
        if sha256[row].tobytes() != digest:
            return False
        next_N[number] += 1
    return next_N == ends_N


def _identities(
    source: Source, stamps: Stamps | None, inputs: Inputs
) -> Iterator[tuple[str, str, int, bytes]]:
    """(split, key, label, SHA-256) of each image in the order of the source, read only where needed."""
    if not source.listed:
        for image in source.images():
            digest = UNREAD if image.fault else hashlib.sha256(image.data).digest()
            yield image.split, image.key, image.label, digest
        return
    row_N = np.full(source.count, -1)
    if stamps and len(stamps.names):
        trusted_N = stamps.trusted(source)
        row_N = np.where(trusted_N >= 0, stamps.row_N[trusted_N], -1)
    for one, row in zip(source.listed(), row_N.tolist(), strict=True):
        digest = inputs.sha256_N[row].tobytes() if row >= 0 else _digest(one)
        by_content = split_by_digest(digest, source.validation_share)
        split = one.split or ("train" if digest == UNREAD else by_content)
        yield split, one.key, one.label, digest


def _digest(one: Listed) -> bytes:
    data, fault = read_file(one.path) if one.fault is None else (b"", one.fault)
    return UNREAD if fault else hashlib.sha256(data).digest()


def _rows(source: Source, inputs: Inputs) -> Iterator[int]:
    """Of every listed image its row among the inputs, which are those of the source."""
    assert source.listed
    next_N, ends_N = _bounds(inputs)
    keys, splits = inputs.rows["key"], inputs.splits
    for one in source.listed():
        may_be = [splits.index(one.split)] if one.split else range(len(splits))
        fits = (n for n in may_be if next_N[n] < ends_N[n] and keys[next_N[n]].as_py() == one.key)
        number = next(fits, None)
        if number is None:
            yield -1
        else:
            yield next_N[number]
            next_N[number] += 1


def _bounds(inputs: Inputs) -> tuple[list[int], list[int]]:
    """The first row of each split, and the one after its last."""
    counts = np.bincount(inputs.split_N, minlength=len(inputs.splits))
    ends = np.cumsum(counts).tolist()
    return [0, *ends[:-1]], ends


def _known(source: Source) -> np.ndarray:
    assert source.files
    return source.files.stamps_N4


def _names(source: Source) -> pa.BinaryArray:
    assert source.files
    names = (os.fsencode("/".join(path)) for path in source.files.paths)
    parts = iter(lambda: pa.array(islice(names, _AT_ONCE), pa.binary()), pa.array([], pa.binary()))
    return pa.concat_arrays([pa.array([], pa.binary()), *parts])


def _places(source: Source, out: Path) -> tuple[str, str]:
    """Where a source lies: its path, and the same as seen from the set; empty where it needs no files."""
    if not source.files:
        return "", ""
    place = source.files.root.resolve()
    try:
        beside = os.path.relpath(place, out.resolve().parent)
    except ValueError:  # on another drive
        beside = ""
    return str(place), Path(beside).as_posix()
