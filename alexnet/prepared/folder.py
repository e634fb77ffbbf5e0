"""The folder of a prepared set while it comes into being: who writes there, its last files."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import pyarrow as pa
import simplejpeg

from alexnet.errors import IncompatibleError, UsageError
from alexnet.files import (
    Lock,
    classes_hash,
    read_json,
    remove,
    rename,
    sha256_of,
    write_atomically,
    write_json,
)
from alexnet.prepared import pixels, shards
from alexnet.prepared.batches import Account, in_two_splits
from alexnet.prepared.dataset import FORMAT, VERSION, PreparedDataset
from alexnet.prepared.statistics import FILE as STATISTICS
from alexnet.sources import Source

_JOB = "job.json"
_LOCK = ".lock"


def job_of(source: Source, storage: str) -> dict[str, Any]:
    """What decides the bytes of the result; the first part of dataset.json."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "source": {"spec": source.spec, "found": source.found, "identity": source.identity},
        "made": {
            "storage": storage,
            "size": pixels.SIZE,
            "filter": pixels.FILTER,
            "rule": pixels.RULE,
            "colours": pixels.COLOUR_RULE,
            "jpeg_quality": shards.JPEG_QUALITY if storage == "jpeg" else None,
            "pictures_per_shard": shards.PICTURES[storage],
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
        "classes_sha256": classes_hash(source.classes),
    }


def existing(out: Path, job: dict[str, Any]) -> PreparedDataset | None:
    """The finished set in `out` if it is this one; raises where `out` holds anything else."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return None
    if not (out / "dataset.json").is_file():
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
    return dataset


def _difference(old: Any, new: dict[str, Any]) -> str:
    """What sets two jobs apart, or "": how the source's folder was typed does not."""
    if old["classes"] != new["classes"]:
        return f"classes {', '.join(old['classes'])}, not {', '.join(new['classes'])}"
    if old["source"]["identity"] != new["source"]["identity"]:
        return f"made from other pictures ({old['source']['spec']}: {old['source']['found']})"
    made = [key for key in new["made"] if old["made"].get(key) != new["made"][key]]
    return "; ".join(f"{key} {old['made'].get(key)}, not {new['made'][key]}" for key in made)


@contextmanager
def locked(out: Path) -> Iterator[Path]:
    """The folder in which `out` is prepared, held against a second writer."""
    folder = out.with_name(f"{out.name}.unfinished")
    lock = Lock(folder / _LOCK, "This folder is being prepared")
    try:
        yield folder
    finally:
        lock.release()


def start_or_go_on(folder: Path, job: dict[str, Any]) -> None:
    """Keep the shards that a stopped preparation left, if they were made in the same way."""
    made, note = job["made"], folder / _JOB
    if note.exists() and read_json(note) == made:
        return
    _remove_all_but(folder, {_LOCK})
    write_json(note, made)


def finish(
    folder: Path,
    out: Path,
    source: Source,
    job: dict[str, Any],
    accounts: dict[str, Account],
    files: dict[str, list[dict[str, Any]]],
) -> None:
    """Give shards their last names, write rejected.csv and dataset.json, and rename to `out`."""
    for split, entries in files.items():
        for n, entry in enumerate(entries):
            final = f"{split}-{n:05d}-of-{len(entries):05d}.arrow"
            rename(folder / entry["file"], folder / final)
            entry["file"] = final
    write_atomically(folder / "rejected.csv", _table(accounts))
    description = job | {
        "splits": {
            split: {
                "pictures": len(account.accepted),
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
    }
    write_json(folder / "dataset.json", description)
    shard_names = {entry["file"] for entries in files.values() for entry in entries}
    _remove_all_but(folder, {"dataset.json", "rejected.csv", STATISTICS, *shard_names})
    if out.exists():
        out.rmdir()  # empty: `existing` refuses anything else
    rename(folder, out)


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
