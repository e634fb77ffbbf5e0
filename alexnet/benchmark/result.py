"""What a benchmark found: one form for all of them, as JSON and as the rows of a table."""

from __future__ import annotations

import statistics
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from alexnet.base.errors import DataError
from alexnet.base.files import read_json, write_json
from alexnet.benchmark.duel import Contest, Measured
from alexnet.benchmark.peers import PEERS

VERSION = 1
Table = Callable[[list[list[str]], list[str]], str]  # rows and headers as text


@dataclass(frozen=True)
class Row:
    """One contestant: `seconds` of each step, and the images (or their worth) of a step."""

    name: str
    images: float
    seconds: list[float]
    page_faults: float  # a step, median
    peak_gib: float

    @classmethod
    def of(cls, name: str, images: float, measured: Measured) -> Row:
        """A contestant's row."""
        return cls(name, images, measured.seconds, measured.page_faults, measured.peak_gib)

    @property
    def rate(self) -> float:
        """Images a second, by the median step."""
        return self.images / statistics.median(self.seconds)

    @property
    def slowest(self) -> float:
        """Images a second of the slowest step."""
        return self.images / max(self.seconds)

    @property
    def fastest(self) -> float:
        """Images a second of the fastest step."""
        return self.images / min(self.seconds)

    @property
    def label(self) -> str:
        """What tables call it."""
        return PEERS[self.name].label if self.name in PEERS else self.name


@dataclass(frozen=True)
class Part:
    """One contest measured: this package's row first, then its peers', and the ceiling's apart."""

    title: str
    rows: list[Row]
    ceiling: Row | None
    ceiling_is: str
    memory: bool  # whether its contestants' own processes hold all that they need

    @classmethod
    def of(cls, contest: Contest, measured: Mapping[str, Measured]) -> Part:
        """A contest with what was measured of each contestant."""
        rows = [Row.of(one.name, one.images, measured[one.name]) for one in contest.contestants]
        ceiling, found = contest.ceiling, None
        if ceiling:
            found = Row.of(ceiling.name, ceiling.images, measured[ceiling.name])
        return cls(contest.title, rows, found, contest.ceiling_is, not contest.one_core)

    @property
    def ours(self) -> Row:
        """This package's row."""
        return self.rows[0]

    def row(self, name: str) -> Row | None:
        """A contestant's row, if it was measured."""
        return next((row for row in self.rows if row.name == name), None)

    def times_as_long(self, row: Row) -> float:
        """How many times as long as this package a contestant takes for an image."""
        return self.ours.rate / row.rate

    def share_of_ceiling(self, row: Row) -> float | None:
        """A contestant's rate over the ceiling's fastest, where there is a ceiling."""
        return row.rate / self.ceiling.fastest if self.ceiling else None


@dataclass(frozen=True)
class Result:
    """One run of `alexnet benchmark VERB`: its parts, and on what and of what they were measured."""

    verb: str
    rounds: int
    parts: list[Part]
    left_out: dict[str, str]  # peers that could not run here, and why
    environment: dict[str, Any]
    commit: str  # of this package, where it lies in a checkout; "-dirty" where it was changed
    version: int = field(default=VERSION)

    def as_json(self) -> dict[str, Any]:
        """All that was measured, with the figures that follow from it beside each contestant."""
        found = asdict(self)
        for part, as_dict in zip(self.parts, found["parts"], strict=True):
            for row, row_dict in zip(part.rows, as_dict["rows"], strict=True):
                row_dict["figures"] = {
                    "images_per_second": row.rate,
                    "times_as_long": part.times_as_long(row),
                    "share_of_ceiling": part.share_of_ceiling(row),
                }
        return found

    @classmethod
    def from_json(cls, found: dict[str, Any], where: object = "") -> Result:
        """What `as_json` gave; raises DataError for anything else."""
        if found.get("version") != VERSION:
            raise DataError(
                "Not a recorded benchmark of this version.",
                where=where,
                remedy="Record it again: make benchmarks",
            )
        parts = [
            Part(
                part["title"],
                [_row(row) for row in part["rows"]],
                _row(part["ceiling"]) if part["ceiling"] else None,
                part["ceiling_is"],
                part["memory"],
            )
            for part in found["parts"]
        ]
        return cls(**{**found, "parts": parts})

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        write_json(path, self.as_json())

    @classmethod
    def load(cls, path: Path) -> Result:
        """Read what `save` wrote; raises DataError."""
        return cls.from_json(read_json(path), path)


def described(result: Result, table: Table) -> str:
    """A result as people read it: each part through `table`, its ceiling, and the notes."""
    blocks = []
    for part in result.parts:
        headers, rows = cells(part)
        ceiling = ceiling_in_words(part)
        blocks += [table(rows, headers), *([f"ceiling: {ceiling}"] if ceiling else []), ""]
    return "\n".join([*blocks, *(f"{word:9} {what}" for word, what in notes(result))])


def cells(part: Part) -> tuple[list[str], list[list[str]]]:
    """The headers and rows of a part's table."""
    headers = [part.title, "img/s", "range", "times as long"]
    headers += ["of the ceiling"] if part.ceiling else []
    headers += ["peak memory", "page faults a step"] if part.memory else []
    rows = []
    for row in part.rows:
        shown = [row.label, figure(row.rate), f"{figure(row.slowest)} - {figure(row.fastest)}"]
        shown += [f"{part.times_as_long(row):.2f}"]
        shown += [percent(part, row)] if part.ceiling else []
        memory = [f"{row.peak_gib:.1f} GiB", f"{row.page_faults:,.0f}"]
        rows.append(shown + (memory if part.memory else []))
    return headers, rows


def ceiling_in_words(part: Part) -> str:
    """How fast, at what; empty where there is none."""
    if part.ceiling is None:
        return ""
    return f"{figure(part.ceiling.fastest)} img/s, {part.ceiling_is}"


def percent(part: Part, row: Row) -> str:
    """A row's share of the ceiling; empty where there is none."""
    share = part.share_of_ceiling(row)
    return "" if share is None else f"{100 * share:.0f} %"


def notes(result: Result) -> list[tuple[str, str]]:
    """How it was measured, on what, and what was left out: each with the word it is about."""
    environment = result.environment
    versions = environment["versions"]
    named = [f"{name} {version}" for name, version in versions.items() if name != "alexnet"]
    return [
        ("rounds", f"medians of {result.rounds}, the contestants taking turns"),
        ("machine", f"{environment['processor']}, {environment['threads']} threads"),
        ("versions", f"Python {environment['python']}, {', '.join(named)}"),
        *([("commit", result.commit)] if result.commit else []),
        *(("left out", f"{PEERS[name].label}. {why}") for name, why in result.left_out.items()),
    ]


def commit() -> str:
    """The commit this package was run from; empty where it does not lie in a checkout of its own."""
    package = Path(__file__).resolve().parents[1]
    if _git(package, "ls-files", "--error-unmatch", "__init__.py") is None:
        return ""
    dirty = _git(package, "status", "--porcelain", "--", ".")
    return f"{_git(package, 'rev-parse', 'HEAD')}{'-dirty' if dirty else ''}"


def _git(folder: Path, *words: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *words], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def _row(found: dict[str, Any]) -> Row:
    return Row(**{name: value for name, value in found.items() if name != "figures"})


def figure(rate: float) -> str:
    """Images a second as people read them."""
    return f"{rate:,.1f}" if rate < 1000 else f"{rate:,.0f}"
