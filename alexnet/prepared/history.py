"""history.json: what a prepared set was before its source changed, so that a run can say what is new."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from alexnet.base.errors import DataError
from alexnet.base.files import read_json, write_json
from alexnet.prepared.dataset import PreparedDataset
from alexnet.prepared.inputs import in_words

FILE = "history.json"


def record(folder: Path, before: PreparedDataset, changes: dict[str, int]) -> None:
    """Write the history of the set in `folder`, which differs by `changes` from the one before."""
    write_json(
        folder / FILE,
        [{"fingerprint": before.fingerprint, "changes": changes}, *_read(before.folder)],
    )


def changed_since(dataset: PreparedDataset, fingerprint: str) -> str:
    """What has changed since a set had a fingerprint, in words; "" where that is not known."""
    total: dict[str, int] = {}
    for state in _read(dataset.folder):
        for what, count in state["changes"].items():
            total[what] = total.get(what, 0) + count
        if state["fingerprint"] == fingerprint:
            return in_words(total)
    return ""


def _read(folder: Path) -> list[dict[str, Any]]:
    """The states before, newest first; none where the file is missing or damaged."""
    try:
        states = read_json(folder / FILE)
        return [
            {
                "fingerprint": str(one["fingerprint"]),
                "changes": {k: int(n) for k, n in one["changes"].items()},
            }
            for one in states
        ]
    except (AttributeError, DataError, KeyError, TypeError, ValueError):
        return []
