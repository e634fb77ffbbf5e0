"""The line of long work: what it shows on how many columns, and when it knows how long it will take."""

from __future__ import annotations

import io
import re
import sys
import time

import pytest

from alexnet.base.progress import progress

NOTE = "epoch 12.13  loss 2.301  error 89.1 %  rate 0.01  123.4 img/s  waiting 0 %"


class Clock:
    """Time that passes when the test says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)


class Terminal(io.StringIO):
    """What programs take for a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def shown(width: int, clock: Clock, monkeypatch: pytest.MonkeyPatch, title: str) -> str:
    """The line on a terminal of so many columns, half-way through 30,000 steps."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    for name, value in (("COLUMNS", str(width)), ("TERM", "xterm"), ("NO_COLOR", "1")):
        monkeypatch.setenv(name, value)
    with progress(title, 30_000, "steps", done=15_000) as bar:
        for _ in range(5):
            clock.now += 2
            bar.advance(1, NOTE)
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue()).replace("\r", "\n")
    return [line for line in lines.split("\n") if line.strip()][-1].rstrip()


@pytest.mark.parametrize("width", [60, 80, 100, 140])
def test_the_line_fits_and_what_matters_least_gives_way_first(
    width: int, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = shown(width, clock, monkeypatch, "training")
    assert len(line) <= width and "…" not in line and "..." not in line
    for part in ("epoch 12.13", "loss 2.301", "error 89.1 %", "eta 8h19m"):
        assert part in line
    assert ("rate 0.01" in line) == (width >= 100)
    assert ("15,005/30,000 steps" in line) == (width >= 80)
    assert ("waiting 0 %" in line) == (width >= 140)
    assert ("━━━━" in line) == (width >= 100)


def test_a_long_title_takes_no_place_from_the_numbers(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = shown(60, clock, monkeypatch, "prepare " + "very long name " * 6)
    assert "loss 2.301" in line and "eta 8h19m" in line and len(line) <= 60


def test_the_first_step_is_no_measure_of_the_others(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with progress("training", 100, "steps", interval=0) as bar:
        clock.now += 90  # kernels are compiled
        bar.advance()
        for _ in range(99):
            clock.now += 1.5
            bar.advance()
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines[:3] if "eta" in line] == [], "nothing is known yet"
    assert lines[3] == "training  4/100 steps  0.7/s  eta 2m24s"
    assert lines[-1] == "training  100/100 steps  0.7/s  3m58s", "the first step took its time"


def test_work_that_goes_on_counts_its_own_speed(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with progress("training", 1000, "steps", done=900, interval=0) as bar:
        for _ in range(11):
            clock.now += 2
            bar.advance(5)
    assert capsys.readouterr().err.splitlines()[-2].endswith("955/1,000 steps  2.5/s  eta 18s")
