"""docs/reliability.md from what the torture tests came to.

`make torture` runs them all, records docs/reliability.json, and writes the page; where only some were
run, their figures take the place of the older ones. `make docs` writes the page alone.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Collection
from datetime import date
from itertools import groupby
from pathlib import Path
from typing import Any

from alexnet.base.files import write_atomically, write_json
from alexnet.benchmark.result import commit
from alexnet.runs import environment

_ROOT = Path(__file__).resolve().parents[2]
_INTRODUCTION = """# Reliability

What is promised, and the test that tries to break the promise: real processes, really killed; real disks
that are full or fail; bytes really damaged. Every case counted here kept the promise: a figure is written
down only when all of them did, and a test that fails prints the seed that replays it. A sample of each
runs with `make test`, all of it with `make test-long`; `make torture` records this page.
"""


def record(path: str, figures: list[dict[str, Any]], failed: Collection[str] = ()) -> None:
    """Write `figures` over those of the same claims in the JSON file `path`, and the page beside it.

    Of the tests that `failed` nothing stays.
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
    write_atomically(place.with_suffix(".md"), page(found).encode())


def page(found: dict[str, Any]) -> str:
    """The page in Markdown: a table for each file of tests, under the first line of that file."""
    lines = [_INTRODUCTION]
    for test, rows in groupby(found["figures"], key=lambda row: row["test"].partition("::")[0]):
        title = ast.get_docstring(ast.parse((_ROOT / test).read_text()))
        assert title, f"{test} says in its first line what it is about"
        lines += [f"## {title.splitlines()[0].rstrip('.')}\n"]
        lines += ["| promise | cases | took | test |", "|---|---:|---:|---|"]
        for row in rows:
            name = row["test"].partition("::")[2]
            claim = row["claim"][0].upper() + row["claim"][1:]
            took = (
                f"{row['seconds'] / 60:.0f} min" if row["seconds"] >= 90 else f"{row['seconds']} s"
            )
            lines.append(f"| {claim} | {row['cases']:,} | {took} | [`{name}`](../{test}) |")
        lines.append("")
    about = found["environment"]
    versions = ", ".join(f"{name} {value}" for name, value in sorted(about["versions"].items()))
    runs = sorted({(row["date"], row["commit"]) for row in found["figures"]})
    lines.append(
        f"Recorded on {about['processor']}, {about['system']}, Python {about['python']}, {versions}; "
        + "; ".join(f"{day} at commit {commit}" for day, commit in runs)
        + "."
    )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    record(str(_ROOT / "docs" / "reliability.json"), [])
