"""From a source to a prepared dataset: all cores, the same bytes every time, safe to stop.

The work is done in OUT.unfinished, which becomes OUT when it is whole. Beside each whole shard lies
a journal that says what it was made from; a preparation that finds one made from the same images
does not make it again.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from alexnet.base import ranks
from alexnet.base.errors import DataError, IncompatibleError, UsageError
from alexnet.base.files import remove, require_space
from alexnet.base.progress import progress
from alexnet.prepared import folder as folders
from alexnet.prepared import sealed, shards
from alexnet.prepared.batches import Account, ShardBatch, batches
from alexnet.prepared.dataset import PreparedDataset
from alexnet.prepared.look import culprits
from alexnet.prepared.pixels import SIDES, SIZE
from alexnet.prepared.shards import Form
from alexnet.prepared.statistics import FILE as STATISTICS
from alexnet.prepared.statistics import Statistics
from alexnet.prepared.sums import Sums
from alexnet.prepared.work import Built, ImageOutcome, build_shard, inspect_shard
from alexnet.prepared.workers import WorkerDied, Workers
from alexnet.sources import Source, name_of, open_source

DEFAULT_ALLOWED_REJECTED = 0.01


def default_folder(spec: str, side: int = SIZE) -> Path:
    """Where a source is prepared when nothing else is said: prepared/NAME, or prepared/NAME-32."""
    return Path("prepared") / (name_of(spec) + ("" if side == SIZE else f"-{side}"))


def prepare(
    source: Source,
    out: Path,
    *,
    storage: str = "raw",
    side: int = SIZE,
    workers: int | None = None,
    allowed_rejected: float = DEFAULT_ALLOWED_REJECTED,
    accept_truncated: bool = False,
) -> PreparedDataset:
    """Prepare `source` in the folder `out` and open it; if it is there already, just open it.

    `storage` is "raw" (side x side x 3 bytes an image, read without decoding) or "jpeg"; `side` is
    that of the images, 256 for the paper's network, 32 for the nets of CIFAR-10. The bytes written
    do not depend on the number of `workers` or processes, nor on where the work was stopped. Raises
    DataError when more than the share `allowed_rejected` of the images cannot be used,
    IncompatibleError when `out` holds another set, EnvironmentProblem when the disk is too small or
    another process prepares the same folder.
    """
    if storage not in shards.IMAGES:
        raise UsageError(f"Unknown storage {storage!r}.", remedy="Known: raw, jpeg.")
    if side not in SIDES:
        known = " or ".join(map(str, SIDES))
        raise UsageError(f"Images of {side} pixels are for no network.", remedy=f"Use {known}.")
    form = Form(storage, side)
    if source.truncated and not accept_truncated:
        raise DataError(
            f"The archive breaks off {source.truncated}; {source.count:,} images come before.",
            where=source.spec,
            remedy="Fetch it again, or add --accept-truncated to use what is there.",
        )
    job = folders.job_of(source, form)
    if out.is_symlink():  # what it leads to is prepared beside that, on the same disk
        out = out.resolve()
    most_rejected = allowed_rejected * source.count
    make = partial(_make_share, source, form, workers, most_rejected)
    if not ranks.is_rank_0():
        if ranks.from_rank_0(False):
            make(folders.unfinished(out))
            ranks.meet()
        ranks.meet()
        return PreparedDataset.open(out)
    if existing := folders.existing(out, job):
        ranks.from_rank_0(False)
        ranks.meet()
        return existing
    with folders.locked(out) as unfinished:
        existing = folders.existing(out, job)  # finished by another preparation meanwhile
        is_to_do = not existing and not folders.is_finished(unfinished, job)
        if is_to_do:
            folders.start_or_go_on(unfinished, job)
            _require_room(unfinished, source, form)
        if ranks.from_rank_0(is_to_do):
            if ranks.world() > 1:
                make(unfinished)
                ranks.meet()
            _fill(unfinished, source, job, form, workers, allowed_rejected)
        if existing:
            remove(unfinished)
        else:
            folders.publish(unfinished, out)
    ranks.meet()
    return PreparedDataset.open(out)


def open_or_prepare(data: str, download: bool = False, side: int = SIZE) -> PreparedDataset:
    """A prepared dataset's folder opened, or any source prepared in its default folder.

    What lies there is used, stored either way, if it was made from the same images. Raises
    IncompatibleError where it has images of another side.
    """
    if (Path(data) / "dataset.json").is_file():
        dataset = PreparedDataset.open(data)
        if dataset.side != side:
            raise IncompatibleError(
                f"The set has images of {dataset.side} pixels, and the network reads {side}.",
                where=data,
                remedy=f"Prepare it again: alexnet data prepare SRC --side {side}",
            )
        return dataset
    out, storage = default_folder(data, side), "raw"
    if (out / "dataset.json").is_file():
        storage = PreparedDataset.open(out).description["made"]["storage"]
    return prepare(open_source(data, download=download), out, storage=storage, side=side)


def _make_share(
    source: Source, form: Form, workers: int | None, most_rejected: float, folder: Path
) -> None:
    """This process's part of the shards; `_fill` finds them made, as after a stop.

    Every process reads the whole source: which images are duplicates depends on all before. It ends
    where more are rejected than may be, which `_fill` will say.
    """
    rejected = 0
    every, first = ranks.world(), ranks.rank()
    with (
        Workers(workers) as pool,
        progress(f"prepare {name_of(source.spec)}", source.count, "images") as shown,
    ):
        mine = islice(
            batches(source, shards.IMAGES[form.storage], shards.SOURCE_BYTES), first, None, every
        )
        for batch, shard in pool.map(partial(_make, pool, folder, form), mine):
            rejected += sum(bool(outcome.reason) for outcome in shard.outcomes)
            if rejected > most_rejected:
                return
            shown.advance(len(batch.entries) * every)  # the others are as far


def _bytes_each(form: Form) -> int:
    """About what a stored image takes."""
    return form.raw_bytes + 200 if form.storage == "raw" else form.raw_bytes // 3


def _require_room(folder: Path, source: Source, form: Form) -> None:
    """Raise EnvironmentProblem where the disk is too small for what is still to be made."""
    done = sum(path.stat().st_size for path in folder.iterdir())
    require_space(
        folder,
        source.count * _bytes_each(form) - done,
        "The rest of the prepared set",
        "Free some space, choose another folder with -o, or use --storage jpeg.",
    )


def _fill(
    folder: Path,
    source: Source,
    job: dict[str, Any],
    form: Form,
    workers: int | None,
    allowed_rejected: float,
) -> None:
    """All files of the set, in the unfinished folder."""
    with Workers(workers) as pool:
        finished = _make_all(source, folder, form, pool, allowed_rejected)
    given = sum(account.inputs for account in finished.accounts.values())
    if given != source.count:
        raise DataError(
            f"The source changed while it was read: {given:,} images, not {source.count:,}.",
            where=source.spec,
            remedy="The same command goes on; only what changed is made again.",
        )
    if not finished.sums.images:
        raise DataError("No training image can be used.", where=source.spec)
    Statistics.from_sums(finished.sums).save(folder / STATISTICS)
    folders.finish(folder, source, job, finished.accounts, finished.files)


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
class _Finished:
    """Of each split its account and its shards' entries; and the sums over training."""

    accounts: dict[str, Account]
    files: dict[str, list[dict[str, Any]]]
    sums: Sums


def _make_all(
    source: Source, folder: Path, form: Form, pool: Workers, allowed_rejected: float
) -> _Finished:
    """All shards of all splits; raises DataError as soon as too many images are rejected."""
    accounts = {split: Account(split) for split in source.splits}
    files: dict[str, list[dict[str, Any]]] = {split: [] for split in source.splits}
    sums, make = Sums.zero(form.side), partial(_make, pool, folder, form)
    with progress(f"prepare {name_of(source.spec)}", source.count, "images") as shown:
        for batch, shard in pool.map(
            make, batches(source, shards.IMAGES[form.storage], shards.SOURCE_BYTES)
        ):
            accounts[batch.split].add(batch, shard.outcomes)
            if shard.bytes:  # there is no file where every image was rejected
                files[batch.split].append(shard.entry())
            if shard.sums:
                sums += shard.sums
            _stop_if_too_many(accounts, allowed_rejected * source.count, source)
            shown.advance(len(batch.entries))
    return _Finished(accounts, files, sums)


def _make(pool: Workers, folder: Path, form: Form, batch: ShardBatch) -> _Shard:
    """In a thread of the pool: the batch's shard, made now or found whole from before a stop."""
    name, is_train = f"{batch.split}-{batch.number:05d}", batch.split == "train"
    path, journal = folder / f"{name}.arrow", folder / f"{name}.journal.json"
    made_from = batch.sha256()
    if shard := _found(pool, path, form, journal, made_from, batch):
        batch.contents.clear()
        return shard
    built = _build(pool, path, form, batch)
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
        whole, sums = pool.call(inspect_shard, place, form, digest, batch.split == "train")
        if whole:
            return _Shard(place, batch.split, outcomes, size, digest, index, sums)
    return None


def _build(pool: Workers, path: Path, form: Form, batch: ShardBatch) -> Built:
    """`build_shard` in a worker; images that kill it are found one by one and rejected."""
    labels, keys = [entry.label for entry in batch.new], [entry.key for entry in batch.new]
    with_sums = batch.split == "train"
    known: dict[int, ImageOutcome] = {}
    while True:
        try:
            return pool.call(
                build_shard, path, form, batch.contents, labels, keys, known, with_sums
            )
        except WorkerDied as death:
            known |= culprits(pool, batch.contents, known, death)


def _stop_if_too_many(accounts: dict[str, Account], allowed: float, source: Source) -> None:
    rejected = sum(account.rejected for account in accounts.values())
    if rejected <= allowed:
        return
    rows = [row for account in accounts.values() for row in account.rejected_rows]
    shown = [f"{split}/{key}: {reason} ({detail})" for key, split, reason, detail in rows[:5]]
    raise DataError(
        f"More images than allowed cannot be used: {rejected:,} of {source.count:,} so far,"
        f" {allowed:,.1f} allowed.",
        where="\n".join(shown),
        remedy=f"`alexnet data check {source.spec}` names all; --allowed-rejected allows more.",
    )
