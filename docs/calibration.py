"""The tables of docs/reproduce.md, of what was recorded in results/calibration and of the planning."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from alexnet.reproduce.power import seeds_for_absence, smallest_effect
from alexnet.reproduce.statistics import LEVEL

RECORD = Path(__file__).resolve().parents[1] / "results" / "calibration" / "calibration.json"
PROMISED = ("normal", "skewed", "discrete")  # noise
PLANNED = (3, 4, 5, 6, 7, 8, 9, 10, 12, 16, 20)

Row = Mapping[str, Any]


def tables(record: Mapping[str, Any]) -> dict[str, str]:
    """Each table by the name of its place in the page."""
    return {
        "calibration": effects(record, PROMISED),
        "limits": effects(record, ("one-sided",)),
        "pages": pages(record["pages"], record["looks"]),
        "planning": planning(),
    }


def effects(record: Mapping[str, Any], noises: Sequence[str]) -> str:
    """The worst of these kinds of noise for each number of seeds."""
    rows = [row for row in record["effects"] if row["noise"] in noises]
    images = record["images"] if noises == PROMISED else []
    head = ["seeds", "false verdicts", 'false "absent"', "t", "BCa", "BCa, widened"]
    columns: list[tuple[str, Callable[[Iterable[float]], float]]] = [
        ("false verdicts", max), ("false absence", max), ("t", min), ("bca", min),
        ("widened bca", min),
    ]  # fmt: skip
    if images:
        head += ["Welch", "over seeds and images"]
        columns.append(("welch", min))
    lines = [_line(head), "|---:" * len(head) + "|"]
    for seeds in sorted({row["seeds"] for row in rows}):
        mine = [row for row in rows if row["seeds"] == seeds]
        cells = [_worst([row[name] for row in mine], worst) for name, worst in columns]
        if images:
            cells.append(_worst([row["covered"] for row in images if row["seeds"] == seeds], min))
        lines.append(_line([str(seeds), *cells]))
    return "\n".join(lines)


def pages(of_pages: Sequence[Row], looks: Sequence[Row]) -> str:
    """False verdicts where there is more than one chance of one."""
    lines = ["| | false verdicts |", "|---|---:|"]
    for row in sorted(of_pages, key=lambda row: (row["noise"], row["seeds"])):
        what = f"any on a page of 20 effects, {row['seeds']} seeds, {row['noise']} noise"
        lines.append(_line([what, _percent(row["false verdicts"])]))
    for row in looks[1:]:
        what = f"one effect, looked at after every seed from {looks[0]['up to']} to {row['up to']}"
        lines.append(_line([what, _percent(row["false verdicts"])]))
    return "\n".join(lines)


def planning() -> str:
    """The smallest effects that so many seeds show, and the smallest that they can show to be absent."""
    lines = [
        _line(["seeds", "one effect", "five on a page", "twenty on a page", "absent"]),
        "|---:" * 5 + "|",
    ]
    for seeds in PLANNED:
        shown = [smallest_effect(1.0, seeds, LEVEL / tests) for tests in (1, 5, 20)]
        cells = [f"{one:.2f}" if one else "–" for one in (*shown, _absent(seeds))]
        lines.append(_line([str(seeds), *cells]))
    return "\n".join(lines)


def _absent(seeds: int) -> float:
    """The smallest effect of the paper, in spreads, of whose half so many seeds can show the absence."""
    low, high = 0, 1000  # hundredths
    while high - low > 1:
        middle = (low + high) // 2
        needed = seeds_for_absence(middle / 200, 1.0)
        low, high = (low, middle) if needed and needed <= seeds else (middle, high)
    return high / 100


def _worst(values: Sequence[float | None], worst: Callable[[Iterable[float]], float]) -> str:
    known = [value for value in values if value is not None]
    return _percent(worst(known)) if known else "–"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"
