"""What there is to do: cells, hours, what they can show, and where time is best spent."""

from __future__ import annotations

import math
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import t as student

from alexnet.reproduce.arms import Arm
from alexnet.reproduce.claims import claim
from alexnet.reproduce.evidence import Evidence, metrics_of, usual_seconds, value
from alexnet.reproduce.experiments import Comparison, Experiment, Study
from alexnet.reproduce.power import difference_spread, predicted_spread, smallest_effect
from alexnet.training.placement import Placement
from alexnet.training.speed import images_per_second

MOST_SEEDS = 20  # that a budget is spent on
_EVALUATING = 1 / 3  # of the time of training an image: forward alone
_VIEWS = 11  # of every test image: one, then ten
_START_UP = 5.0  # seconds of a cell besides


class Job(NamedTuple):
    """A cell that is to be made."""

    arm: str
    seed: int


@dataclass(frozen=True)
class Row:
    """One experiment of a plan.

    `spread` is that of one seed's difference and `smallest` the smallest effect that the seeds wanted can
    show, in points of top-1 error; None where its metrics are not errors, or for too few seeds.
    """

    experiment: Experiment
    done: int
    todo: tuple[Job, ...]
    elsewhere: int  # cells in another arithmetic, whose partners are missing
    seconds: float
    spread: float | None
    smallest: float | None


class _Step(NamedTuple):
    """One pair more of a comparison: by how much its interval shrinks, and in how many seconds."""

    comparison: Comparison
    seed: int
    jobs: list[Job]
    cost: float
    gain: float


class Planner:
    """Plans for the cells of a study in one arithmetic, from those that there are."""

    def __init__(
        self, evidence: Evidence, numerics: Mapping[str, Any], placement: Placement
    ) -> None:
        """What no cell tells the time of is timed on the placement, whose arithmetic `numerics` is."""
        self.evidence, self.numerics, self.placement = evidence, numerics, placement
        self.study: Study = evidence.study
        self._seconds: dict[str, float] = {}
        self._rates: dict[tuple[Any, ...], float] = {}

    def rows(self, experiments: Iterable[Experiment], seeds: int | None = None) -> list[Row]:
        """A row for each experiment; a job that several ask for is counted where it comes first."""
        rows, taken = [], set[Job]()
        for one in experiments:
            wanted = list(self._jobs(one, seeds or one.seeds))
            todo = [job for job in dict.fromkeys(wanted) if self._is_missing(job, one)]
            todo = [job for job in todo if job not in taken]
            taken |= set(todo)
            spread, smallest = self._sharpness(one, seeds or one.seeds)
            rows.append(
                Row(
                    experiment=one,
                    done=len(set(wanted)) - sum(self._is_missing(job, one) for job in set(wanted)),
                    todo=tuple(todo),
                    elsewhere=sum(self._is_elsewhere(job) for job in todo),
                    seconds=sum(self.seconds(self.study.arms[job.arm]) for job in todo),
                    spread=spread,
                    smallest=smallest,
                )
            )
        return rows

    def in_order(self, experiments: Sequence[Experiment], budget: float) -> list[Job]:
        """The jobs on which `budget` seconds are best spent, in order, past the seeds planned if need be.

        Next is always the pair of cells that narrows an interval most for its time: the interval over
        seeds is t * s / sqrt(n), here in units of the paper's effect, or of a point where it names none.
        Arms that are only shown come first: they are few.
        """
        jobs: list[Job] = []
        for one in experiments:
            jobs += [job for job in self._others(one) if self._is_missing(job, one)]
        spent = sum(self.seconds(self.study.arms[job.arm]) for job in dict.fromkeys(jobs))
        comparisons = [two for one in experiments for two in one.comparisons]
        seeds = {two: {pair.seed for pair in self.evidence.pairs(two)} for two in comparisons}
        while spent < budget:
            steps = [self._next(two, seeds[two], jobs) for two in comparisons]
            best = max(steps, key=lambda step: step.gain / max(step.cost, 1.0), default=None)
            if best is None or best.gain == 0:
                break
            jobs += best.jobs
            spent += best.cost
            seeds[best.comparison].add(best.seed)
        return list(dict.fromkeys(jobs))

    def seconds(self, arm: Arm) -> float:
        """How long a cell of an arm takes here: as its others did, or by its speed."""
        if arm.name not in self._seconds:
            cells = self.evidence.cells.get(arm.name, ())
            usual = usual_seconds(one for one in cells if one.address.numerics == self.numerics)
            self._seconds[arm.name] = self._by_speed(arm) if usual is None else usual
        return self._seconds[arm.name]

    def _by_speed(self, arm: Arm) -> float:
        if arm.members:
            return _START_UP
        epochs = arm.config(0).length.count
        validated = arm.data.held_out * arm.data.kinds or arm.data.tested
        evaluated = epochs * validated + _VIEWS * arm.data.tested
        return _START_UP + (epochs * arm.data.images + evaluated * _EVALUATING) / self._rate(arm)

    def _rate(self, arm: Arm) -> float:
        """Images per second of its training, timed once for each network and batch."""
        config = arm.config(0)
        key = config.network.convention, config.network.variant, config.optimizer.batch
        if key not in self._rates:
            about = f"{config.network.convention} {config.network.variant}".strip()
            print(f"timing training steps of {about}", file=sys.stderr)
            self._rates[key] = images_per_second(config, arm.data.kinds, self.placement, 1, 2)
        return self._rates[key]

    def _next(
        self, comparison: Comparison, seeds: Collection[int], planned: Collection[Job]
    ) -> _Step:
        """What a pair more than those of `seeds` gains, in which time, by which jobs."""
        seed = next(n for n in range(MOST_SEEDS + 1) if n not in seeds)
        if len(seeds) >= MOST_SEEDS:
            return _Step(comparison, seed, [], 0.0, 0.0)
        both = dict.fromkeys((comparison.arm, comparison.without))
        jobs = dict.fromkeys(job for name in both for job in self._with_needs(name, seed))
        extra = [job for job in jobs if job not in planned and not self._has(job)]
        cost = sum(self.seconds(self.study.arms[job.arm]) for job in extra)
        scale = abs(claim(comparison.claim).effects.get("top1") or 1.0)
        gain = self._spread(comparison) / scale * (_width(len(seeds)) - _width(len(seeds) + 1))
        return _Step(comparison, seed, extra, cost, gain)

    def _jobs(self, experiment: Experiment, seeds: int) -> Iterator[Job]:
        """All that an experiment asks for, in the order of its seeds."""
        yield from self._others(experiment)
        for seed in range(seeds):
            for comparison in experiment.comparisons:
                yield from self._with_needs(comparison.arm, seed)
                yield from self._with_needs(comparison.without, seed)

    def _others(self, experiment: Experiment) -> list[Job]:
        return [Job(name, 0) for name in experiment.others]

    def _with_needs(self, name: str, seed: int) -> Iterator[Job]:
        """A job, after those whose models it needs."""
        arm = self.study.arms[name]
        if arm.start:
            yield from self._with_needs(arm.start, seed)
        for member in range(arm.members):
            yield from self._with_needs(arm.of, arm.members * seed + member)
        yield Job(name, seed)

    def _has(self, job: Job) -> bool:
        """Whether there is a cell of this arithmetic."""
        cells = self.evidence.cells.get(job.arm, ())
        return any(one.seed == job.seed and one.address.numerics == self.numerics for one in cells)

    def _is_missing(self, job: Job, experiment: Experiment) -> bool:
        """Whether a job is to be done: it is not where its pairs are there in any arithmetic."""
        if self._has(job):
            return False
        cells = [one for one in self.evidence.cells.get(job.arm, ()) if one.seed == job.seed]
        if job.arm in experiment.others:
            return not cells
        mine = [one for one in experiment.comparisons if job.arm in (one.arm, one.without)]
        seeds = [{pair.seed for pair in self.evidence.pairs(one)} for one in mine]
        return not (cells and all(job.seed in one for one in seeds))

    def _is_elsewhere(self, job: Job) -> bool:
        return any(one.seed == job.seed for one in self.evidence.cells.get(job.arm, ()))

    def _spread(self, comparison: Comparison) -> float:
        """Of one seed's difference, in points of top-1 error: measured from three on, else predicted."""
        pairs = self.evidence.pairs(comparison)
        metrics = metrics_of(self.study, comparison, claim(comparison.claim).effects)
        if len(pairs) >= 3 and "top1" in metrics:
            both = zip(comparison.views, ("arm", "without"), strict=True)
            mine, other = (
                np.array([value(getattr(pair, which), "top1", views) for pair in pairs])
                for views, which in both
            )
            return float(np.std(mine - other, ddof=1))
        arm = self.study.arms[comparison.arm]
        return difference_spread(100.0 * predicted_spread(arm.error, arm.data.tested))

    def _sharpness(self, experiment: Experiment, seeds: int) -> tuple[float | None, float | None]:
        """The spread of a seed's difference, and the smallest effect that so many can show."""
        errors = [one for one in experiment.comparisons if "top1" in claim(one.claim).effects]
        if not errors:
            return None, None
        spread = max(map(self._spread, errors))
        return spread, smallest_effect(spread, seeds)


def _width(pairs: int) -> float:
    """Half the width of a 95 % interval over so many seeds, in deviations of one; before two, a guess."""
    if pairs < 2:
        return 30.0 - 10 * pairs
    return float(student.ppf(0.975, pairs - 1)) / math.sqrt(pairs)
