"""What cells show of claims that compare nothing: the kernels of the first layer (section 6.1)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from alexnet.reproduce.cells import Cell
from alexnet.reproduce.statistics import LEVEL
from alexnet.reproduce.wording import mean_and_spread, percent, plural, probability


class Seen(NamedTuple):
    """How many runs show something, its numbers, and what they mean in a sentence."""

    runs: int
    numbers: Sequence[str]
    text: str


def seen(claim: str, cells: Sequence[Cell]) -> Seen:
    """What the networks with two columns show of a claim; raises KeyError where that is unknown."""
    measured = [cell for cell in cells if cell.measures]
    if not measured:
        return Seen(0, (), "No network with two columns has been trained yet.")
    return _SEEN[claim]([cell.measures for cell in measured])


def _learned(measures: Sequence[Mapping[str, float]]) -> Seen:
    numbers = [
        f"correlation with the start: {_over(measures, 'correlation with the start')}",
        f"smoothness: {_over(measures, 'smoothness')}; "
        f"of the start: {_over(measures, 'smoothness of the start')}",
    ]
    text = (
        "A kernel that has not left its start correlates by 1 with it, and is no smoother than noise. "
        "Smoothness is the share of spectral energy below half the Nyquist frequency."
    )
    return Seen(len(measures), numbers, text)


def _specialize(measures: Sequence[Mapping[str, float]]) -> Seen:
    apart = mean_and_spread([100 * one["colour"] for one in measures])
    numbers = [
        f"the columns' shares of colour are {apart} points apart",
        f"by chance with p = {', '.join(probability(one['colour p']) for one in measures)}",
    ]
    text = "Each p is of one run: how often kernels dealt to the columns anew lie as far apart."
    return Seen(len(measures), numbers, text)


def _in_every_run(measures: Sequence[Mapping[str, float]]) -> Seen:
    apart = sum(one["colour p"] <= LEVEL for one in measures)
    runs = plural(len(measures), "run")
    text = f"Runs in which the columns' shares of colour lie apart with p ≤ {LEVEL:g}."
    return Seen(len(measures), [f"in {apart} of {runs}"], text)


def _over(measures: Sequence[Mapping[str, float]], name: str) -> str:
    """The mean over runs and the deviation."""
    return mean_and_spread([one[name] for one in measures])


_SEEN: Mapping[str, Callable[[Sequence[Mapping[str, float]]], Seen]] = {
    "kernels-are-learned": _learned,
    "columns-specialize": _specialize,
    "columns-specialize-in-every-run": _in_every_run,
}


def columns() -> list[str]:
    """What `row` has of each run."""
    return [
        *("Updates", "Correlation with the start", "Smoothness", "of the start", "Deviation"),
        *("of the change", "Colour", "column 1", "column 2", "p"),
    ]


def row(measures: Mapping[str, float], shares: Sequence[float], updates: int) -> list[str]:
    """What is measured on the kernels of one run; `shares` are of colour, in each column."""
    each = [percent(one, 1) for one in shares] if len(shares) > 1 else ["–", "–"]
    return [
        f"{updates:,}",
        f"{measures['correlation with the start']:.2f}",
        percent(measures["smoothness"], 0),
        percent(measures["smoothness of the start"], 0),
        f"{measures['deviation']:.4f}",
        f"{measures['deviation of the change']:.4f}",
        percent(measures["colour share"], 1),
        *each,
        probability(measures["colour p"]) if len(shares) > 1 else "–",
    ]
