"""Contestants measured in turns: each in a process of its own, one at work while the others wait."""

from __future__ import annotations

import multiprocessing
import statistics
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from alexnet.errors import EnvironmentProblem
from alexnet.progress import progress


@dataclass(frozen=True)
class Measured:
    """One contestant's seconds per step, warm-up excluded."""

    name: str
    seconds: list[float]

    @property
    def median(self) -> float:
        """The middle one of the measured seconds."""
        return statistics.median(self.seconds)


def duel(names: Sequence[str], batch: int, rounds: int) -> dict[str, Measured]:
    """Time one step of each contestant in every round, in turns, after two steps of warm-up."""
    context = multiprocessing.get_context("spawn")
    seconds: dict[str, list[float]] = {name: [] for name in names}
    with ExitStack() as stack, progress("measuring", rounds + 2, "rounds") as bar:
        pipes = {}
        for name in names:
            pipes[name], theirs = context.Pipe()
            worker = context.Process(target=_work, args=(name, batch, theirs), daemon=True)
            worker.start()
            theirs.close()
            stack.callback(worker.join)
            stack.callback(pipes[name].close)
        for turn in range(rounds + 2):
            for name, pipe in pipes.items():
                try:
                    pipe.send("step")
                    taken = pipe.recv()
                except (EOFError, OSError):
                    raise EnvironmentProblem(
                        f"The contestant {name!r} died; its own words are above.",
                        remedy="If memory ran out: a smaller --batch.",
                    ) from None
                if turn >= 2:
                    seconds[name].append(taken)
            bar.advance(1)
    return {name: Measured(name, taken) for name, taken in seconds.items()}


def _work(name: str, batch: int, pipe: Connection[Any, Any]) -> None:
    from alexnet.benchmark.contestants import CONTESTANTS

    step = CONTESTANTS[name](batch)
    while True:
        try:
            pipe.recv()
        except EOFError:
            return
        begun = time.perf_counter()
        step()
        pipe.send(time.perf_counter() - begun)
