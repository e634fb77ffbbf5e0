"""inputs.arrow: every image that a set was made from, whatever became of it.

Its rows say what the set is: a source that gives the same rows, in the same order, gives the same set.
Letters: N inputs.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from alexnet.base.errors import DataError
from alexnet.base.files import Writer, Written, sha256_of, write_atomically
from alexnet.prepared.batches import ShardBatch
from alexnet.prepared.work import ImageOutcome

FILE = "inputs.arrow"
ACCEPTED = "accepted"
UNREAD = bytes(32)  # in place of the hash of a file that could not be read
_NAME = pa.dictionary(pa.int16(), pa.string())
_SCHEMA = pa.schema(
    [
        pa.field(name, kind, nullable=False)
        for name, kind in [
            ("split", _NAME),
            ("key", pa.string()),
            ("label", pa.int32()),
            ("sha256", pa.binary(32)),
            ("became", _NAME),  # accepted, how it repeats another, or the reason it was rejected
            ("width", pa.int32()),  # of accepted ones, as stored in the source
            ("height", pa.int32()),
            ("conversions", _NAME),  # of accepted ones: "grey; EXIF rotation, not applied"
        ]
    ]
)
_BETWEEN = "; "
_AT_ONCE = 4096  # rows as Python's objects, which are large


@dataclass
class _Column:
    """The inputs of one split so far."""

    keys: list[str] = field(default_factory=list)
    labels: array[int] = field(default_factory=lambda: array("i"))
    digests: bytearray = field(default_factory=bytearray)
    became: list[str] = field(default_factory=list)
    widths: array[int] = field(default_factory=lambda: array("i"))
    heights: array[int] = field(default_factory=lambda: array("i"))
    conversions: list[str] = field(default_factory=list)


class Recorder:
    """Gathers what becomes of the inputs, batch by batch."""

    def __init__(self, splits: Sequence[str]) -> None:
        self._columns = {split: _Column() for split in splits}

    def add(self, batch: ShardBatch, outcomes: list[ImageOutcome]) -> None:
        """Batches of a split come in their order, with the outcomes of their new entries."""
        column, remaining = self._columns[batch.split], iter(outcomes)
        for entry in batch.entries:
            outcome = entry.fault or (ImageOutcome() if entry.is_repeat else next(remaining))
            became = entry.repeats or outcome.reason or ACCEPTED
            column.keys.append(entry.key)
            column.labels.append(entry.label)
            column.digests += UNREAD if entry.fault else entry.digest
            column.became.append(became)
            column.widths.append(outcome.width)
            column.heights.append(outcome.height)
            column.conversions.append(_BETWEEN.join(outcome.kinds))

    def inputs(self) -> Inputs:
        """All of them: split by split, in the order of the source in each."""
        parts, counts = list(self._columns.values()), [len(c.keys) for c in self._columns.values()]
        splits = pa.DictionaryArray.from_arrays(
            pa.array(np.repeat(np.arange(len(counts), dtype=np.int16), counts)),
            pa.array(list(self._columns), pa.string()),
        )
        digests = pa.py_buffer(b"".join(bytes(part.digests) for part in parts))
        columns = [
            splits,
            pa.array([key for part in parts for key in part.keys], pa.string()),
            pa.array(np.concatenate([np.frombuffer(part.labels, np.int32) for part in parts])),
            pa.Array.from_buffers(pa.binary(32), sum(counts), [None, digests]),
            _names([name for part in parts for name in part.became]),
            pa.array(np.concatenate([np.frombuffer(part.widths, np.int32) for part in parts])),
            pa.array(np.concatenate([np.frombuffer(part.heights, np.int32) for part in parts])),
            _names([name for part in parts for name in part.conversions]),
        ]
        return Inputs(pa.record_batch(columns, schema=_SCHEMA))


@dataclass(frozen=True)
class Inputs:
    """The rows of inputs.arrow."""

    rows: pa.RecordBatch

    def __len__(self) -> int:
        return int(self.rows.num_rows)

    def write(self, folder: Path) -> Written:
        """Write inputs.arrow."""

        def save(file: Writer) -> None:
            with pa.ipc.new_file(file, _SCHEMA) as writer:
                writer.write_batch(self.rows)

        return write_atomically(folder / FILE, save)

    @classmethod
    def read(cls, folder: Path, about: dict[str, str]) -> Inputs:
        """Those of a set whose description says this of the file; raises DataError where it is not."""
        path = folder / about["file"]
        if not path.is_file() or sha256_of(path) != about["sha256"]:
            raise DataError("The list of a set's inputs is missing or changed.", where=path)
        with pa.ipc.open_file(pa.memory_map(str(path))) as reader:
            return cls(reader.get_batch(0))

    @cached_property
    def splits(self) -> list[str]:
        """The names of the splits, in their order."""
        return list(self.rows["split"].dictionary.to_pylist())

    @cached_property
    def split_N(self) -> np.ndarray:
        """The split of each, as its number."""
        return np.asarray(self.rows["split"].indices)

    @cached_property
    def label_N(self) -> np.ndarray:
        """The label of each."""
        return np.asarray(self.rows["label"])

    @cached_property
    def sha256_N(self) -> np.ndarray:
        """The SHA-256 of each one's bytes: uint8, N x 32."""
        column = self.rows["sha256"]
        begin = 32 * column.offset
        flat = np.frombuffer(column.buffers()[1], np.uint8)[begin : begin + 32 * len(column)]
        return flat.reshape(-1, 32)

    @cached_property
    def begins_N(self) -> np.ndarray:
        """The first eight bytes of the hashes, as numbers: no two images share them."""
        begins: np.ndarray = np.ascontiguousarray(self.sha256_N[:, :8]).view(np.uint64)[:, 0]
        return begins

    @cached_property
    def is_accepted_N(self) -> np.ndarray:
        """Whether each is an image of the set."""
        return np.asarray(pc.equal(self.rows["became"].cast(pa.string()), ACCEPTED))

    def identity(self) -> str:
        """A SHA-256 over what the source gave: splits, keys, labels, contents."""
        digest = hashlib.sha256()
        for first in range(0, len(self), _AT_ONCE):
            part = self.rows.slice(first, _AT_ONCE).select(["split", "key", "label", "sha256"])
            for split, key, label, sha256 in zip(*(c.to_pylist() for c in part), strict=True):
                digest.update(b"%b\0%b\0%d\0%b" % (split.encode(), key.encode(), label, sha256))
        return digest.hexdigest()

    def outcome(self, n: int) -> ImageOutcome:
        """What was seen of an accepted one."""
        kinds = self.rows["conversions"][n].as_py()
        width, height = self.rows["width"][n].as_py(), self.rows["height"][n].as_py()
        return ImageOutcome(width, height, tuple(kinds.split(_BETWEEN)) if kinds else ())


def changes(
    old: Inputs, new: Inputs, old_classes: list[str], new_classes: list[str]
) -> dict[str, int]:
    """How many images were added, removed, replaced (other contents under the same name), given another
    label, moved to another split, renamed. Contents decide which images are the same.
    """
    olds, news = _first_of_each(old), _first_of_each(new)
    _, in_old, in_new = np.intersect1d(old.begins_N[olds], new.begins_N[news], return_indices=True)
    a, b = olds[in_old], news[in_new]
    numbers = {name: n for n, name in enumerate(new_classes)}
    as_new = np.array([numbers.get(name, -1) for name in old_classes] or [-1], np.int64)
    splits = np.array([new.splits.index(s) if s in new.splits else -1 for s in old.splits])
    relabelled = as_new[old.label_N[a]] != new.label_N[b]
    moved = ~relabelled & (splits[old.split_N[a]] != new.split_N[b])
    keys = old.rows["key"].take(pa.array(a)), new.rows["key"].take(pa.array(b))
    other_name = np.asarray(pc.not_equal(*keys))
    gone, come = np.setdiff1d(olds, a), np.setdiff1d(news, b)
    replaced = len(set(_places(old, gone)) & set(_places(new, come)))
    found = {
        "added": len(come) - replaced,
        "removed": len(gone) - replaced,
        "replaced": replaced,
        "relabelled": int(relabelled.sum()),
        "moved to another split": int(moved.sum()),
        "renamed": int((other_name & ~relabelled & ~moved).sum()),
    }
    return {what: count for what, count in found.items() if count}


def in_words(changed: dict[str, int]) -> str:
    """Changes as people say them: "12 images added, 3 relabelled"."""
    said = [f"{count:,} {what}" for what, count in changed.items()]
    return ", ".join(said) or "nothing but copies, the names of classes or the order of images"


def _first_of_each(inputs: Inputs) -> np.ndarray:
    """The rows of different contents: of the same bytes the first that were read."""
    known, first = np.unique(inputs.begins_N, return_index=True)
    return np.sort(first[known != 0])


def _places(inputs: Inputs, rows_N: np.ndarray) -> list[tuple[Any, Any]]:
    taken = inputs.rows.take(pa.array(rows_N))
    return list(zip(taken["split"].to_pylist(), taken["key"].to_pylist(), strict=True))


def _names(values: list[str]) -> pa.DictionaryArray:
    return pa.array(values, pa.string()).dictionary_encode().cast(_NAME)
