"""The confusion matrix.

Shape letters: K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from alexnet.figures.style import INK, LINE, RED, SOFT, drawing

_MOST_NAMED = 40  # classes; more would not be legible
_MOST_COUNTED = 25
_DARK = 0.75  # shares from here on are written in white


def confusion_matrix(counts_KK: np.ndarray, titles: Sequence[str]) -> Figure:
    """How many images of each class (rows) were predicted to be of each (columns); shares as colours:
    correct ones red, errors grey.
    """
    K = len(titles)
    shares_KK = counts_KK / np.maximum(counts_KK.sum(axis=1, keepdims=True), 1)
    rgba = np.zeros((K, K, 4))
    rgba[..., :3] = _rgb(SOFT)
    rgba[np.arange(K), np.arange(K), :3] = _rgb(RED)
    rgba[..., 3] = shares_KK**0.7  # a few errors are still seen
    with drawing():
        side = min(2.4 + 0.26 * K, 8.2)
        figure = Figure(figsize=(side, side), layout="constrained")
        axes = figure.subplots()
        axes.imshow(rgba, interpolation="none", extent=(0, K, K, 0))
        axes.set_xlabel("predicted class")
        axes.set_ylabel("true class")
        axes.xaxis.set_label_position("top")
        axes.xaxis.tick_top()
        for spine in axes.spines.values():
            spine.set_visible(True)
        if K <= _MOST_NAMED:
            middles = np.arange(K) + 0.5
            axes.set_xticks(middles, titles, rotation=90, fontsize=8)
            axes.set_yticks(middles, titles, fontsize=8)
            axes.hlines(np.arange(1, K), 0, K, color=LINE, linewidth=0.5, zorder=0)
            axes.vlines(np.arange(1, K), 0, K, color=LINE, linewidth=0.5, zorder=0)
        if K <= _MOST_COUNTED:
            for row, column in np.argwhere(counts_KK).tolist():
                _count(axes, row, column, int(counts_KK[row, column]), shares_KK[row, column])
    return figure


def _count(axes: Axes, row: int, column: int, count: int, share: float) -> None:
    colour = "white" if share >= _DARK else INK
    middle: dict[str, Any] = {"ha": "center", "va": "center"}
    axes.text(column + 0.5, row + 0.53, str(count), fontsize=7, color=colour, **middle)


def _rgb(colour: str) -> tuple[float, ...]:
    return tuple(int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5))
