"""Looking at images without writing: for `data check`, and to find what kills a worker."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from alexnet.base.errors import EnvironmentProblem
from alexnet.base.progress import progress
from alexnet.prepared.batches import Account, ShardBatch, batches
from alexnet.prepared.shards import SOURCE_BYTES
from alexnet.prepared.work import IMAGE_SECONDS, TOO_LARGE, ImageOutcome, look
from alexnet.prepared.workers import WorkerDied, Workers
from alexnet.sources import Source, name_of

_BATCH = 128  # images


def check(source: Source, workers: int | None = None) -> dict[str, Account]:
    """What preparation would find: an account of every split, by its name. Writes nothing."""
    accounts = {split: Account(split) for split in source.splits}
    title = f"check {name_of(source.spec)}"
    with Workers(workers) as pool, progress(title, source.count, "images") as shown:
        for batch, outcomes in pool.map(
            partial(_look, pool), batches(source, _BATCH, SOURCE_BYTES)
        ):
            accounts[batch.split].add(batch, outcomes)
            shown.advance(len(batch.entries))
    return accounts


def culprits(
    pool: Workers, contents: list[bytes], known: Mapping[int, ImageOutcome], death: WorkerDied
) -> dict[int, ImageOutcome]:
    """Which of `contents`, beside the `known`, end a process that does nothing but look at them.

    Where one took too long, each has half the time now: none is too slow only sometimes. Raises
    EnvironmentProblem where none does: then `death` had another reason.
    """
    found: dict[int, ImageOutcome] = {}
    try:
        pool.call(look, [])  # a process that cannot even start has no image to blame
        for n, data in enumerate(contents):
            if n not in known and (outcome := _fatal(pool, data, 0.5 if death.too_slow else 1.0)):
                found[n] = outcome
    except WorkerDied:
        found = {}
    if not found:
        raise EnvironmentProblem(
            f"No image is to blame, but {death}.",
            remedy="Was it out of memory? Try fewer --workers.",
        )
    return found


def _look(pool: Workers, batch: ShardBatch) -> list[ImageOutcome]:
    try:
        outcomes = pool.call(look, batch.contents)
    except WorkerDied as death:
        fatal = culprits(pool, batch.contents, {}, death)
        outcomes = [
            fatal[n] if n in fatal else pool.call(look, [data])[0]
            for n, data in enumerate(batch.contents)
        ]
    batch.contents.clear()
    return outcomes


def _fatal(pool: Workers, data: bytes, time: float) -> ImageOutcome | None:
    try:
        pool.call(look, [data], time)
    except WorkerDied as death:
        if death.too_slow:
            return ImageOutcome(
                reason="too slow", detail=f"over {IMAGE_SECONDS:.0f} s of CPU time to decode"
            )
        if death.out_of_memory:
            return TOO_LARGE
        return ImageOutcome(reason="kills the decoder", detail=str(death))
    return None
