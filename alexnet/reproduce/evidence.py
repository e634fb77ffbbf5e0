"""From cells to comparisons: which cells speak for an arm, which are stale, which make pairs.

A cell speaks for an arm when it was made by the arm's present definition. Two make a pair when they have
the same seed, the same images and the same arithmetic: nothing else is ever subtracted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from alexnet import paper
from alexnet.reproduce.arms import Arm
from alexnet.reproduce.cells import Cell, differences, what_of
from alexnet.reproduce.experiments import Comparison, Study

EARLY = 3  # epochs that are early


class Stale(NamedTuple):
    """A cell that speaks for its arm no more, and in what it differs from the arm's definition."""

    cell: Cell
    why: tuple[str, ...]


class Pair(NamedTuple):
    """Two cells of one seed."""

    seed: int
    arm: Cell
    without: Cell


@dataclass(frozen=True)
class Evidence:
    """The cells of a study: those that speak, by arm, and those that are stale."""

    study: Study
    cells: Mapping[str, Sequence[Cell]]
    stale: Sequence[Stale]

    def pairs(self, comparison: Comparison) -> list[Pair]:
        """The pairs of a comparison by seed; of several, that in the arithmetic that most have."""
        found = [
            Pair(one.seed, one, other)
            for one in self.cells.get(comparison.arm, ())
            for other in self.cells.get(comparison.without, ())
            if one.seed == other.seed and _alike(one, other)
        ]
        often = Counter(_arithmetic(pair.arm) for pair in found)
        best: dict[int, Pair] = {}
        for pair in sorted(
            found, key=lambda pair: (-often[_arithmetic(pair.arm)], _arithmetic(pair.arm))
        ):
            best.setdefault(pair.seed, pair)
        return [best[seed] for seed in sorted(best)]


def evidence(study: Study, cells: Iterable[Cell]) -> Evidence:
    """Sort cells by whether they speak for an arm of the study."""
    current: dict[str, list[Cell]] = {name: [] for name in study.arms}
    stale = []
    for cell in cells:
        arm = study.arms.get(cell.arm)
        if cell.address.scale != study.scale:
            continue
        if why := [f"there is no arm {cell.arm}"] if arm is None else _changed(arm, cell):
            stale.append(Stale(cell, tuple(why)))
        else:
            current[cell.arm].append(cell)
    return Evidence(study, current, stale)


def _changed(arm: Arm, cell: Cell) -> list[str]:
    """How the arm's definition differs from that by which a cell was made."""
    made = {name: value for name, value in cell.address.what.items() if name not in ("start", "of")}
    found = differences(made, what_of(arm))
    if cell.address.data["source"] != arm.data.name:
        found.append(f"data: {cell.address.data['source']}, {arm.data.name}")
    return found


def _alike(one: Cell, other: Cell) -> bool:
    """Whether two cells have the same test images and the same arithmetic.

    Training images may differ: that may be what is compared.
    """
    return one.images == other.images and one.address.numerics == other.address.numerics


def _arithmetic(cell: Cell) -> str:
    return repr(sorted(cell.address.numerics.items()))


# --- What is read off a cell ----------------------------------------------------------------------


def _top1(cell: Cell, views: int) -> float:
    """From the bits, which have all its digits."""
    return float(100 * (1 - cell.right_N(views).mean()))


def _top5(cell: Cell, views: int) -> float:
    return 100 * cell.errors[str(views)]["top5_error"]


def _training_error(cell: Cell, views: int) -> float:
    return 100 * cell.curve["train_top1_error"][-1]


def _early(cell: Cell, views: int) -> float:
    return float(100 * np.mean(cell.curve["train_top1_error"][:EARLY]))


def _gap(cell: Cell, views: int) -> float:
    return _top1(cell, 1) - _training_error(cell, views)


def epochs_to(cell: Cell, error: float = paper.RELU_TARGET / 100) -> float | None:
    """After how many epochs the training error (a share) is reached, between epochs by a straight line.

    An epoch's error is the mean over its steps, and so counts in its middle. None: it is not.
    """
    epochs = np.asarray(cell.curve["epoch"], float) - 0.5
    errors = np.asarray(cell.curve["train_top1_error"])
    below = np.flatnonzero(errors <= error)
    if not len(below):
        return None
    end = int(below[0])
    if end == 0:
        return float(epochs[0])
    part = (errors[end - 1] - error) / (errors[end - 1] - errors[end])
    return float(epochs[end - 1] + part * (epochs[end] - epochs[end - 1]))


_READ: Mapping[str, Callable[[Cell, int], float | None]] = {
    "top1": _top1,
    "top5": _top5,
    "training error": _training_error,
    "early training error": _early,
    "gap": _gap,
    "epochs to 25 %": lambda cell, views: epochs_to(cell),
    "training time": lambda cell, views: 1 / cell.made["images_per_second"],
    "colour": lambda cell, views: 100 * cell.measures["colour"],
}
METRICS = tuple(_READ)


def value(cell: Cell, metric: str, views: int = paper.VIEWS) -> float | None:
    """A metric of `alexnet.reproduce.claim` of one cell; None where its run did not get so far."""
    return _READ[metric](cell, views)


def usual_seconds(cells: Iterable[Cell]) -> float | None:
    """How long cells took: the median of those that were not interrupted, None without any."""
    taken = [cell.made["seconds"] for cell in cells if not cell.made["resumed"]]
    return float(np.median(taken)) if taken else None


def metrics_of(study: Study, comparison: Comparison, effects: Iterable[str]) -> list[str]:
    """Those metrics of a claim that a comparison's cells can tell.

    With five classes or fewer, five guesses are never wrong.
    """
    classes = study.arms[comparison.arm].data.kinds
    return [one for one in effects if one in _READ and not (one == "top5" and classes <= 5)]
