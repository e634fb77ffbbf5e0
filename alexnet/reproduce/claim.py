"""What a claim is: a statement of the paper, its numbers, and whether a count bears it out."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from alexnet import paper
from alexnet.paper import Removal, Result, Row2012

Numbers = Mapping[str, float]
Kind = Literal["exact", "effect", "number", "observation"]
Source = Literal["paper", "program log", "Zeiler and Fergus"]
Row = Result | Row2012 | Removal

SECTIONS = (
    *("abstract", "1", "2", "3", "3.1", "3.2", "3.3", "3.4", "3.5", "4", "4.1", "4.2"),
    *("5", "6", "6.1", "7"),
)


class Metric(NamedTuple):
    """A number in which two ways are compared: by their difference in points, or how many times."""

    title: str
    unit: Literal["points", "times"]


METRICS: Mapping[str, Metric] = {
    "top1": Metric("top-1 error", "points"),
    "top5": Metric("top-5 error", "points"),
    "top5 test": Metric("top-5 error on the test images", "points"),
    "training error": Metric("top-1 error on the training images", "points"),
    "early training error": Metric("training error in the first epochs", "points"),
    "gap": Metric("top-1 error less that on the training images", "points"),
    "epochs to 25 %": Metric(f"epochs until {paper.RELU_TARGET:g} % training error", "times"),
    "epochs": Metric("epochs until the error no longer falls", "times"),
    "training time": Metric("time of a training step", "times"),
    "colour": Metric("difference between the columns' shares of colour", "points"),
    "neighbours": Metric("nearest images that are of the query's class", "points"),
    "search time": Metric("time of a search", "times"),
}


@dataclass(frozen=True)
class Claim:
    """One statement of the paper, and its numbers where it gives any.

    `effects` are metric(with) - metric(without) in percentage points, or metric(with) / metric(without)
    where the metric is counted in times; None where the paper says only which way. `direction` is the
    sign of the difference, 0 where the claim is that there is none.
    """

    name: str
    section: str
    says: str
    effects: Mapping[str, float | None] = field(default_factory=dict)  # by metric
    direction: Literal[-1, 0, 1] = 0
    stated: Numbers = field(
        default_factory=dict
    )  # numbers that compare nothing, by what they count
    computed: Callable[[], Numbers] | None = None  # the same, from the package's tables
    hedge: Literal["", "about", "at most", "over"] = (
        ""  # the paper's own, of all numbers of the claim
    )
    slips: tuple[str, ...] = ()  # of the numbers stated, those known not to be what is computed
    rows: tuple[Row, ...] = ()  # of the tables of results: with, then without
    by: str = ""  # how it shows, where the metric does not say so
    note: str = ""
    source: Source = "paper"
    images: Literal["ImageNet", "CIFAR-10"] = "ImageNet"  # which the claim is about
    awaits: str = ""  # what has to be built before it can be tested

    @property
    def kind(self) -> Kind:
        """What decides it: a count, a comparison, one measured number, or what is seen."""
        if self.computed:
            return "exact"
        if self.effects:
            return "effect"
        return "number" if self.stated else "observation"

    def disagreements(self) -> dict[str, float]:
        """The numbers computed, by name, that are not what the paper states."""
        found = self.computed() if self.computed else {}
        return {name: value for name, value in found.items() if not self._agrees(name, value)}

    def _agrees(self, name: str, value: float) -> bool:
        stated = self.stated[name]
        if self.hedge == "over":
            return value > stated
        if self.hedge == "at most":
            return value <= stated
        return math.isclose(value, stated, rel_tol=0.1 if self.hedge == "about" else 1e-9)


def lowers(part: str) -> dict[str, float | None]:
    """The effects of a part of the system that the text states in points."""
    effect = paper.EFFECTS[part]
    found: dict[str, float | None] = {"top1": -effect.top1}
    return found if effect.top5 is None else found | {"top5": -effect.top5}


def errors(row: Row) -> dict[str, float]:
    """The errors in a row of results, by metric, without the dashes."""
    if isinstance(row, Row2012):
        found = {
            "top1": row.top1_validation,
            "top5": row.top5_validation,
            "top5 test": row.top5_test,
        }
    else:
        found = {"top1": row.top1, "top5": row.top5}
    return {metric: error for metric, error in found.items() if error is not None}


def between(first: Row, second: Row) -> dict[str, float | None]:
    """The first row's errors less the second's, where both have them, in tenths as they are printed."""
    mine, theirs = errors(first), errors(second)
    return {one: round(mine[one] - theirs[one], 1) for one in mine if one in theirs}
