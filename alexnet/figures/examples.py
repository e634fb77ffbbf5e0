"""Images with the labels that a model finds most probable, as bars (figure 4, left)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from alexnet import paper
from alexnet.figures.style import GREY, INK, RED, SOFT, drawing

_WIDEST = 1.22  # where the probabilities end that are written at the right; the bars reach to 1


class Bar(NamedTuple):
    """A label's name as people read it, its probability (0 to 1), and whether it is the correct one."""

    title: str
    probability: float
    is_correct: bool


@dataclass(frozen=True)
class Example:
    """An image with the name of its label, and its most probable labels, first choice first."""

    pixels_HWC: np.ndarray
    title: str
    bars: tuple[Bar, ...]

    @property
    def is_right(self) -> bool:
        """Whether the first choice is the correct label."""
        return self.bars[0].is_correct


def predictions_with_bars(examples: Sequence[Example]) -> Figure:
    """Images with their most probable labels as bars, the correct one in red (figure 4, left).

    Probabilities are written at the right, in per cent.
    """
    across = min(len(examples), 4)
    down = -(-len(examples) // across)
    with drawing():
        figure = Figure(figsize=(2.3 * across, 3.6 * down), layout="constrained")
        cells = figure.subplots(2 * down, across, height_ratios=[2.1, 1] * down, squeeze=False)
        for place, example in enumerate(examples):
            row, column = divmod(place, across)
            _image(cells[2 * row, column], example)
            _bars(cells[2 * row + 1, column], example)
        for place in range(len(examples), across * down):
            row, column = divmod(place, across)
            cells[2 * row, column].axis("off")
            cells[2 * row + 1, column].axis("off")
    return figure


def _image(axes: Axes, example: Example) -> None:
    axes.imshow(example.pixels_HWC, interpolation="none")
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_xlabel(_shortened(example.title), color=INK, fontsize=10, fontweight="bold")


def _bars(axes: Axes, example: Example) -> None:
    at = np.arange(len(example.bars))
    colours = [RED if one.is_correct else GREY for one in example.bars]
    probabilities = [one.probability for one in example.bars]
    axes.barh(at, probabilities, height=0.78, color=colours, alpha=0.6)
    style: Any = {"va": "center", "fontsize": 8, "color": INK}
    for place, one in enumerate(example.bars):
        axes.text(0.02, place, _shortened(one.title), **style)
        axes.text(_WIDEST, place, f"{100 * one.probability:.0f} %", ha="right", **style)
    axes.set_xlim(0, _WIDEST)
    axes.set_ylim(paper.TOP - 0.5, -0.5)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    axes.axvline(0, color=SOFT, linewidth=1)


def _shortened(title: str, most: int = 26) -> str:
    return title if len(title) <= most else title[: most - 1] + "…"
