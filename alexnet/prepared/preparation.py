"""From a source to a prepared dataset: all cores, the same bytes every time, safe to stop.

The work is done in OUT.unfinished, which becomes OUT when it is whole. Beside each whole shard lies
a journal that says what it was made from; a preparation that finds one made from the same images
does not make it again. A set whose source has changed is made anew, with what is in it still, and stays
until the new one is whole.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from shlex import quote
from typing import Any

from alexnet.base import ranks
from alexnet.base.errors import DataError, IncompatibleError, UsageError
from alexnet.base.files import remove, require_space
from alexnet.prepared import folder as folders
from alexnet.prepared import history, shards
from alexnet.prepared.dataset import PreparedDataset
from alexnet.prepared.inputs import changes, in_words
from alexnet.prepared.making import Making, make_all, make_share
from alexnet.prepared.pixels import SIDES, SIZE
from alexnet.prepared.reuse import Earlier
from alexnet.prepared.shards import Form
from alexnet.prepared.stamps import inputs_of, is_of, is_unchanged, lies_under
from alexnet.prepared.statistics import FILE as STATISTICS
from alexnet.prepared.statistics import Statistics
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

    A set that was made of an earlier state of the source is replaced, when the new one is whole.

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
    job = folders.job_of(source, form := Form(storage, side))
    if out.is_symlink():  # what it leads to is prepared beside that, on the same disk
        out = out.resolve()
    most_rejected = allowed_rejected * source.count
    if not ranks.is_rank_0():
        if ranks.from_rank_0(False):
            making = Making(source, folders.unfinished(out), form, _earlier(out, job))
            make_share(making, workers, most_rejected)
            ranks.meet()
        ranks.meet()
        return PreparedDataset.open(out)
    folders.settle(out)
    existing, seen = folders.existing(out, source, job), folders.mark(out)
    if existing:
        ranks.from_rank_0(False)
        ranks.meet()
        return existing
    if source.truncated and not accept_truncated:
        raise DataError(
            f"The archive breaks off {source.truncated}; {source.count:,} images come before.",
            where=source.spec,
            remedy="Fetch it again, or use what is there: "
            f"alexnet data prepare {quote(source.spec)} --accept-truncated",
        )
    with folders.locked(out) as unfinished:
        if folders.mark(out) != seen:  # finished by another preparation meanwhile
            existing = folders.existing(out, source, job)
        is_to_do = not existing and not folders.is_finished(unfinished, source, job)
        if is_to_do:
            folders.start_or_go_on(unfinished, job)
            _require_room(unfinished, source, form)
            _tell_of_changes(source, job, out)
        if ranks.from_rank_0(is_to_do):
            making = Making(source, unfinished, form, _earlier(out, job))
            if ranks.world() > 1:
                make_share(making, workers, most_rejected)
                ranks.meet()
            _fill(making, job, out, workers, allowed_rejected)
        if existing:
            remove(unfinished)
        else:
            folders.publish(unfinished, out)
    ranks.meet()
    return PreparedDataset.open(out)


def open_or_prepare(
    data: str,
    download: bool = False,
    side: int = SIZE,
    before: Callable[[Sequence[str], Sequence[str], str], None] | None = None,
) -> PreparedDataset:
    """A prepared dataset's folder opened, or any source prepared in its default folder.

    `before` is given a source's classes, splits and name before its images are read, and may refuse them.

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
    source = _opened(data, side, download)
    if before:
        before(source.classes, source.splits, source.spec)
    out, storage = home_of(source, side), "raw"
    if there := folders.earlier_in(out):
        storage = there.description["made"]["storage"]
        share = there.description["source"]["validation_share"]
        if share != source.validation_share:
            source = open_source(data, validation_share=share, download=download)
    return prepare(source, out, storage=storage, side=side)


def _opened(data: str, side: int, download: bool) -> Source:
    """A source; of one whose layout is not clear, what a preparation was told to make of it."""
    try:
        return open_source(data, download=download)
    except DataError:
        there = folders.earlier_in(default_folder(data, side))
        if there is None or there.description["source"]["spec"] != data:
            raise
        share = there.description["source"]["validation_share"]
        source = open_source(data, validation_share=share, download=download)
        if not set(source.warnings) <= set(there.description["warnings"]):
            raise  # something else is left out now
        return source


def home_of(source: Source, side: int = SIZE) -> Path:
    """Where a source is prepared when nothing else is said: `default_folder`, or where that is the set
    of another source, NAME-HASH beside it; or where a folder of just these images was prepared before
    it was moved, renamed or copied.
    """
    plain = default_folder(source.spec, side)
    place = source.files.root.resolve() if source.files else source.spec
    mark = hashlib.sha256(str(place).encode("utf-8", "surrogateescape")).hexdigest()[:6]
    ending = plain.name.removeprefix(name_of(source.spec))
    apart = plain.with_name(f"{name_of(source.spec)}-{mark}{ending}")
    sets = [folder for folder in (plain, apart) if (folder / "dataset.json").is_file()]
    for folder in sets:
        if is_of(folder, source):
            return folder
    others = lies_under(source.identity, sorted(plain.parent.glob("*")))
    for folder in dict.fromkeys([*sets, *others]):
        dataset = folders.earlier_in(folder)
        if dataset and dataset.side == side and is_unchanged(dataset, source):
            if folder != plain:
                print(f"{source.spec} is prepared already: {folder}", file=sys.stderr)
            return folder
    if plain not in sets:
        return plain
    print(f"{plain} is the set of other images: these are prepared in {apart}", file=sys.stderr)
    return apart


def _earlier(out: Path, job: dict[str, Any]) -> Earlier | None:
    """The set that is to be replaced, if its images would be the same to the last bit now."""
    dataset = folders.earlier_in(out)
    if dataset is None or dataset.description["made"] != job["made"]:
        return None
    return Earlier(dataset, inputs_of(dataset))


def _tell_of_changes(source: Source, job: dict[str, Any], out: Path) -> None:
    """Say why a set is prepared anew, where there is one."""
    if not (out / "dataset.json").is_file():
        return
    why = f"{source.spec} is not what {out} was made from any more"
    before = folders.earlier_in(out)
    if before is None or folders.by_other_rules(before, job):
        why = f"{out} was made by other rules than this version of the program has"
    print(f"{why}: it is prepared anew, and the old set stays until then", file=sys.stderr)


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
        "Free some space, or prepare it on another disk, as JPEGs if need be: alexnet data prepare "
        f"{quote(source.spec)} --side {form.side} --storage jpeg -o DIR",
    )


def _fill(
    making: Making, job: dict[str, Any], out: Path, workers: int | None, allowed_rejected: float
) -> None:
    """All files of the set, in the unfinished folder, which will be `out`."""
    source, made = making.source, make_all(making, workers, allowed_rejected)
    if len(made.inputs) != source.count:
        raise DataError(
            f"The source changed while it was read: {len(made.inputs):,} images, not {source.count:,}.",
            where=source.spec,
            remedy="The same command goes on; only what changed is made again.",
        )
    if not made.sums.images:
        raise DataError("No training image can be used.", where=source.spec)
    Statistics.from_sums(made.sums).save(making.folder / STATISTICS)
    if before := folders.earlier_in(out):
        classes = list(before.classes), list(source.classes)
        changed = changes(inputs_of(before), made.inputs, *classes)
        history.record(making.folder, before, changed)
        print(f"{source.spec}: {in_words(changed)}", file=sys.stderr)
    folders.finish(making.folder, source, job, made, out)
