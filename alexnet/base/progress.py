"""Progress on long work: a bar on a terminal, one plain line per interval elsewhere; always on stderr."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from alexnet.base import ranks

if TYPE_CHECKING:
    from rich.table import Table

_FIRST = 3  # parts of a note that are shown before the title and the counts
_GAP = 2  # columns between two parts
_SHORTEST, _LONGEST = 8, 24  # columns of the bar
_SEEN, _SECONDS = 3, 3.0  # how much has to be seen, after the first time, for a speed


class Progress(Protocol):
    """What long work reports to: how far it is, and one short line of what it sees."""

    def advance(self, count: int = 1, note: str = "") -> None:
        """`count` more units are done, at most all; `note` replaces the short text beside the bar.

        Its parts are two spaces apart, the most telling first: a narrow terminal drops those at the end.
        """


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
        with _bar(_Work(title, total, unit, done)) as shown:
            yield shown
    else:
        lines = _Lines(_Work(title, total, unit, done), interval)
        yield lines
        lines.finish()


class _Nothing:
    def advance(self, count: int = 1, note: str = "") -> None:
        pass


class _Work:
    """How far the work is, and how fast.

    The first time takes longer than the others (kernels are compiled, files opened), so that speed is
    counted from there on, and not known before some more has been seen.
    """

    def __init__(self, title: str, total: int, unit: str, done: int) -> None:
        self.title, self.total, self.unit, self.done, self.note = title, total, unit, done, ""
        self.start = self.now = time.monotonic()
        self._first: tuple[float, int] | None = None  # when, and how much was done
        self._seen = 0  # times after the first

    def advance(self, count: int, note: str) -> None:
        self.done = min(self.done + count, self.total)
        self.note = note or self.note
        self.now = time.monotonic()
        if self._first is None:
            self._first = self.now, self.done
        else:
            self._seen += 1

    @property
    def rate(self) -> float | None:
        """Units in a second; None while it is not known."""
        if self._first is None:
            return None
        since, done = self._first
        if self._seen < _SEEN or self.now - since < _SECONDS or self.done == done:
            return None
        return (self.done - done) / (self.now - since)

    @property
    def time(self) -> str:
        """How long it will take, if that is known; of what is at its end, how long it took."""
        if self.done == self.total:
            return clock(self.now - self.start)
        rate = self.rate
        return f"eta {clock((self.total - self.done) / rate)}" if rate else ""

    @property
    def counts(self) -> str:
        return f"{self.done:,}/{self.total:,} {self.unit}"

    @property
    def parts(self) -> list[str]:
        return self.note.split("  ") if self.note else []


class _Lines:
    def __init__(self, work: _Work, interval: float) -> None:
        self.work, self.interval = work, interval
        self.told = work.start

    def advance(self, count: int = 1, note: str = "") -> None:
        self.work.advance(count, note)
        if self.work.now - self.told >= self.interval:
            self.finish()

    def finish(self) -> None:
        self.told, work = self.work.now, self.work
        speed = f"{rate:,.1f}/s" if (rate := work.rate) else ""
        parts = [work.title, work.counts, speed, work.note, work.time]
        print("  ".join(part for part in parts if part), file=sys.stderr, flush=True)


@contextmanager
def _bar(work: _Work) -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import Progress as RichProgress
    from rich.progress import ProgressColumn, Task

    class Line(ProgressColumn):
        def render(self, task: Task) -> Table:
            return _line(work, shown.console.width)

    class Bar:
        def advance(self, count: int = 1, note: str = "") -> None:
            work.advance(count, note)
            shown.update(task, completed=work.done)

    with RichProgress(Line(), console=Console(stderr=True)) as shown:
        task = shown.add_task(work.title, total=work.total, completed=work.done)
        yield Bar()


def _line(work: _Work, width: int) -> Table:
    """What of the work fits into so many columns: the bar gives way first, then the end of the note."""
    from rich.cells import cell_len
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    left, ending = work.parts, work.time or "eta -"
    chosen, used = {ending}, cell_len(ending)
    for part in [*left[:_FIRST], work.title, work.counts, *left[_FIRST:]]:
        if used + _GAP + cell_len(part) <= width:
            chosen.add(part)
            used += _GAP + cell_len(part)
    parts: list[Text | ProgressBar] = [
        Text(part, no_wrap=True)
        for part in (work.title, work.counts, *left, ending)
        if part in chosen
    ]
    room = min(width - used - _GAP, _LONGEST)
    if room >= _SHORTEST:
        bar = ProgressBar(work.total, work.done, width=room)
        parts.insert(work.title in chosen, bar)
    line = Table.grid(padding=(0, _GAP, 0, 0), pad_edge=False)
    for _ in parts:
        line.add_column(no_wrap=True)
    line.add_row(*parts)
    return line


def clock(seconds: float) -> str:
    """Seconds as people read them: 42s, 3m05s, 2h07m."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes:02d}m"
    return f"{minutes}m{rest:02d}s" if minutes else f"{rest}s"
