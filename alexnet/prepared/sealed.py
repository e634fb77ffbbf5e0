"""JSON files that hold their own hash: not a bit of them changes unnoticed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from alexnet.base.errors import DataError
from alexnet.base.files import canonical_json, read_json, write_json

_KEY = "sha256"


def write_sealed(path: Path, value: Mapping[str, Any]) -> None:
    """Write `value` and, under `sha256`, the hash of its canonical JSON."""
    assert _KEY not in value
    write_json(path, {**value, _KEY: _hash(value)})


def read_sealed(path: Path) -> dict[str, Any]:
    """What was written, with its hash; raises DataError where a file is missing or not as written."""
    value = read_json(path)
    if not isinstance(value, dict) or not is_whole(path, value):
        raise DataError("The file is damaged: it is not as it was written.", where=path)
    return value


def is_whole(path: Path, value: Mapping[str, Any]) -> bool:
    """Whether `value`, read from `path`, has its own hash, and the file not a byte beside it."""
    content = {key: part for key, part in value.items() if key != _KEY}
    try:
        return value.get(_KEY) == _hash(content) and path.read_bytes() == canonical_json(value)
    except ValueError:  # text that no file of ours can hold
        return False


def _hash(value: Mapping[str, Any]) -> str:
    return hashlib.sha256(canonical_json(value)).hexdigest()
