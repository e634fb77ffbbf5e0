"""The shards of a set: each made in a worker process, found whole from before a stop, or taken over
from an earlier state of the set.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from shlex import quote
from typing import Any

from alexnet.base import ranks
from alexnet.base.errors import DataError
from alexnet.base.files import link
from alexnet.base.progress import progress
from alexnet.prepared import sealed, shards
from alexnet.prepared.batches import Account, ShardBatch, batches
from alexnet.prepared.inputs import Inputs, Recorder
from alexnet.prepared.look import culprits
from alexnet.prepared.reuse import Earlier
from alexnet.prepared.shards import Form
from alexnet.prepared.sums import Sums
from alexnet.prepared.work import Built, ImageOutcome, build_shard, inspect_shard
from alexnet.prepared.workers import WorkerDied, Workers
from alexnet.sources import Source, name_of


@dataclass(frozen=True)
class Making:
    """What is made and from what: the source, the folder, the form; `earlier` may have some of it."""

    source: Source
    folder: Path
    form: Form
    earlier: Earlier | None = None

    def batches(self) -> Iterator[ShardBatch]:
        """The source's images, as many as go into a shard at a time."""
        return batches(self.source, shards.IMAGES[self.form.storage], shards.SOURCE_BYTES)

    @property
    def title(self) -> str:
        """What progress is called."""
        return f"prepare {name_of(self.source.spec)}"


def make_share(making: Making, workers: int | None, most_rejected: float) -> None:
    """This process's part of the shards; `make_all` finds them made, as after a stop.

    Every process reads the whole source: which images are duplicates depends on all before. It ends
    where more are rejected than may be, which `make_all` will say.
    """
    rejected = 0
    every, first = ranks.world(), ranks.rank()
    with (
        Workers(workers) as pool,
        progress(making.title, making.source.count, "images") as shown,
    ):
        mine = islice(making.batches(), first, None, every)
        for batch, shard in pool.map(partial(_make, pool, making), mine):
            rejected += sum(bool(outcome.reason) for outcome in shard.outcomes)
            if rejected > most_rejected:
                return
            shown.advance(len(batch.entries) * every)  # the others are as far


@dataclass
class _Shard:
    """A shard in the unfinished folder, and what its batch came to."""

    path: Path
    split: str
    outcomes: list[ImageOutcome]
    bytes: int
    sha256: str
    index: list[Any]  # an `Index`; empty where there is no file
    sums: Sums | None

    def entry(self) -> dict[str, Any]:
        """What dataset.json says of it."""
        return {
            "file": self.path.name,
            "images": sum(not outcome.reason for outcome in self.outcomes),
            "bytes": self.bytes,
            "sha256": self.sha256,
            "images_at": self.index[:2],
            "index_sha256": self.index[2],
        }


@dataclass
class Made:
    """Of each split its account and its shards' entries; all inputs; and the sums over training."""

    accounts: dict[str, Account]
    files: dict[str, list[dict[str, Any]]]
    inputs: Inputs
    sums: Sums


def make_all(making: Making, workers: int | None, allowed_rejected: float) -> Made:
    """All shards of all splits; raises DataError as soon as too many images are rejected."""
    source = making.source
    accounts, recorder = {s: Account(s) for s in source.splits}, Recorder(source.splits)
    files: dict[str, list[dict[str, Any]]] = {split: [] for split in source.splits}
    sums = Sums.zero(making.form.side)
    with Workers(workers) as pool, progress(making.title, source.count, "images") as shown:
        for batch, shard in pool.map(partial(_make, pool, making), making.batches()):
            accounts[batch.split].add(batch, shard.outcomes)
            recorder.add(batch, shard.outcomes)
            if shard.bytes:  # there is no file where every image was rejected
                files[batch.split].append(shard.entry())
            if shard.sums:
                sums += shard.sums
            stop_if_too_many(accounts, allowed_rejected * source.count, source)
            shown.advance(len(batch.entries))
    return Made(accounts, files, recorder.inputs(), sums)


def _make(pool: Workers, making: Making, batch: ShardBatch) -> _Shard:
    """In a thread of the pool: the batch's shard, made now, found whole from before a stop, or linked."""
    name, is_train = f"{batch.split}-{batch.number:05d}", batch.with_sums
    folder, form = making.folder, making.form
    path, journal = folder / f"{name}.arrow", folder / f"{name}.journal.json"
    made_from = batch.sha256()
    if shard := _found(pool, path, form, journal, made_from, batch):
        batch.contents.clear()
        return shard
    built = _linked(pool, making, path, batch) or _build(pool, making, path, batch)
    batch.contents.clear()
    index = list(shards.index_of(path)) if built.bytes else []
    record = {
        "made_from": made_from,
        "outcomes": [asdict(outcome) for outcome in built.outcomes],
        "shard": {"bytes": built.bytes, "sha256": built.sha256, "index": index},
    }
    sealed.write_sealed(journal, record)
    sums = built.sums if is_train else None
    return _Shard(path, batch.split, built.outcomes, built.bytes, built.sha256, index, sums)


def _found(
    pool: Workers, path: Path, form: Form, journal: Path, made_from: str, batch: ShardBatch
) -> _Shard | None:
    """The shard that a stopped preparation made from the same images, if it is whole."""
    try:
        record = sealed.read_sealed(journal)
    except DataError:  # there is none, or what it says is not known
        return None
    if record["made_from"] != made_from:
        return None
    outcomes = [ImageOutcome(**one | {"kinds": tuple(one["kinds"])}) for one in record["outcomes"]]
    size, digest, index = (record["shard"][name] for name in ("bytes", "sha256", "index"))
    if not size:
        return _Shard(path, batch.split, outcomes, 0, "", [], None)
    # Where it was stopped in `finish`, it may have its last name already.
    for place in [path, *path.parent.glob(f"{path.stem}-of-*.arrow")]:
        whole, sums = pool.call(inspect_shard, place, form, digest, batch.with_sums)
        if whole:
            return _Shard(place, batch.split, outcomes, size, digest, index, sums)
    return None


def _linked(pool: Workers, making: Making, path: Path, batch: ShardBatch) -> Built | None:
    """The shard of the earlier set that holds just these images, under another name of the same file."""
    same = making.earlier.same_shard(batch.new) if making.earlier else None
    if not same or not link(same.path, path):
        return None
    is_train = batch.with_sums
    whole, sums = pool.call(inspect_shard, path, making.form, same.sha256, is_train)
    return Built(same.outcomes, path.stat().st_size, same.sha256, sums) if whole else None


def _build(pool: Workers, making: Making, path: Path, batch: ShardBatch) -> Built:
    """`build_shard` in a worker; images that kill it are found one by one and rejected."""
    labels, keys = [entry.label for entry in batch.new], [entry.key for entry in batch.new]
    with_sums = batch.with_sums
    known: dict[int, ImageOutcome] = {}
    stored = making.earlier.stored(batch.new) if making.earlier else {}
    contents = [b"" if n in stored else data for n, data in enumerate(batch.contents)]
    about = (contents, labels, keys, known, with_sums, stored)
    while True:
        try:
            return pool.call(build_shard, path, making.form, *about)
        except WorkerDied as death:
            known |= culprits(pool, batch.contents, known, death)


def stop_if_too_many(accounts: dict[str, Account], allowed: float, source: Source) -> None:
    """Raise DataError, naming the first, where more images are rejected than the number `allowed`."""
    rejected = sum(account.rejected for account in accounts.values())
    if rejected <= allowed:
        return
    rows = [row for account in accounts.values() for row in account.rejected_rows]
    shown = [f"{split}/{key}: {reason} ({detail})" for key, split, reason, detail in rows[:5]]
    raise DataError(
        f"More images than allowed cannot be used: {rejected:,} of {source.count:,} so far,"
        f" {allowed:,.1f} allowed.",
        where="\n".join(shown),
        remedy=f"`alexnet data check {quote(source.spec)}` names all. To use the others: "
        f"alexnet data prepare {quote(source.spec)} --allowed-rejected {_share_above(rejected, source)}",
    )


def _share_above(rejected: int, source: Source) -> str:
    """A share of the images that leaves room for what may still come."""
    return f"{min(1.0, math.ceil(100 * 2 * rejected / source.count) / 100):g}"
