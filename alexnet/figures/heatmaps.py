"""Dissimilarity matrices as an image: one heat map for each layer, with keys or groups of them.

Shape letters: N images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from alexnet.figures.style import INK, SOFT, drawing

_MOST_KEYS = 40  # beside a matrix that stands alone; more would not be legible
_MOST_KEYS_OF_SEVERAL = 16
_MOST_GROUPS = 30
_ACROSS = 4
_LONGEST = 24  # characters


def heat_maps(rdms: Mapping[str, np.ndarray], keys: Sequence[str], title: str) -> Figure:
    """Every matrix with its colour bar, which `title` explains.

    Few images are named at the sides; of many, the folders that their keys begin with, and lines
    stand between those.
    """
    across = min(len(rdms), _ACROSS)
    down = -(-len(rdms) // across)
    alone = len(rdms) == 1
    side = min(3.6 + 0.16 * len(keys), 8.0) if alone else 3.4
    with drawing():
        figure = Figure(figsize=(side * across + 0.9, side * down), layout="constrained")
        cells = figure.subplots(down, across, squeeze=False)
        for place in range(across * down):
            axes = cells[divmod(place, across)]
            if place >= len(rdms):
                axes.axis("off")
                continue
            name, rdm_NN = list(rdms.items())[place]
            shown = axes.imshow(rdm_NN, cmap="viridis", interpolation=_interpolation(len(keys)))
            axes.set_title(name)
            bar = figure.colorbar(shown, ax=axes, shrink=0.82, aspect=26, pad=0.02)
            bar.outline.set_visible(False)
            if alone or place % across == across - 1 or place == len(rdms) - 1:
                bar.set_label(title, color=SOFT)
            most = _MOST_KEYS if alone else _MOST_KEYS_OF_SEVERAL
            _name(axes, keys, most, place % across == 0)
    return figure


def groups_of(keys: Sequence[str]) -> list[tuple[str, int, int]]:
    """Folders of keys like `cat/1.jpg`, each with its first image and the one after its last.

    None where all are in one folder, or where a folder's images do not stand together.
    """
    folders = [key.rpartition("/")[0] for key in keys]
    runs, end = [], 0
    for folder, members in groupby(folders):
        first, end = end, end + len(list(members))
        runs.append((folder, first, end))
    return runs if 1 < len(runs) == len(set(folders)) else []


def _interpolation(count: int) -> str:
    """More images than dots are averaged, not left out."""
    return "nearest" if count <= 500 else "antialiased"


def _name(axes: Axes, keys: Sequence[str], most: int, at_the_left: bool) -> None:
    """At most so many keys, or folders, below and at the left, and lines between folders."""
    groups = groups_of(keys)
    axes.spines[:].set_visible(False)
    for _, first, _ in groups[1:]:
        style = {"color": "white", "linewidth": 0.8 if len(groups) <= _MOST_GROUPS else 0.3}
        axes.axhline(first - 0.5, **style)  # type: ignore[arg-type]
        axes.axvline(first - 0.5, **style)  # type: ignore[arg-type]
    places: list[float] = []
    names: list[str] = []
    if len(keys) <= most:
        places, names = list(range(len(keys))), list(keys)
    elif 0 < len(groups) <= _MOST_GROUPS:
        places = [(first + end - 1) / 2 for _, first, end in groups]
        names = [folder.rpartition("/")[2] for folder, _, _ in groups]
    shortened = [name if len(name) <= _LONGEST else "…" + name[1 - _LONGEST :] for name in names]
    size = 8 if len(names) <= 20 else 6.5
    axes.set_xticks(places, shortened, rotation=90, fontsize=size, color=INK)
    axes.set_yticks(places if at_the_left else [], shortened if at_the_left else [], fontsize=size)
    axes.tick_params(axis="y", labelcolor=INK)
