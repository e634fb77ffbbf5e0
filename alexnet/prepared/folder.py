"""The folder of a prepared set while it comes into being: who writes there, its last files."""

from __future__ import annotations

import csv
import io
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import pyarrow as pa
import simplejpeg

from alexnet.base.errors import DataError, IncompatibleError, UsageError
from alexnet.base.files import remove, rename, sha256_of, write_atomically
from alexnet.base.locks import Lock
from alexnet.base.provenance import names_hash
from alexnet.prepared import description as descriptions
from alexnet.prepared import pixels, sealed, shards
from alexnet.prepared.batches import Account, in_two_splits
from alexnet.prepared.dataset import PreparedDataset
from alexnet.prepared.description import FILE as DESCRIPTION
from alexnet.prepared.description import FORMAT, VERSION
from alexnet.prepared.shards import Form
from alexnet.prepared.statistics import FILE as STATISTICS
from alexnet.prepared.verification import verify
from alexnet.sources import Source

_JOB = "job.json"
_LOCK = ".lock"
_REJECTED = "rejected.csv"


def job_of(source: Source, form: Form) -> dict[str, Any]:
    """What decides the bytes of the result; the first part of dataset.json."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "source": {"spec": source.spec, "found": source.found, "identity": source.identity},
        "made": {
            "storage": form.storage,
            "size": form.side,
            "filter": pixels.FILTER,
            "rule": pixels.RULE.format(form.side),
            "colours": pixels.COLOUR_RULE,
            "jpeg_quality": shards.JPEG_QUALITY if form.storage == "jpeg" else None,
            "images_per_shard": shards.IMAGES[form.storage],
            "source_bytes_per_shard": shards.SOURCE_BYTES,
            "versions": {
                "numpy": np.__version__,
                "pillow": PIL.__version__,
                "pyarrow": pa.__version__,
                "simplejpeg": simplejpeg.__version__,
            },
        },
        "classes": list(source.classes),
        "titles": list(source.titles),
        "classes_sha256": names_hash(source.classes),
    }


def existing(out: Path, job: dict[str, Any]) -> PreparedDataset | None:
    """The finished set in `out` if it is this one; raises where `out` holds anything else."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        if os.path.ismount(out):
            raise UsageError(
                f"{out} is where a disk is mounted, so no finished folder can take its place.",
                remedy=f"Choose a folder in it: -o {out / 'prepared'}",
            )
        return None
    if not (out / DESCRIPTION).is_file():
        raise UsageError(
            f"{out} exists and is not a prepared dataset.",
            remedy="Choose another folder with -o; nothing is overwritten.",
        )
    dataset = PreparedDataset.open(out)
    if difference := _difference(dataset.description, job):
        raise IncompatibleError(
            f"{out} holds another prepared set: {difference}.",
            remedy="Choose another folder with -o, or remove that one.",
        )
    if (out / _LOCK).exists():  # the last that a preparation removes; it was stopped before
        remove(out / _LOCK)
    return dataset


def _difference(old: Any, new: dict[str, Any]) -> str:
    """What sets two jobs apart, or "": how the source's folder was typed does not."""
    if old["classes"] != new["classes"]:
        return f"classes {', '.join(old['classes'])}, not {', '.join(new['classes'])}"
    if old["source"]["identity"] != new["source"]["identity"]:
        return f"made from other images ({old['source']['spec']}: {old['source']['found']})"
    made = [key for key in new["made"] if old["made"].get(key) != new["made"][key]]
    return "; ".join(f"{key} {old['made'].get(key)}, not {new['made'][key]}" for key in made)


def unfinished(out: Path) -> Path:
    """The folder in which `out` is prepared."""
    return out.with_name(f"{out.name}.unfinished")


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


def finish(
    folder: Path,
    source: Source,
    job: dict[str, Any],
    accounts: dict[str, Account],
    files: dict[str, list[dict[str, Any]]],
) -> None:
    """Give shards their last names, write rejected.csv, and dataset.json when all else is there."""
    for split, entries in files.items():
        for n, entry in enumerate(entries):
            final = f"{split}-{n:05d}-of-{len(entries):05d}.arrow"
            if entry["file"] != final:
                rename(folder / entry["file"], folder / final)
            entry["file"] = final
    rejected = write_atomically(folder / _REJECTED, _table(accounts))
    description = job | {
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
        "ignored": dict(source.ignored),
        "warnings": list(source.warnings),
        "truncated": source.truncated,
        "statistics": {"file": STATISTICS, "sha256": sha256_of(folder / STATISTICS)},
        "rejected": {"file": _REJECTED, "sha256": rejected.sha256},
    }
    sealed.write_sealed(folder / DESCRIPTION, description)


def is_finished(folder: Path, job: dict[str, Any]) -> bool:
    """Whether a preparation was stopped when all that was left to do is `publish`."""
    if not (folder / DESCRIPTION).exists():
        return False
    try:
        return not _difference(verify(folder).dataset.description, job)
    except (DataError, IncompatibleError):
        return False


def publish(folder: Path, out: Path) -> None:
    """Give the finished set its place.

    The lock goes with it, and last: removed before, it would be held no longer by name, and a second
    writer would begin by emptying the folder.
    """
    files = descriptions.files(descriptions.read_description(folder))
    _remove_all_but(folder, {_LOCK, DESCRIPTION, *(file["file"] for file in files)})
    rename(folder, out)  # `existing` refuses all but an empty folder there
    remove(out / _LOCK)


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
