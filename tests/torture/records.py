"""Records what the torture tests came to in docs/reliability.json; `make docs` makes the page of it.

`make torture` runs them all; where only some were run, their figures take the place of the older ones.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from datetime import date
from pathlib import Path
from typing import Any

from alexnet.base.files import write_json
from alexnet.base.provenance import commit, environment


def record(path: str, figures: list[dict[str, Any]], failed: Collection[str] = ()) -> None:
    """Write `figures` over those of the same claims in the JSON file `path`.

    The figures of tests that `failed` are deleted.
    """
    place, rows = Path(path), {}
    if place.exists():
        rows = {row["claim"]: row for row in json.loads(place.read_text())["figures"]}
    about = {"commit": commit(), "date": date.today().isoformat()}
    for row in sorted(figures, key=lambda row: row["cases"]):
        rows[row["claim"]] = {**row, **about}
    found = {
        "environment": environment() if figures else json.loads(place.read_text())["environment"],
        "figures": sorted(
            (row for row in rows.values() if row["test"] not in failed),
            key=lambda row: (row["test"], row["claim"]),
        ),
    }
    write_json(place, found)
