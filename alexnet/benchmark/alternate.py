"""Implementations measured alternately: each in its own process, one running while the others wait."""

from __future__ import annotations

import multiprocessing
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from alexnet.base.errors import EnvironmentProblem
from alexnet.base.progress import progress

try:
    import resource

    HAS_USAGE = True
except ImportError:  # Windows
    HAS_USAGE = False

Step = Callable[[], object]


@dataclass(frozen=True)
class Implementation:
    """Who is measured: `make`, called in its own process, returns the step that is timed.

    `images` is how many images a step works on; for a ceiling, how many images' worth of work
    it does. `make` is a function of a module, or a `partial` of one.
    """

    name: str
    make: Callable[[], Step]
    images: float


@dataclass(frozen=True)
class Comparison:
    """Implementations that do the same work; the others' times are reported relative to the first one's.

    `ceiling` does the work itself and nothing around it; `ceiling_is` says what that is. With
    `one_core` each implementation, with all its threads and processes, has one core; else all of them.
    """

    title: str
    implementations: Sequence[Implementation]
    ceiling: Implementation | None = None
    ceiling_is: str = ""
    one_core: bool = False


@dataclass(frozen=True)
class Measured:
    """One implementation's steps, warm-up excluded."""

    seconds: list[float]  # of each step
    page_faults: float  # a step: pages of memory that the system had to hand out, median
    peak_gib: float  # the most memory that its process ever had

    @property
    def median(self) -> float:
        """The middle one of the measured seconds."""
        return statistics.median(self.seconds)


def alternate(comparison: Comparison, rounds: int, warmup: int) -> dict[str, Measured]:
    """Time one step of each implementation in every round, after some rounds of warm-up.

    Raises EnvironmentProblem when one of them dies.
    """
    implementations = [
        *comparison.implementations,
        *([comparison.ceiling] if comparison.ceiling else []),
    ]
    context = multiprocessing.get_context("spawn")
    taken: dict[str, list[_Taken]] = {one.name: [] for one in implementations}
    with ExitStack() as stack, progress(comparison.title, warmup + rounds, "rounds") as bar:
        pipes = {}
        for one in implementations:
            pipes[one.name], theirs = context.Pipe()
            worker = context.Process(target=_work, args=(comparison.one_core, theirs))
            worker.start()
            theirs.close()
            stack.callback(worker.join)
            stack.callback(pipes[one.name].close)
            _send(one.name, pipes[one.name], one)
        for name, pipe in pipes.items():
            _receive(name, pipe)
        for turn in range(warmup + rounds):
            for name, pipe in pipes.items():
                _send(name, pipe, "step")
                one_step = _receive(name, pipe)
                if turn >= warmup:
                    taken[name].append(one_step)
            bar.advance(1)
    return {
        name: Measured(
            [one.seconds for one in steps],
            statistics.median(one.page_faults for one in steps),
            steps[-1].peak_gib,
        )
        for name, steps in taken.items()
    }


@dataclass(frozen=True)
class _Taken:
    seconds: float
    page_faults: int
    peak_gib: float


def _send(name: str, pipe: Connection[Any, Any], what: object) -> None:
    try:
        pipe.send(what)
    except OSError:
        raise _dead(name) from None


def _receive(name: str, pipe: Connection[Any, Any]) -> Any:
    try:
        return pipe.recv()
    except (EOFError, OSError):
        raise _dead(name) from None


def _dead(name: str) -> EnvironmentProblem:
    return EnvironmentProblem(
        f"The process of {name!r} died; its output is above.",
        remedy="If memory ran out: a smaller --batch, or fewer peers with --against.",
    )


def _work(one_core: bool, pipe: Connection[Any, Any]) -> None:
    """In an implementation's process: make its step, then take one whenever asked."""
    if one_core:
        _stay_on_one_core()  # before the implementation, and with it any library, is imported
    try:
        step = pipe.recv().make()
        pipe.send("ready")
        while pipe.recv():
            faults, begun = _page_faults(), time.perf_counter()
            step()
            seconds = time.perf_counter() - begun
            pipe.send(_Taken(seconds, _page_faults() - faults, _peak_gib()))
    except (EOFError, KeyboardInterrupt):
        pass  # nobody asks any more


def _stay_on_one_core() -> None:
    os.environ |= {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    if hasattr(os, "sched_setaffinity"):  # Linux
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def _page_faults() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt if HAS_USAGE else 0


def _peak_gib() -> float:
    """The largest resident size of this process in GiB.

    Linux starts the counter of `getrusage` at the size of the process that started this one, so its
    own page is read instead.
    """
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) / 2**20
    if not HAS_USAGE:
        return 0.0
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (2**30 if sys.platform == "darwin" else 2**20)
