"""What two arms came to, seed by seed: every run is a dot, and runs of one seed are joined."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from alexnet.figures.svg import DASHED, Axis, Drawing, written

_WIDTH, _HEIGHT = 340, 226
_TOP, _BOTTOM, _BELOW = 26, 196, 214  # of both halves; where the arms are named
_LEFT, _RIGHT = (48, 204), (224, 290)  # from where to where each half reaches
_PLACES = (88, 164)  # of the two arms
_CHANGES, _MEAN = 243, 270  # of the right half's dots, and of their mean
_BESIDE = 5  # from a dot to an equal one


@dataclass(frozen=True)
class Difference:
    """What the runs differ by, for the right half: its mean, interval and the paper's number.

    `values` are with less without, by seed; where they are `ratios`, of log2, and the axis says how
    many times.
    """

    values: Mapping[int, float]
    mean: float
    interval: tuple[float, float] | None
    paper: float | None
    ratios: bool


def paired_seeds(
    arms: Mapping[str, Mapping[int, float]], unit: str, found: Difference | None, described: str
) -> str:
    """Two arms by their labels, each value by seed, and beside them what the second differs by, as SVG.

    A run without a partner, as `found` has it, is a dot that nothing is joined to.
    """
    drawing = Drawing(_WIDTH, _HEIGHT, described)
    first, second = arms.values()
    axis = Axis.around([*first.values(), *second.values()], _BOTTOM, _TOP)
    drawing.text((_LEFT[0], _TOP - 12), unit, anchor="start")
    for tick in axis.ticks():
        y = axis.at(tick)
        drawing.line([(_LEFT[0], y), (_LEFT[1], y)], "line")
        drawing.text((_LEFT[0] - 6, y + 4), written(tick), anchor="end")
    for seed in found.values if found else ():
        points = [(x, axis.at(one[seed])) for x, one in zip(_PLACES, (first, second), strict=True)]
        drawing.line(points, "grey")
    for x, (label, values), colour in zip(_PLACES, arms.items(), ("orange", "blue"), strict=True):
        drawing.text((x, _BELOW), label, "ink")
        _dots(drawing, x, values, axis, colour, lambda value: f"{value:.4g} {unit}", f"{label}, ")
        if values:
            y = axis.at(sum(values.values()) / len(values))
            drawing.line([(x - 15, y), (x + 15, y)], colour, 2)
    if found:
        _difference(drawing, found)
    return str(drawing)


def _difference(drawing: Drawing, found: Difference) -> None:
    """The differences by seed, their mean with its interval, and where the paper's number lies."""
    papers = [] if found.paper is None else [found.paper]
    shown = [*found.values.values(), *(found.interval or ()), *papers, 0.0]
    axis = Axis.around(shown, _BOTTOM, _TOP)
    label = "how many times" if found.ratios else "difference, points"
    drawing.text((_RIGHT[0], _TOP - 12), label, anchor="start")
    said = _ratio if found.ratios else _signed
    for tick in axis.ticks():
        drawing.text((_RIGHT[1] + 6, axis.at(tick) + 4), said(tick), anchor="start")
    drawing.line([(_RIGHT[0], axis.at(0)), (_RIGHT[1], axis.at(0))], "grey")
    for number in papers:
        y = axis.at(number)
        drawing.line([(_RIGHT[0], y), (_RIGHT[1], y)], "red", 1.4, DASHED, title="the paper's")
        drawing.line([(_RIGHT[0], _BELOW - 4), (_RIGHT[0] + 22, _BELOW - 4)], "red", 1.4, DASHED)
        drawing.text((_RIGHT[0] + 28, _BELOW), "paper", "red", "start")
    _dots(drawing, _CHANGES, found.values, axis, "soft", said)
    if found.interval:
        ends: Sequence[float] = found.interval
        drawing.line([(_MEAN, axis.at(end)) for end in ends], "ink", 2, title="95 % interval")
    drawing.diamond((_MEAN, axis.at(found.mean)), "ink", "mean")


def _dots(
    drawing: Drawing,
    x: float,
    values: Mapping[int, float],
    axis: Axis,
    colour: str,
    said: Callable[[float], str],
    whose: str = "",
) -> None:
    """A dot for each value; equal ones stand beside each other."""
    taken: list[float] = []
    for seed, value in values.items():
        aside = _BESIDE * taken.count(value)
        drawing.dot((x + aside, axis.at(value)), colour, f"{whose}seed {seed}: {said(value)}")
        taken.append(value)


def _signed(number: float) -> str:
    return f"{number:+.3g}".replace("-", "−") if number else "0"


def _ratio(number: float) -> str:
    return f"{2.0**number:.3g}"
