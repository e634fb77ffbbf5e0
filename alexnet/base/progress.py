"""Progress on long work: a bar on a terminal, one plain line per interval elsewhere; always on stderr."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from alexnet.base import ranks


class Progress(Protocol):
    """What long work reports to: how far it is, and one short line of what it sees."""

    def advance(self, count: int = 1, note: str = "") -> None:
        """`count` more units are done, at most all; `note` replaces the short text beside the bar."""


@contextmanager
def progress(
    title: str, total: int, unit: str, done: int = 0, interval: float = 15.0
) -> Iterator[Progress]:
    """Show `title` with `done` of `total` units; the lines' `interval` is in seconds.

    Of several processes, rank 0 shows it.
    """
    if not ranks.is_rank_0():
        yield _Nothing()
    elif sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        with _bar(title, total, unit, done) as shown:
            yield shown
    else:
        lines = _Lines(title, total, unit, done, interval)
        yield lines
        lines.finish()


class _Nothing:
    def advance(self, count: int = 1, note: str = "") -> None:
        pass


class _Lines:
    def __init__(self, title: str, total: int, unit: str, done: int, interval: float) -> None:
        self.title, self.total, self.unit, self.interval = title, total, unit, interval
        self.first = self.done = done
        self.note = ""
        self.start = self.told = time.monotonic()

    def advance(self, count: int = 1, note: str = "") -> None:
        self.done = min(self.done + count, self.total)
        self.note = note or self.note
        if time.monotonic() - self.told >= self.interval:
            self._tell()

    def finish(self) -> None:
        self._tell()

    def _tell(self) -> None:
        self.told = time.monotonic()
        seconds = self.told - self.start
        rate = (self.done - self.first) / seconds if seconds else 0.0
        left = (self.total - self.done) / rate if rate else 0.0
        parts = [f"{self.title}  {self.done:,}/{self.total:,} {self.unit}", f"{rate:,.1f}/s"]
        parts += [self.note] if self.note else []
        parts += [f"eta {clock(left)}" if self.done < self.total else clock(seconds)]
        print("  ".join(parts), file=sys.stderr, flush=True)


@contextmanager
def _bar(title: str, total: int, unit: str, done: int) -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn(unit),
        TextColumn("{task.fields[note]}"),
        TextColumn("eta"),
        TimeRemainingColumn(),
    )
    with RichProgress(*columns, console=Console(stderr=True)) as shown:
        task = shown.add_task(title, total=total, completed=done, note="")

        class Bar:
            def advance(self, count: int = 1, note: str = "") -> None:
                left = total - shown.tasks[task].completed
                if note:
                    shown.update(task, advance=min(count, left), note=note)
                else:
                    shown.update(task, advance=min(count, left))

        yield Bar()


def clock(seconds: float) -> str:
    """Seconds as people read them: 42s, 3m05s, 2h07m."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes:02d}m"
    return f"{minutes}m{rest:02d}s" if minutes else f"{rest}s"
