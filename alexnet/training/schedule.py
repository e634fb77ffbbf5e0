"""The learning rate through a run: the paper's plateau rule, or a rise and fall of known length.

A schedule's state is a small dictionary that checkpoints hold; its decisions are returned as events.
"""

from __future__ import annotations

import math
from typing import Any

from alexnet.config import Anneal, Milestones, Plateau, RunConfig


class PlateauSchedule:
    """Divide the rate when the validation error has stopped improving (section 5)."""

    def __init__(self, rate: float, rule: Plateau) -> None:
        self.first_rate, self.rule = rate, rule
        self.state: dict[str, Any] = {"drops": 0, "best": None, "best_epoch": 0}

    def rate(self, epoch: float) -> float:
        """The rate at this moment; `epoch` does not matter, only what was observed."""
        return float(self.first_rate / self.rule.factor ** self.state["drops"])

    def observe(self, epoch: int, error: float) -> str | None:
        """Note the validation error after an epoch; the reason, if the rate drops now."""
        if self.state["best"] is None or error < self.state["best"]:
            self.state.update(best=error, best_epoch=epoch)
            return None
        waited = epoch - self.state["best_epoch"]
        if waited < self.rule.patience.count or self.state["drops"] >= self.rule.drops:
            return None
        self.state.update(drops=self.state["drops"] + 1, best_epoch=epoch)
        return (
            f"validation error has not fallen below {100 * self.state['best']:.2f} % "
            f"for {waited} epochs: rate {self.rate(epoch):g}"
        )


class AnnealSchedule:
    """Rise linearly during the warm-up, then fall to zero along half a cosine."""

    def __init__(self, rate: float, rule: Anneal, length: float) -> None:
        self.full_rate, self.warmup, self.length = rate, rule.warmup.count, length
        self.state: dict[str, Any] = {}

    def rate(self, epoch: float) -> float:
        """The rate when `epoch` epochs (with their fraction) are done."""
        if epoch < self.warmup:
            return self.full_rate * epoch / self.warmup
        done = min(1.0, (epoch - self.warmup) / max(self.length - self.warmup, 1e-9))
        return self.full_rate * 0.5 * (1 + math.cos(math.pi * done))

    def observe(self, epoch: int, error: float) -> str | None:
        """The validation error changes nothing."""
        return None


class MilestoneSchedule:
    """Divide the rate at epochs that are known beforehand."""

    def __init__(self, rate: float, rule: Milestones) -> None:
        self.first_rate, self.rule = rate, rule
        self.state: dict[str, Any] = {}

    def rate(self, epoch: float) -> float:
        """The rate when `epoch` epochs (with their fraction) are done."""
        return float(self.first_rate / self.rule.factor ** self.rule.done_by(epoch))

    def observe(self, epoch: int, error: float) -> str | None:
        """The validation error changes nothing."""
        return None


Schedule = PlateauSchedule | AnnealSchedule | MilestoneSchedule


def schedule_of(config: RunConfig) -> Schedule:
    """The schedule a configuration asks for."""
    rate = config.optimizer.learning_rate
    if isinstance(config.schedule, Plateau):
        return PlateauSchedule(rate, config.schedule)
    if isinstance(config.schedule, Milestones):
        return MilestoneSchedule(rate, config.schedule)
    return AnnealSchedule(rate, config.schedule, config.length.count)
