"""What a benchmark found, in one format for all of them: as JSON and as a table."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from alexnet.base.errors import DataError
from alexnet.base.files import read_json, write_json
from alexnet.benchmark.alternate import Comparison, Measured
from alexnet.benchmark.peers import PEERS

VERSION = 1
Table = Callable[[list[list[str]], list[str]], str]  # rows and headers as text


@dataclass(frozen=True)
class Timing:
    """One implementation: `seconds` of each step, and the images (or their worth) of a step."""

    name: str
    images: float
    seconds: list[float]
    page_faults: float  # a step, median
    peak_gib: float

    @classmethod
    def of(cls, name: str, images: float, measured: Measured) -> Timing:
        """An implementation's row."""
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
    """One comparison measured: this package's row first, then its peers', and the ceiling's apart."""

    title: str
    rows: list[Timing]
    ceiling: Timing | None
    ceiling_is: str
    memory: bool  # whether its implementations' own processes hold all that they need

    @classmethod
    def of(cls, comparison: Comparison, measured: Mapping[str, Measured]) -> Part:
        """A comparison with what was measured of each implementation."""
        rows = [
            Timing.of(one.name, one.images, measured[one.name])
            for one in comparison.implementations
        ]
        ceiling, found = comparison.ceiling, None
        if ceiling:
            found = Timing.of(ceiling.name, ceiling.images, measured[ceiling.name])
        return cls(comparison.title, rows, found, comparison.ceiling_is, not comparison.one_core)

    @property
    def ours(self) -> Timing:
        """This package's row."""
        return self.rows[0]

    def row(self, name: str) -> Timing | None:
        """An implementation's row, if it was measured."""
        return next((row for row in self.rows if row.name == name), None)

    def relative_time(self, row: Timing) -> float:
        """An implementation's time for an image, relative to this package's."""
        return self.ours.rate / row.rate

    def share_of_ceiling(self, row: Timing) -> float | None:
        """An implementation's rate over the ceiling's fastest, where there is a ceiling."""
        return row.rate / self.ceiling.fastest if self.ceiling else None


@dataclass(frozen=True)
class Record:
    """One run of a verb of `alexnet benchmark`: its parts, and on what and of what they were measured."""

    verb: str
    rounds: int
    parts: list[Part]
    left_out: dict[str, str]  # peers that could not run here, and why
    environment: dict[str, Any]
    commit: str  # of this package, where it lies in a checkout; "-dirty" where it was changed
    version: int = field(default=VERSION)

    def as_json(self) -> dict[str, Any]:
        """All that was measured, with the figures that follow from it beside each implementation."""
        found = asdict(self)
        for part, as_dict in zip(self.parts, found["parts"], strict=True):
            for row, row_dict in zip(part.rows, as_dict["rows"], strict=True):
                row_dict["figures"] = {
                    "images_per_second": row.rate,
                    "relative_time": part.relative_time(row),
                    "share_of_ceiling": part.share_of_ceiling(row),
                }
        return found

    @classmethod
    def from_json(cls, found: dict[str, Any], where: object = "") -> Record:
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
    def load(cls, path: Path) -> Record:
        """Read what `save` wrote; raises DataError."""
        return cls.from_json(read_json(path), path)


def described(record: Record, table: Table) -> str:
    """A result as people read it: each part through `table`, its ceiling, and the notes."""
    blocks = []
    for part in record.parts:
        headers, rows = cells(part)
        ceiling = ceiling_in_words(part)
        blocks += [table(rows, headers), *([f"yardstick: {ceiling}"] if ceiling else []), ""]
    return "\n".join([*blocks, *(f"{word:9} {what}" for word, what in notes(record))])


def cells(part: Part) -> tuple[list[str], list[list[str]]]:
    """The headers and rows of a part's table."""
    headers = [part.title, "img/s", "range", "relative time"]
    headers += ["of the yardstick"] if part.ceiling else []
    headers += ["peak memory", "page faults a step"] if part.memory else []
    rows = []
    for row in part.rows:
        shown = [row.label, figure(row.rate), f"{figure(row.slowest)} - {figure(row.fastest)}"]
        shown += [f"{part.relative_time(row):.2f}"]
        shown += [percent(part, row)] if part.ceiling else []
        memory = [f"{row.peak_gib:.1f} GiB", f"{row.page_faults:,.0f}"]
        rows.append(shown + (memory if part.memory else []))
    return headers, rows


def ceiling_in_words(part: Part) -> str:
    """The yardstick, how fast at what; empty where there is none."""
    if part.ceiling is None:
        return ""
    return f"{figure(part.ceiling.fastest)} img/s, {part.ceiling_is}"


def percent(part: Part, row: Timing) -> str:
    """A row's share of the ceiling; empty where there is none."""
    share = part.share_of_ceiling(row)
    return "" if share is None else f"{100 * share:.0f} %"


def notes(record: Record) -> list[tuple[str, str]]:
    """How it was measured, on what, and what was left out: each with the word it is about."""
    environment = record.environment
    versions = environment["versions"]
    named = [f"{name} {version}" for name, version in versions.items() if name != "alexnet"]
    return [
        ("rounds", f"medians of {record.rounds}, alternating between implementations"),
        ("machine", f"{environment['processor']}, {environment['threads']} threads"),
        ("versions", f"Python {environment['python']}, {', '.join(named)}"),
        *([("commit", record.commit)] if record.commit else []),
        *(("left out", f"{PEERS[name].label}. {why}") for name, why in record.left_out.items()),
    ]


def _row(found: dict[str, Any]) -> Timing:
    return Timing(**{name: value for name, value in found.items() if name != "figures"})


def figure(rate: float) -> str:
    """Images a second as people read them."""
    return f"{rate:,.1f}" if rate < 1000 else f"{rate:,.0f}"
