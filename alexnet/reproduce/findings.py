"""What the cells of a study come to: every metric of every comparison, its effect and its verdict."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np

from alexnet.reproduce.cells import Cell
from alexnet.reproduce.claim import METRICS, Claim
from alexnet.reproduce.claims import claim
from alexnet.reproduce.evidence import Evidence, Pair, metrics_of, usual_seconds, value
from alexnet.reproduce.experiments import Comparison, Experiment
from alexnet.reproduce.power import difference_spread, predicted_spread
from alexnet.reproduce.statistics import Effect, effect
from alexnet.reproduce.verdicts import Expected, Verdict, judge

Seeds = Mapping[int, float]


class Missed(NamedTuple):
    """A run that did not get so far that it has a metric."""

    arm: str
    seed: int


@dataclass(frozen=True)
class Finding:
    """One metric of one comparison. `with_` and `without` are what every run came to, paired or not.

    `effect` is None without a pair, `verdict` also at the scale that claims nothing.
    """

    comparison: Comparison
    claim: Claim
    metric: str
    with_: Seeds
    without: Seeds
    missed: tuple[Missed, ...]
    effect: Effect | None
    verdict: Verdict | None
    hours: float | None  # of the seeds that the verdict says are still needed
    images: int  # test images

    @property
    def papers(self) -> float | None:
        """The paper's effect: in points, or as a log2."""
        effect = self.claim.effects[self.metric]
        return None if effect is None else _as_difference(self.metric, effect)

    @property
    def predicted_spread(self) -> float | None:
        """What the differences' spread should be by the errors alone, in points, for top-1 errors."""
        if self.metric != "top1" or self.effect is None or not self.images:
            return None
        mean = float(np.mean([*self.effect.values_with, *self.effect.values_without]))
        return 100 * difference_spread(predicted_spread(mean / 100, self.images))


def findings(
    evidence: Evidence, experiment: Experiment, seconds: Mapping[str, float]
) -> list[Finding]:
    """Those of an experiment, with verdicts whose p values are adjusted for all of them together.

    `seconds` is how long a cell of an arm takes.
    """
    found = [
        _finding(evidence, comparison, metric)
        for comparison in experiment.comparisons
        for metric in metrics_of(evidence.study, comparison, claim(comparison.claim).effects)
    ]
    if evidence.study.scale == "smoke":
        return found
    judged = [one for one in found if one.effect]
    page = [(one.effect, _expected(evidence, one)) for one in judged if one.effect]
    verdicts = dict(zip(map(id, judged), judge(page), strict=True))
    return [
        replace(one, verdict=verdicts[id(one)], hours=_hours(one, verdicts[id(one)], seconds))
        if id(one) in verdicts
        else one
        for one in found
    ]


def seconds_of(cells: Mapping[str, Iterable[Cell]]) -> dict[str, float]:
    """How long a cell of each arm took, where any tells."""
    found = {name: usual_seconds(some) for name, some in cells.items()}
    return {name: seconds for name, seconds in found.items() if seconds is not None}


def chosen(evidence: Evidence, experiment: Experiment) -> dict[str, dict[int, Cell]]:
    """The cell of each arm and seed that an experiment's page is about: one in a pair if there is one."""
    pairs = [pair for two in experiment.comparisons for pair in evidence.pairs(two)]
    paired = {id(cell) for pair in pairs for cell in (pair.arm, pair.without)}
    found: dict[str, dict[int, Cell]] = {}
    for name in experiment.arms:
        cells = sorted(
            evidence.cells.get(name, ()), key=lambda cell: (cell.seed, id(cell) not in paired)
        )
        found[name] = {}
        for cell in cells:
            found[name].setdefault(cell.seed, cell)
    return found


def _finding(evidence: Evidence, comparison: Comparison, metric: str) -> Finding:
    pairs = evidence.pairs(comparison)
    values: list[dict[int, float]] = []
    missed: list[Missed] = []
    for place, name in enumerate((comparison.arm, comparison.without)):
        cells = {pair.seed: (pair.arm, pair.without)[place] for pair in pairs}
        for cell in evidence.cells.get(name, ()):
            cells.setdefault(cell.seed, cell)
        values.append({})
        for seed in sorted(cells):
            came_to = value(cells[seed], metric, comparison.views[place])
            if came_to is None:
                missed.append(Missed(name, seed))
            else:
                values[place][seed] = came_to
    with_, without = values
    whole = [pair for pair in pairs if pair.seed in with_ and pair.seed in without]
    return Finding(
        comparison=comparison,
        claim=claim(comparison.claim),
        metric=metric,
        with_=with_,
        without=without,
        missed=tuple(dict.fromkeys(missed)),
        effect=_effect(comparison, metric, whole, with_, without) if whole else None,
        verdict=None,
        hours=None,
        images=whole[0].arm.address.data["test"] if whole else 0,
    )


def _effect(
    comparison: Comparison, metric: str, pairs: list[Pair], with_: Seeds, without: Seeds
) -> Effect:
    seeds = [pair.seed for pair in pairs]
    right = None
    if metric == "top1" and len(pairs) > 1:
        mine, other = comparison.views
        right = (
            np.stack([pair.arm.right_N(mine) for pair in pairs]),
            np.stack([pair.without.right_N(other) for pair in pairs]),
        )
    mine_S, theirs_S = (
        [_as_difference(metric, one[seed]) for seed in seeds] for one in (with_, without)
    )
    return effect(seeds, mine_S, theirs_S, right)


def _as_difference(metric: str, number: float) -> float:
    """What is subtracted: points as they are, what is counted in times as its log2."""
    return number if METRICS[metric].unit == "points" else math.log2(number)


def _expected(evidence: Evidence, one: Finding) -> Expected:
    data = evidence.study.arms[one.comparison.arm].data
    same = data.is_whole and data.source == one.claim.images.lower().replace("-", "")
    direction: Literal[-1, 0, 1] = one.claim.direction
    return Expected(one.metric, direction, one.papers, same)


def _hours(one: Finding, verdict: Verdict, seconds: Mapping[str, float]) -> float | None:
    names = {one.comparison.arm, one.comparison.without}
    if verdict.more_seeds is None or not names <= seconds.keys():
        return None
    return verdict.more_seeds * sum(seconds[name] for name in sorted(names)) / 3600
