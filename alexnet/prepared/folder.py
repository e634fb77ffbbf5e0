"""The folder of a prepared set while it comes into being: who writes there, its last files."""

from __future__ import annotations

import csv
import io
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shlex import quote
from typing import Any

import numpy as np
import PIL
import pyarrow as pa
import simplejpeg

from alexnet.base.errors import DataError, IncompatibleError, UsageError
from alexnet.base.files import read_json, remove, rename, sha256_of, write_atomically
from alexnet.base.locks import Lock
from alexnet.base.provenance import names_hash
from alexnet.prepared import description as descriptions
from alexnet.prepared import pixels, sealed, shards
from alexnet.prepared.batches import Account, in_two_classes, in_two_splits
from alexnet.prepared.dataset import PreparedDataset
from alexnet.prepared.description import FILE as DESCRIPTION
from alexnet.prepared.description import FORMAT, VERSION
from alexnet.prepared.history import FILE as HISTORY
from alexnet.prepared.inputs import FILE as INPUTS
from alexnet.prepared.making import Made
from alexnet.prepared.shards import Form
from alexnet.prepared.stamps import FILE as STAMPS
from alexnet.prepared.stamps import Stamps, is_of, is_unchanged
from alexnet.prepared.statistics import FILE as STATISTICS
from alexnet.prepared.verification import verify
from alexnet.sources import Source

_JOB = "job.json"
_LOCK = ".lock"
_REJECTED = "rejected.csv"
_CHOSEN = ("storage", "size")  # of how a set is made; the rest is the program's


def job_of(source: Source, form: Form) -> dict[str, Any]:
    """What is known before images are read: how the set is made; the first part of dataset.json."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "source": {
            "spec": source.spec,
            "found": source.found,
            "validation_share": float(source.validation_share),
        },
        "made": {
            "storage": form.storage,
            "size": form.side,
            "filter": pixels.FILTER,
            "rule": pixels.RULE.format(form.side),
            "colours": pixels.COLOUR_RULE,
            "jpeg_quality": shards.JPEG_QUALITY if form.storage == "jpeg" else None,
            "images_per_shard": shards.IMAGES[form.storage],
            "source_bytes_per_shard": shards.SOURCE_BYTES,
            "versions": _versions(),
        },
        "classes": list(source.classes),
        "titles": list(source.titles),
        "classes_sha256": names_hash(source.classes),
    }


def existing(out: Path, source: Source, job: dict[str, Any]) -> PreparedDataset | None:
    """The finished set in `out`, if its source would give the same images still.

    None where there is none, or one of an earlier state of the source or the program, which may be
    replaced. Raises UsageError or IncompatibleError where `out` holds anything else.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        if os.path.ismount(out):
            raise UsageError(
                f"{out} is where a disk is mounted, so no finished folder can take its place.",
                remedy=f"Choose a folder in it: -o {quote(str(out / 'prepared'))}",
            )
        return None
    if not (out / DESCRIPTION).is_file():
        raise UsageError(
            f"{out} exists and is not a prepared dataset.",
            remedy="Choose another folder with -o; nothing is overwritten.",
        )
    dataset = earlier_in(out)
    if dataset:
        if (out / _LOCK).exists():  # the last that a preparation removes; it was stopped before
            remove(out / _LOCK)
        made = dataset.description["made"]
        other = [key for key in _CHOSEN if made[key] != job["made"][key]]
        if other:
            said = "; ".join(f"{key} {made[key]}, not {job['made'][key]}" for key in other)
            raise _another(out, said)
        if not by_other_rules(dataset, job) and is_unchanged(dataset, source):
            return dataset
    if not is_of(out, source):
        raise _another(out, f"made from other images ({_origin(out)})")
    return None


def earlier_in(out: Path) -> PreparedDataset | None:
    """The set in `out`; None where there is none, or one that an earlier version of this program made."""
    if not (out / DESCRIPTION).is_file():
        return None
    try:
        return PreparedDataset.open(out)
    except IncompatibleError:
        if read_json(out / DESCRIPTION)["version"] > VERSION:
            raise
        return None


def mark(out: Path) -> str:
    """What tells one set in `out` from another; "" where there is none."""
    path = out / DESCRIPTION
    return sha256_of(path) if path.is_file() else ""


def by_other_rules(dataset: PreparedDataset, job: dict[str, Any]) -> bool:
    """Whether this program would make other pixels of the same images; libraries are taken to make the
    same.
    """
    made = dataset.description["made"]
    return bool(made | {"versions": None} != job["made"] | {"versions": None})


def upgrades(dataset: PreparedDataset) -> str:
    """Which libraries have other versions now than when a set was made, in words; "" where none has."""
    then, now = dataset.description["made"]["versions"], _versions()
    changed = [
        f"{name} {then.get(name)}, now {now[name]}" for name in now if then.get(name) != now[name]
    ]
    return f"prepared with {'; '.join(changed)}" if changed else ""


def _another(out: Path, what: str) -> IncompatibleError:
    return IncompatibleError(
        f"{out} holds another prepared set: {what}.",
        remedy="Choose another folder with -o, or remove that one.",
    )


def _origin(out: Path) -> str:
    """What a set was made from, as it was typed."""
    source = read_json(out / DESCRIPTION).get("source", {})
    return f"{source.get('spec')}: {source.get('found')}"


def unfinished(out: Path) -> Path:
    """The folder in which `out` is prepared."""
    return out.with_name(f"{out.name}.unfinished")


def _versions() -> dict[str, str]:
    return {
        "numpy": np.__version__,
        "pillow": PIL.__version__,
        "pyarrow": pa.__version__,
        "simplejpeg": simplejpeg.__version__,
    }


@contextmanager
def locked(out: Path) -> Iterator[Path]:
    """The folder in which `out` is prepared, held against a second writer."""
    folder = unfinished(out)
    lock = Lock(folder / _LOCK, "This folder is being prepared")
    try:
        yield folder
    finally:
        lock.release()


def start_or_go_on(folder: Path, job: dict[str, Any]) -> None:
    """Keep the shards that a stopped preparation left, if they were made in the same way."""
    how, note = {"version": VERSION, **job["made"]}, folder / _JOB
    try:
        if sealed.read_sealed(note).items() >= how.items():
            return
    except DataError:
        pass  # nothing was begun, or what it was is not known
    _remove_all_but(folder, {_LOCK})
    sealed.write_sealed(note, how)


def finish(folder: Path, source: Source, job: dict[str, Any], made: Made, out: Path) -> None:
    """Give shards their last names, write the lists, and dataset.json when all else is there.

    `folder` will be `out`.
    """
    accounts, files = made.accounts, made.files
    for split, entries in files.items():
        for n, entry in enumerate(entries):
            final = f"{split}-{n:05d}-of-{len(entries):05d}.arrow"
            if entry["file"] != final:
                rename(folder / entry["file"], folder / final)
            entry["file"] = final
    rejected = write_atomically(folder / _REJECTED, _table(accounts))
    inputs = made.inputs.write(folder)
    Stamps.of(source, out, made.inputs).write(folder)
    description = job | {
        "source": job["source"] | {"identity": made.inputs.identity()},
        "splits": {
            split: {
                "images": len(account.accepted),
                "per_class": [account.labels[label] for label in range(len(source.classes))],
                "shards": files[split],
            }
            for split, account in accounts.items()
        },
        "accounting": {split: account.summary() for split, account in accounts.items()},
        "converted": dict(sum((a.kinds for a in accounts.values()), Counter[str]())),
        "extreme_aspect": [f"{a.split}/{key}" for a in accounts.values() for key in a.extreme],
        "in_two_splits": in_two_splits(list(accounts.values())),
        "in_two_classes": in_two_classes(list(accounts.values())),
        "ignored": dict(source.ignored),
        "warnings": list(source.warnings),
        "truncated": source.truncated,
        "statistics": {"file": STATISTICS, "sha256": sha256_of(folder / STATISTICS)},
        "rejected": {"file": _REJECTED, "sha256": rejected.sha256},
        "inputs": {"file": INPUTS, "sha256": inputs.sha256},
    }
    sealed.write_sealed(folder / DESCRIPTION, description)


def is_finished(folder: Path, source: Source, job: dict[str, Any]) -> bool:
    """Whether a preparation was stopped when all that was left to do is `publish`."""
    if not (folder / DESCRIPTION).exists():
        return False
    try:
        dataset = verify(folder).dataset
        return dataset.description["made"] == job["made"] and is_unchanged(dataset, source)
    except (DataError, IncompatibleError):
        return False


def publish(folder: Path, out: Path) -> None:
    """Give the finished set its place; an earlier state of it is kept until then.

    The lock goes with it, and last: removed before, it would be held no longer by name, and a second
    writer would begin by emptying the folder.
    """
    files = descriptions.files(descriptions.read_description(folder))
    beside = {_LOCK, DESCRIPTION, STAMPS, HISTORY}
    _remove_all_but(folder, {*beside, *(file["file"] for file in files)})
    if (out / DESCRIPTION).exists():  # else there is nothing, or an empty folder
        remove(_replaced(out))
        rename(out, _replaced(out))
    rename(folder, out)
    remove(out / _LOCK)
    remove(_replaced(out))


def settle(out: Path) -> None:
    """Undo what a preparation left that was killed in the middle of `publish`."""
    if not _replaced(out).exists():
        return
    with locked(out) as folder:
        if not out.exists():
            rename(_replaced(out), out)
        remove(_replaced(out))
        if not (folder / DESCRIPTION).exists():
            remove(folder)


def _replaced(out: Path) -> Path:
    """Where the set lies that is replaced by another."""
    return out.with_name(f".{out.name}.replaced")


def _table(accounts: dict[str, Account]) -> bytes:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["key", "split", "reason", "detail"])
    rows.writerows(row for account in accounts.values() for row in account.refused)
    return text.getvalue().encode()


def _remove_all_but(folder: Path, names: set[str]) -> None:
    for path in folder.iterdir():
        if path.name not in names:
            remove(path)
