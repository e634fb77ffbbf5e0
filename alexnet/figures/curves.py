"""The curves of a run: loss and error against epochs."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from alexnet.figures.style import BLUE, GREY, INK, ORANGE, drawing

_MOST_DROPS = 12

PANELS = {"loss": "Loss", "top1_error": "Top-1 error"}


def curves(rows: Sequence[Mapping[str, Any]], panels: Sequence[str] = tuple(PANELS)) -> Figure:
    """Loss and top-1 error against epochs, from the rows of `metrics.jsonl`; dotted lines stand
    where the rate was divided.
    """
    steps = [row for row in rows if row["kind"] == "step"]
    epochs = [row for row in rows if row["kind"] == "epoch"]
    with drawing():
        figure = Figure(figsize=(4.3 * len(panels), 3.1), layout="constrained")
        for place, key in enumerate(panels):
            axes = figure.add_subplot(1, len(panels), place + 1, title=PANELS[key], xlabel="epoch")
            axes.grid(axis="y")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            if steps:
                at, value = _averaged(steps, key)
                axes.plot(at, value, color=ORANGE, label="training, augmented", zorder=2)
            if epochs:
                at = np.array([row["epoch"] for row in epochs])
                value = np.array([row[f"val_{key}"] for row in epochs])
                size = 3.5 if len(epochs) <= 30 else 0
                label = "validation, centre view"
                axes.plot(at, value, "o-", color=BLUE, markersize=size, label=label, zorder=3)
            for epoch in _drops(steps):
                axes.axvline(epoch, color=GREY, linewidth=1, linestyle=(0, (2, 3)), zorder=1)
            axes.set_xlim(left=0)
            axes.set_ylim(bottom=0)
            if key == "top1_error":
                axes.set_ylim(top=1)
                axes.yaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
            if steps or epochs:
                axes.legend(frameon=False, fontsize=8, labelcolor=INK, loc="upper right")
    return figure


def _averaged(steps: Sequence[Mapping[str, Any]], key: str) -> tuple[np.ndarray, np.ndarray]:
    """Averages of equal stretches of steps, at their middles; at most some two hundred of them."""
    at = np.array([row["epoch"] for row in steps], dtype=float)
    value = np.array([row[key] for row in steps], dtype=float)
    stretch = max(-(-len(at) // 200), min(8, -(-len(at) // 20)))
    starts = np.arange(0, len(at), stretch)
    counts = np.diff([*starts, len(at)])
    return np.add.reduceat(at, starts) / counts, np.add.reduceat(value, starts) / counts


def _drops(steps: Sequence[Mapping[str, Any]]) -> list[float]:
    """The epochs where the rate fell; none for a rate that always moves."""
    if len({row["rate"] for row in steps}) > _MOST_DROPS:
        return []
    pairs = itertools.pairwise(steps)
    return [float(after["epoch"]) for before, after in pairs if after["rate"] < before["rate"]]
