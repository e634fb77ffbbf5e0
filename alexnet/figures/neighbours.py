"""Images and those nearest to them (figure 4, right)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from alexnet.figures.style import SOFT, drawing

_SIDE = 1.05  # inches, of an image


@dataclass(frozen=True)
class Similar:
    """An image, uint8, H x W x C, and rows of its neighbours, the nearest first, by what is near.

    None stands for an image that cannot be shown.
    """

    pixels_HWC: np.ndarray
    rows: Sequence[tuple[str, Sequence[np.ndarray | None]]]


def similar_images(found: Sequence[Similar]) -> Figure:
    """Each image at the left, and beside it a row of its neighbours for each way of being near.

    As in the paper's figure the images are bare; what is near is named where there are several rows.
    """
    names = [name for name, _ in found[0].rows]
    across = 1 + max(len(row) for one in found for _, row in one.rows)
    down = len(found) * len(names)
    with drawing():
        size = (_SIDE * (across + 0.25), _SIDE * down)
        figure = Figure(figsize=size, layout="constrained")
        grid = figure.subplots(
            down, across + 1, width_ratios=[1, 0.12, *[1] * (across - 1)], squeeze=False
        )
        for axes in grid.flat:
            axes.axis("off")
        for place, one in enumerate(found):
            _show(grid[place * len(names), 0], one.pixels_HWC)
            for below, (name, row) in enumerate(one.rows):
                cells = grid[place * len(names) + below]
                if len(names) > 1:
                    _name(cells[1], name)
                for axes, pixels_HWC in zip(cells[2:], row, strict=False):
                    _show(axes, pixels_HWC)
    return figure


def _show(axes: Axes, pixels_HWC: np.ndarray | None) -> None:
    if pixels_HWC is None:
        axes.text(0.5, 0.5, "not there", ha="center", va="center", color=SOFT, fontsize=7)
    else:
        axes.imshow(pixels_HWC, interpolation="none")


def _name(axes: Axes, name: str) -> None:
    axes.text(0.5, 0.5, name, rotation=90, ha="center", va="center", color=SOFT, fontsize=7)
