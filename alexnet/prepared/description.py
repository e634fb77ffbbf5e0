"""dataset.json: what a prepared set holds and how it was made, checked before anything is believed."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from alexnet.base.errors import DataError, IncompatibleError
from alexnet.base.files import read_json
from alexnet.base.provenance import names_hash
from alexnet.prepared import sealed
from alexnet.prepared.pixels import SIDES

FILE = "dataset.json"
FORMAT = "alexnet-prepared"
VERSION = 3

# A type; [a list of these]; {names: of these}; or (alternatives). Numbers count something: 0 or more.
_HASHED = {"file": str, "sha256": str}
_SHARD = {
    **_HASHED,
    "bytes": int,
    "images": int,
    "images_at": [int],
    "index_sha256": str,
}
_SHAPE = {
    "format": str,
    "version": int,
    "sha256": str,
    "source": {"spec": str, "found": str, "identity": str, "validation_share": float},
    "made": {
        "storage": str,
        "size": int,
        "filter": str,
        "rule": str,
        "colours": str,
        "jpeg_quality": (int, None),
        "images_per_shard": int,
        "source_bytes_per_shard": int,
        "versions": {str: str},
    },
    "classes": [str],
    "titles": [str],
    "classes_sha256": str,
    "splits": {str: {"images": int, "per_class": [int], "shards": [_SHARD]}},
    "accounting": {
        str: {
            "inputs": int,
            "accepted": int,
            "rejected": int,
            "duplicates": int,
            "contradictions": int,
        }
    },
    "converted": {str: int},
    "extreme_aspect": [str],
    "in_two_splits": [[str]],
    "in_two_classes": [[str]],
    "ignored": {str: int},
    "warnings": [str],
    "truncated": str,
    "statistics": _HASHED,
    "rejected": _HASHED,
    "inputs": _HASHED,
}


def read_description(folder: Path) -> dict[str, Any]:
    """What a set's dataset.json says: every key there, of its type, and none against another.

    Raises DataError where it is missing, damaged or makes no sense, IncompatibleError where another
    version of this program wrote it.
    """
    path = folder / FILE
    if not path.is_file():
        raise DataError(
            f"{folder} is not a prepared dataset: it has no {FILE}.",
            remedy=f"Prepare it first: alexnet data prepare {folder}",
        )
    description = read_json(path)
    if not isinstance(description, dict) or description.get("format") != FORMAT:
        raise DataError("Not the description of a prepared dataset.", where=path)
    # Version 1 had no hash; where there is one, it decides whether the version is to be believed.
    if "sha256" in description and not sealed.is_whole(path, description):
        raise DataError(
            "The description of the set is damaged: it is not as it was written.",
            where=path,
            remedy="Restore the file, or prepare the set again.",
        )
    if description.get("version") != VERSION:
        raise IncompatibleError(
            f"The prepared set has format version {description.get('version')}; "
            f"this program reads version {VERSION}.",
            where=folder,
            remedy="Prepare it again.",
        )
    if problem := _misfit(description, _SHAPE, "") or _contradiction(description):
        raise DataError(f"{FILE} makes no sense: {problem}.", where=path)
    return description


def files(description: dict[str, Any]) -> list[dict[str, Any]]:
    """Of every file beside dataset.json its name and SHA-256; of shards their sizes too."""
    shards = [shard for split in description["splits"].values() for shard in split["shards"]]
    return [*shards, *(description[name] for name in ("statistics", "rejected", "inputs"))]


def _misfit(value: Any, shape: Any, place: str) -> str:
    """What is missing or of another type than `shape` has it; "" where all fits."""
    if isinstance(shape, tuple):
        return min((_misfit(value, one, place) for one in shape), key=len)
    if shape in (None, str, int, float):
        fits = value is None if shape is None else type(value) is shape
        if not fits or (shape in (int, float) and not 0 <= value < math.inf):
            return f"{place} is {str(value)[:40]!r}"
        return ""
    if not isinstance(value, type(shape)):
        return f"{place or 'all of it'} is {str(value)[:40]!r}"
    if isinstance(shape, list):
        parts = [(part, shape[0], f"{place}[{n}]") for n, part in enumerate(value)]
    elif str in shape:
        parts = [(part, shape[str], f"{place}[{name!r}]") for name, part in value.items()]
    else:
        if missing := sorted(shape.keys() - value.keys()):
            return f"{'.'.join(filter(None, [place, missing[0]]))} is missing"
        parts = [(value[name], kind, f"{place}.{name}".lstrip(".")) for name, kind in shape.items()]
    return next((found for part in parts if (found := _misfit(*part))), "")


def _contradiction(description: dict[str, Any]) -> str:
    """What cannot be true at once; "" where all can."""
    classes, splits = description["classes"], description["splits"]
    if names_hash(classes) != description["classes_sha256"]:
        return "the class names are not those that the set was prepared with"
    if len(description["titles"]) != len(classes):
        return f"{len(description['titles'])} titles for {len(classes)} classes"
    if description["accounting"].keys() != splits.keys():
        return "accounting and splits are not of the same splits"
    if odd := next((f["file"] for f in files(description) if not _is_plain(f["file"])), None):
        return f"{odd!r} is not the name of a file"
    if (side := description["made"]["size"]) not in SIDES:
        return f"its images have {side} pixels"
    for name, split in splits.items():
        images = sum(shard["images"] for shard in split["shards"])
        if not images == split["images"] == description["accounting"][name]["accepted"]:
            return f"the shards of {name!r} hold {images:,} images, not {split['images']:,}"
        if len(split["per_class"]) != len(classes):
            return f"{name!r} counts {len(split['per_class'])} classes of {len(classes)}"
        for shard in split["shards"]:
            places = [0, *shard["images_at"], shard["bytes"]]
            if len(places) != 4 or places != sorted(places):
                return f"images_at of {shard['file']} is {shard['images_at']}"
    return ""


def _is_plain(name: str) -> bool:
    return Path(name).name == name and name not in ("", ".", "..") and "\0" not in name
