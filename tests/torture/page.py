"""docs/reliability.md from what the torture tests came to.

`make torture` runs them all, records docs/reliability.json, and writes the page; where only some were
run, their figures take the place of the older ones, each with the commit that gave it.
"""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

from alexnet.benchmark.result import commit
from alexnet.files import write_atomically, write_json
from alexnet.training.run import environment

_INTRODUCTION = """# Reliability

What is promised, and the test that tries to break the promise: real processes, really killed; real disks
that are full or fail; bytes really damaged. A test that fails prints the seed that replays it. A sample
of each runs with `make test`, all of it with `make test-long`; `make torture` records this page.

"""


def record(path: str, figures: list[dict[str, Any]]) -> None:
    """Write `figures` over those of the same tests in the JSON file `path`, and the page beside it."""
    place, rows = Path(path), {}
    if place.exists():
        rows = {row["claim"]: row for row in json.loads(place.read_text())["figures"]}
    about = {"commit": commit(), "date": date.today().isoformat()}
    for row in sorted(figures, key=lambda row: row["cases"]):
        rows[row["claim"]] = {**row, **about}
    found = {
        "environment": environment(),
        "figures": sorted(rows.values(), key=lambda row: (row["test"], row["claim"])),
    }
    write_json(place, found)
    write_atomically(place.with_suffix(".md"), page(found).encode())


def page(found: dict[str, Any]) -> str:
    """The page in Markdown."""
    lines = ["| promise | cases, all kept | minutes | test | commit |", "|---|---|---|---|---|"]
    for row in found["figures"]:
        file, _, name = row["test"].partition("::")
        lines.append(
            f"| {row['claim']} | {row['cases']:,} of {row['cases']:,} | {row['seconds'] / 60:.1f} "
            f"| [`{name}`](../{file}) | {row['commit'][:12]} |"
        )
    about = found["environment"]
    versions = ", ".join(f"{name} {value}" for name, value in sorted(about["versions"].items()))
    return (
        _INTRODUCTION
        + "\n".join(lines)
        + f"\n\nMachine of the last run: {about['processor']}, {about['system']}, "
        + f"Python {about['python']}, {versions}.\n"
    )
