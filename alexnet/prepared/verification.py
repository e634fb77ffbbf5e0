"""Every byte of a prepared set compared with its hash."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alexnet.base.errors import DataError
from alexnet.base.files import sha256_of
from alexnet.base.progress import progress
from alexnet.base.ranks import cores
from alexnet.prepared import description as descriptions
from alexnet.prepared.dataset import PreparedDataset


@dataclass(frozen=True)
class Verified:
    """A whole set, what was read, and the names of shards that lie there but do not belong to it."""

    dataset: PreparedDataset
    files: int
    bytes: int
    unknown: tuple[str, ...]


def verify(folder: Path | str) -> Verified:
    """Read all files of a prepared set on all cores.

    Raises DataError naming every damaged one with what was expected and what was found,
    IncompatibleError where another version of this program wrote the set.
    """
    folder = Path(folder)
    description = descriptions.read_description(folder)
    files = descriptions.files(description)
    images = sum(split["images"] for split in description["splits"].values())
    damaged = []
    with (
        ThreadPoolExecutor(cores()) as pool,
        progress(f"verify {folder.name}", images, "images") as shown,
    ):
        for file, damage in zip(
            files, pool.map(lambda file: _damage(folder, file), files), strict=True
        ):
            if damage:
                damaged.append(f"{file['file']}: {damage}")
            shown.advance(file.get("images", 0), f"{len(damaged)} damaged" if damaged else "")
    if damaged:
        raise DataError(
            f"{len(damaged)} of {len(files)} files of {folder} are damaged.",
            where="\n".join(damaged),
            remedy="Remove the folder and prepare the set again.",
        )
    known = {file["file"] for file in files}
    return Verified(
        PreparedDataset.open(folder),
        len(files) + 1,
        sum((folder / name).stat().st_size for name in [*known, descriptions.FILE]),
        tuple(sorted(path.name for path in folder.glob("*.arrow") if path.name not in known)),
    )


def _damage(folder: Path, file: dict[str, Any]) -> str:
    """What is wrong with a file; "" if nothing is."""
    path = folder / file["file"]
    try:
        size = os.path.getsize(path)
        if size != file.get("bytes", size):
            return f"expected {file['bytes']:,} bytes, found {size:,}"
        found = sha256_of(path)
    except FileNotFoundError:
        return "it is missing"
    except OSError as error:
        return f"it cannot be read: {error.strerror}"
    if found != file["sha256"]:
        return f"expected SHA-256 {file['sha256'][:16]}, found {found[:16]}"
    return ""
