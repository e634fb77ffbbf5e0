"""How far a run got, when it was trained, and for how long: from its metrics and its log."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from alexnet.base.locks import is_held
from alexnet.loading.order import Order
from alexnet.runs import TIME, Run
from alexnet.training.state import has_learned

_BEGINS_AGAIN = ("resumed", "!")  # what a log says first when a run goes on
_NOT_TRAINED = "already"  # what it ends with where there was nothing left to do


class Course(NamedTuple):
    """Epochs and steps done of what was planned, and whether that is all, or is still going on.

    `began` and `ended` are the local times of the log's first and last lines, empty without any;
    `seconds` is what lies between them, without the times in which the run was stopped.
    """

    epochs: float
    steps: int
    is_done: bool
    is_going_on: bool
    began: str
    ended: str
    seconds: float

    @property
    def is_stopped(self) -> bool:
        """Whether the run waits to be resumed."""
        return not (self.is_done or self.is_going_on)


def course_of(run: Run, rows: Sequence[Mapping[str, Any]]) -> Course:
    """The course of a run so far; `rows` are those of its `metrics.jsonl`."""
    steps = [row for row in rows if row["kind"] == "step"]
    epochs, done = (steps[-1]["epoch"], steps[-1]["step"]) if steps else (0.0, 0)
    began, ended, seconds = _times(run.log_lines())
    is_done = done >= _planned(run, epochs, done) or has_learned(run, run.config)
    is_going_on = is_held(run.folder / "run.lock")
    return Course(epochs, done, is_done, is_going_on, began, ended, seconds)


def _planned(run: Run, epochs: float, done: int) -> float:
    """The steps of the whole run, from how far those that are done have led."""
    config = run.config
    if not done:
        return math.inf
    batch = config.optimizer.batch.count
    return Order(round(done * batch / epochs), batch, config.seed).steps(config.length.count)


def _times(lines: Sequence[tuple[str, str]]) -> tuple[str, str, float]:
    """When a log begins and ends, and the seconds between its lines but for interruptions."""
    trained = [(stamp, text) for stamp, text in lines if not text.endswith(_NOT_TRAINED)]
    if not trained:
        return "", "", 0.0
    moments = [time.mktime(time.strptime(stamp, TIME)) for stamp, _ in trained]
    seconds = sum(
        after - before
        for (before, after), (_, text) in zip(pairwise(moments), trained[1:], strict=True)
        if not text.startswith(_BEGINS_AGAIN)
    )
    return trained[0][0], trained[-1][0], seconds
