"""The curves of a run: loss and error against epochs."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from scipy.optimize import isotonic_regression

from alexnet.figures.style import BLUE, GREY, ORANGE, SOFT, drawing

_MOST_DROPS = 12
_LINE = 0.08  # of a panel's height, a line of a label

PANELS = {"loss": "Loss", "top1_error": "Top-1 error"}


def curves(
    rows: Sequence[Mapping[str, Any]], panels: Sequence[str] = tuple(PANELS), classes: int = 0
) -> Figure:
    """Loss and top-1 error against epochs, from the rows of `metrics.jsonl`.

    Each line is named at its end. With a number of `classes` there is a line for chance: ln K, and
    1 - 1/K. Dotted lines stand where the rate was divided.
    """
    steps = [row for row in rows if row["kind"] == "step"]
    epochs = [row for row in rows if row["kind"] == "epoch"]
    chance = {"loss": np.log(classes), "top1_error": 1 - 1 / classes} if classes > 1 else {}
    with drawing():
        figure = Figure(figsize=(4.9 * len(panels), 3.1), layout="constrained")
        for place, key in enumerate(panels):
            axes = figure.add_subplot(1, len(panels), place + 1, title=PANELS[key], xlabel="epoch")
            axes.grid(axis="y")
            axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
            ends: list[_End] = []
            if steps:
                at, value = _averaged(steps, key)
                axes.plot(at, value, color=ORANGE, zorder=2)
                ends.append(_End("training,\naugmented", value[-1], ORANGE))
            if epochs:
                at = np.array([row["epoch"] for row in epochs])
                value = np.array([row[f"val_{key}"] for row in epochs])
                size = 3.5 if len(epochs) <= 30 else 0
                axes.plot(at, value, "o-", color=BLUE, markersize=size, zorder=3)
                ends.append(_End("validation,\ncentre view", value[-1], BLUE))
            if ends and key in chance:
                axes.axhline(chance[key], color=SOFT, linewidth=1, linestyle=(0, (5, 3)), zorder=1)
                ends.append(_End("chance", float(chance[key]), SOFT))
            for epoch, _ in drops(steps):
                axes.axvline(epoch, color=GREY, linewidth=1, linestyle=(0, (2, 3)), zorder=1)
            axes.set_xlim(left=0)
            axes.set_ylim(0, 1.08 * axes.get_ylim()[1])
            if key == "top1_error":
                axes.set_ylim(top=1)
                axes.yaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
            _name(axes, ends)
    return figure


def drops(rows: Sequence[Mapping[str, Any]]) -> list[tuple[float, float]]:
    """The epochs where the rate fell, each with what it was divided by; none for a rate that always
    moves.
    """
    steps = [row for row in rows if row["kind"] == "step"]
    if len({row["rate"] for row in steps}) > _MOST_DROPS:
        return []
    return [
        (float(after["epoch"]), before["rate"] / after["rate"])
        for before, after in itertools.pairwise(steps)
        if 0 < after["rate"] < before["rate"]
    ]


class _End(NamedTuple):
    """What a line is called, and where it ends."""

    label: str
    value: float
    colour: str


def _name(axes: Axes, ends: Sequence[_End]) -> None:
    """Name the lines at the right of a panel, each as near to its end as the others leave room."""
    if not ends:
        return
    low, high = axes.get_ylim()
    ends = sorted(ends, key=lambda one: -one.value)
    heights = np.array([_LINE * (high - low) * (1 + one.label.count("\n")) for one in ends])
    below = np.cumsum(heights) - heights / 2  # the middles of labels that stand on each other
    wanted = np.array([one.value for one in ends])
    middles = isotonic_regression(wanted + below, increasing=False).x - below
    for end, middle in zip(ends, middles.tolist(), strict=True):
        axes.annotate(
            end.label,
            (1, middle),
            xytext=(5, 0),
            xycoords=axes.get_yaxis_transform(),
            textcoords="offset points",
            color=end.colour,
            fontsize=8,
            va="center",
            linespacing=1.1,
            annotation_clip=False,
        )


def _averaged(steps: Sequence[Mapping[str, Any]], key: str) -> tuple[np.ndarray, np.ndarray]:
    """Averages of equal stretches of steps, at their middles; at most some two hundred of them."""
    at = np.array([row["epoch"] for row in steps], dtype=float)
    value = np.array([row[key] for row in steps], dtype=float)
    stretch = max(-(-len(at) // 200), min(8, -(-len(at) // 20)))
    starts = np.arange(0, len(at), stretch)
    counts = np.diff([*starts, len(at)])
    return np.add.reduceat(at, starts) / counts, np.add.reduceat(value, starts) / counts
