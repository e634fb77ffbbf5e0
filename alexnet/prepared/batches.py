"""A source's images in batches, one for each shard, and the account of what became of them."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from alexnet.prepared.pixels import is_extreme
from alexnet.prepared.work import ImageOutcome
from alexnet.sources import LabelledImage, Source

DUPLICATE = "duplicate"
CONTRADICTION = "in two classes"
REPEATS = (DUPLICATE, CONTRADICTION)
_SAME = "the same bytes as "  # the detail of a repeat: this and the key of the first
RefusedRow = tuple[str, str, str, str]  # key, split, reason, detail


@dataclass(frozen=True, slots=True)
class Entry:
    """One input: its name, label and the SHA-256 of its bytes.

    `fault` if it has none. Where an earlier image of the split has the same bytes, `repeats` says that
    it is its DUPLICATE, or, with another label, its CONTRADICTION: two classes claim one image, and
    which is right nobody can know. The first is used, and both are named.
    """

    key: str
    label: int
    digest: bytes
    repeats: str
    fault: ImageOutcome | None

    @property
    def is_repeat(self) -> bool:
        """Whether an earlier image of the split has the same bytes."""
        return bool(self.repeats)

    @property
    def is_new(self) -> bool:
        """Whether it has to be decoded."""
        return not self.is_repeat and self.fault is None


@dataclass
class ShardBatch:
    """Consecutive inputs of one split, and the bytes of those that have to be decoded.

    `with_sums` where mean and colours are those of this split: training, or what there is instead.
    """

    split: str
    number: int
    with_sums: bool = False
    entries: list[Entry] = field(default_factory=list)
    contents: list[bytes] = field(default_factory=list)
    size: int = 0  # bytes of the contents

    @property
    def new(self) -> list[Entry]:
        """The entries that `contents` belongs to."""
        return [entry for entry in self.entries if entry.is_new]

    def sha256(self) -> str:
        """What the batch's shard is made from: names, labels and contents."""
        digest = hashlib.sha256()
        for entry in self.new:
            digest.update(b"%b\0%d\0%b" % (entry.key.encode(), entry.label, entry.digest))
        return digest.hexdigest()


def batches(source: Source, images: int, most_bytes: int) -> Iterator[ShardBatch]:
    """Batches as soon as they are full; then the rest.

    A batch is full with `images` that have to be decoded, or as many as fill `most_bytes`: so memory
    stays small however large the files are, and where a batch ends depends on the source alone.
    """
    seen: dict[str, dict[bytes, int]] = {split: {} for split in source.splits}
    filling = {
        split: ShardBatch(split, 0, with_sums=split == source.splits[0]) for split in source.splits
    }
    for image in source.images():
        batch = filling[image.split]
        entry = _entry(image, seen[image.split])
        batch.entries.append(entry)
        if entry.is_new:
            batch.contents.append(image.data)
            batch.size += len(image.data)
        if len(batch.contents) == images or batch.size >= most_bytes:
            filling[image.split] = ShardBatch(image.split, batch.number + 1, batch.with_sums)
            yield batch
    yield from (batch for batch in filling.values() if batch.entries)


def _entry(image: LabelledImage, seen: dict[bytes, int]) -> Entry:
    """`seen` has the label of every earlier content of the split."""
    digest = hashlib.sha256(image.data).digest()
    if image.fault:
        fault = ImageOutcome(reason=image.fault.reason, detail=image.fault.detail)
        return Entry(image.key, image.label, digest, "", fault)
    first = seen.setdefault(digest, -1)
    repeats = ""
    if first < 0:
        seen[digest] = image.label
    else:
        repeats = DUPLICATE if first == image.label else CONTRADICTION
    return Entry(image.key, image.label, digest, repeats, None)


class Kept(NamedTuple):
    """An accepted image."""

    key: str
    label: int


@dataclass
class Account:
    """What became of one split's inputs: accepted, rejected, duplicates, or in two classes."""

    split: str
    inputs: int = 0
    # Rejected images and repeats, in order.
    refused: list[RefusedRow] = field(default_factory=list)
    rejected: int = 0
    kinds: Counter[str] = field(default_factory=Counter)  # conversions
    extreme: list[str] = field(default_factory=list)  # keys with an aspect over 10:1
    labels: Counter[int] = field(default_factory=Counter)
    shorter_sides: Counter[int] = field(default_factory=Counter)  # pixels, as stored in the source
    accepted: dict[bytes, Kept] = field(default_factory=dict)  # by SHA-256
    _rejected: dict[bytes, ImageOutcome] = field(default_factory=dict)

    def add(self, batch: ShardBatch, outcomes: list[ImageOutcome]) -> None:
        """Batches come in their order, with the outcomes of their new entries."""
        remaining = iter(outcomes)
        for entry in batch.entries:
            self.inputs += 1
            outcome = entry.fault or (
                self._rejected.get(entry.digest) if entry.is_repeat else next(remaining)
            )
            if outcome is None:  # a repeat of an accepted image
                first = f"{_SAME}{self.accepted[entry.digest].key}"
                self.refused.append((entry.key, self.split, entry.repeats, first))
            elif outcome.reason:
                self.refused.append((entry.key, self.split, outcome.reason, outcome.detail))
                self.rejected += 1
                if entry.fault is None:
                    self._rejected[entry.digest] = outcome
            else:
                self._accept(entry, outcome)

    def _accept(self, entry: Entry, outcome: ImageOutcome) -> None:
        self.accepted[entry.digest] = Kept(entry.key, entry.label)
        self.labels[entry.label] += 1
        self.kinds.update(outcome.kinds)
        self.shorter_sides[min(outcome.width, outcome.height)] += 1
        if is_extreme(outcome.width, outcome.height):
            self.extreme.append(entry.key)

    @property
    def rejected_rows(self) -> list[RefusedRow]:
        """The refused without duplicates and contradictions."""
        return [row for row in self.refused if row[2] not in REPEATS]

    def summary(self) -> dict[str, int]:
        """inputs = accepted + rejected + duplicates + contradictions."""
        contradictions = sum(row[2] == CONTRADICTION for row in self.refused)
        duplicates = len(self.refused) - self.rejected - contradictions
        assert self.inputs == len(self.accepted) + len(self.refused)
        return {
            "inputs": self.inputs,
            "accepted": len(self.accepted),
            "rejected": self.rejected,
            "duplicates": duplicates,
            "contradictions": contradictions,
        }


def in_two_splits(accounts: list[Account]) -> list[tuple[str, str]]:
    """Images that two splits share, byte for byte: (later split/key, earlier split/key)."""
    return [
        (f"{later.split}/{one.key}", f"{earlier.split}/{earlier.accepted[digest].key}")
        for later, earlier, digest, one in _shared(accounts)
    ]


def in_two_classes(accounts: list[Account]) -> list[tuple[str, str]]:
    """Images that two classes share, in one split or in two: (split/key, split/key of the first)."""
    inside = [
        (f"{split}/{key}", f"{split}/{first.removeprefix(_SAME)}")
        for account in accounts
        for key, split, reason, first in account.refused
        if reason == CONTRADICTION
    ]
    return inside + [
        (f"{later.split}/{one.key}", f"{earlier.split}/{earlier.accepted[digest].key}")
        for later, earlier, digest, one in _shared(accounts)
        if one.label != earlier.accepted[digest].label
    ]


def _shared(accounts: list[Account]) -> Iterator[tuple[Account, Account, bytes, Kept]]:
    for n, later in enumerate(accounts):
        for earlier in accounts[:n]:
            for digest, one in later.accepted.items():
                if digest in earlier.accepted:
                    yield later, earlier, digest, one
