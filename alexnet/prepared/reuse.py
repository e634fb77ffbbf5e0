"""The pixels of a set that is being made anew, by the hashes of the files that they were made from.

What was made from the same bytes, by the same rules and libraries, is the same to the last bit. So it is
taken over, after its shard was compared with its hash: a damaged one is not passed on.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from alexnet.base.files import sha256_of
from alexnet.prepared.batches import Entry
from alexnet.prepared.dataset import PreparedDataset
from alexnet.prepared.inputs import Inputs
from alexnet.prepared.work import ImageOutcome, Stored


class Earlier:
    """An earlier state of a set, and what it was made from; safe to ask from many threads."""

    def __init__(self, dataset: PreparedDataset, inputs: Inputs) -> None:
        self._inputs = inputs
        accepted = np.flatnonzero(inputs.is_accepted_N)
        self._row_N = accepted[np.argsort(inputs.begins_N[accepted], kind="stable")]
        self._begins_N = inputs.begins_N[self._row_N]
        self._place = np.cumsum(inputs.is_accepted_N) - 1  # of each row among the accepted
        entries = [e for split in dataset.description["splits"].values() for e in split["shards"]]
        self._files = [dataset.folder / entry["file"] for entry in entries]
        self._sha256 = [entry["sha256"] for entry in entries]
        self._images = [entry["images"] for entry in entries]
        self._firsts = np.cumsum([0, *self._images])
        self._whole: dict[int, bool] = {}
        self._locks = [threading.Lock() for _ in entries]

    def find(self, digest: bytes) -> int:
        """The row of an accepted input with this SHA-256; -1 where there is none."""
        begin = np.frombuffer(digest[:8], np.uint64)[0]
        n = int(np.searchsorted(self._begins_N, begin))
        if n == len(self._begins_N) or self._begins_N[n] != begin:
            return -1
        row = int(self._row_N[n])
        return row if self._inputs.sha256_N[row].tobytes() == digest else -1

    def stored(self, entries: Sequence[Entry]) -> dict[int, Stored]:
        """Where those of a batch's new entries lie that were made before, by their numbers."""
        found = {}
        for n, entry in enumerate(entries):
            if (row := self.find(entry.digest)) >= 0:
                shard, image = self._locate(row)
                if self._is_whole(shard):
                    found[n] = Stored(self._files[shard], image, self._inputs.outcome(row))
        return found

    def same_shard(self, entries: Sequence[Entry]) -> _Same | None:
        """The shard that holds just these images with their keys and labels, if there is one."""
        rows = [self.find(entry.digest) for entry in entries]
        if not rows or rows[0] < 0:
            return None
        shard, image = self._locate(rows[0])
        if image or self._images[shard] != len(rows):
            return None
        keys, labels = self._inputs.rows["key"], self._inputs.label_N
        for n, (row, entry) in enumerate(zip(rows, entries, strict=True)):
            if row < 0 or self._locate(row) != (shard, n):
                return None
            if keys[row].as_py() != entry.key or labels[row] != entry.label:
                return None
        outcomes = [self._inputs.outcome(row) for row in rows]
        return _Same(self._files[shard], self._sha256[shard], outcomes)

    def _locate(self, row: int) -> tuple[int, int]:
        place = int(self._place[row])
        shard = int(np.searchsorted(self._firsts, place, side="right")) - 1
        return shard, place - int(self._firsts[shard])

    def _is_whole(self, shard: int) -> bool:
        with self._locks[shard]:
            if shard not in self._whole:
                self._whole[shard] = sha256_of(self._files[shard]) == self._sha256[shard]
            return self._whole[shard]


class _Same(NamedTuple):
    path: Path
    sha256: str
    outcomes: list[ImageOutcome]
