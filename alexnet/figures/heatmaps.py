"""Dissimilarity matrices as an image: one heat map for each layer, with keys or groups of them.

Shape letters: N images.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from alexnet.figures.style import INK, SOFT, drawing

_MOST_KEYS = 40  # beside a matrix that stands alone; more would not be legible
_MOST_KEYS_OF_SEVERAL = 16
_MOST_GROUPS = 30
_SOME = 12  # keys that are named where there are too many, and no groups
_ACROSS = 4
_LONGEST = 24  # characters
_LETTER = 0.07  # inches


def heat_maps(rdms: Mapping[str, np.ndarray], keys: Sequence[str], title: str) -> Figure:
    """Every matrix with its colour bar, which `title` explains; each has a scale of its own, and several
    say so.

    Few images are named at the sides; of many, the folders or names that their keys begin with, and lines
    stand between those. Where there are neither, every so many-th image is named.
    """
    across = min(len(rdms), _ACROSS)
    down = -(-len(rdms) // across)
    alone = len(rdms) == 1
    sides = _sides(keys, _MOST_KEYS if alone else _MOST_KEYS_OF_SEVERAL)
    side = min(3.6 + 0.16 * len(keys), 8.0) if alone else 3.4
    beside = _LETTER * max(map(len, sides.names), default=0)
    with drawing():
        size = (side * across + 0.9 + beside, (side + beside + 0.3) * down + 0.2)
        figure = Figure(figsize=size, layout="constrained")
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
            _name(axes, sides, place % across == 0)
        if not alone:
            said = "Each matrix has a colour scale of its own."
            figure.supxlabel(said, fontsize=9, color=SOFT, x=0.01, ha="left")
    return figure


def groups_of(keys: Sequence[str]) -> list[tuple[str, int, int]]:
    """Folders of keys like `cat/1.jpg`, or in one folder the beginnings of names like `cat_1.jpg`, each
    with its first image and the one after its last.

    None where all are of one, or where the images of one do not stand together.
    """
    return _together(keys, lambda key: key.rpartition("/")[0]) or _together(keys, _beginning)


def _together(keys: Sequence[str], of: Callable[[str], str]) -> list[tuple[str, int, int]]:
    groups, end = [], 0
    for name, members in groupby(map(of, keys)):
        first, end = end, end + len(list(members))
        groups.append((name, first, end))
    return groups if 1 < len(groups) == len({name for name, *_ in groups}) < len(keys) else []


def _beginning(key: str) -> str:
    """Of cat_01.jpg, cat: a name before its number, if it has both; else itself."""
    stem = os.path.splitext(key.rpartition("/")[2])[0]
    found = re.fullmatch(r"(.*?[^\W\d_])[\W_]*\d+", stem)
    return found[1] if found else stem


def names_of(keys: Sequence[str]) -> list[str]:
    """Keys as they are written beside a matrix: without the folder and the ending that all have.

    Where one is still long, without the words with which all begin; then it loses its middle, for names
    differ at their beginnings and at their ends.
    """
    folder = os.path.commonpath([os.path.dirname(key) for key in keys]) if keys else ""
    endings = {os.path.splitext(key)[1] for key in keys}
    ending = endings.pop() if len(endings) == 1 else ""
    names = [key.removeprefix(f"{folder}/").removesuffix(ending) or key for key in keys]
    if max(map(len, names), default=0) > _LONGEST:
        same = os.path.commonprefix(names)  # noqa: RUF071 - characters are meant
        words = re.match(r"(.*[\W_])?", same)
        names = [name[words.end() if words else 0 :] for name in names]
    return [_shortened(name) for name in names]


def _shortened(name: str) -> str:
    half = (_LONGEST - 1) // 2
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1 - half]}…{name[-half:]}"


def _interpolation(count: int) -> str:
    """More images than dots are averaged, not left out."""
    return "nearest" if count <= 500 else "antialiased"


class _Sides(NamedTuple):
    """What stands at the sides of a matrix: names at their places, lines, and how many are named."""

    places: Sequence[float]
    names: Sequence[str]
    lines: Sequence[float]
    said: str


def _sides(keys: Sequence[str], most: int) -> _Sides:
    """At most so many keys, or their groups, or some of the keys; and lines between groups."""
    groups = groups_of(keys)
    lines = [first - 0.5 for _, first, _ in groups[1:]]
    if len(keys) <= most:
        return _Sides(range(len(keys)), names_of(keys), lines, "")
    if 0 < len(groups) <= _MOST_GROUPS:
        places = [(first + end - 1) / 2 for _, first, end in groups]
        names = [_shortened(name.rpartition("/")[2]) for name, _, _ in groups]
        return _Sides(places, names, lines, "")
    step = -(-len(keys) // _SOME)
    said = f"{len(keys):,} images; 1 in {step} is named"
    return _Sides(range(0, len(keys), step), names_of(keys)[::step], lines, said)


def _name(axes: Axes, sides: _Sides, at_the_left: bool) -> None:
    """Names below a matrix and, of the first of a row, at its left; lines between groups."""
    axes.spines[:].set_visible(False)
    for at in sides.lines:
        style = {"color": "white", "linewidth": 0.8 if len(sides.lines) < _MOST_GROUPS else 0.3}
        axes.axhline(at, **style)  # type: ignore[arg-type]
        axes.axvline(at, **style)  # type: ignore[arg-type]
    names: Sequence[str] = sides.names
    size = 8 if len(names) <= 20 else 6.5
    axes.set_xticks(sides.places, names, rotation=90, fontsize=size, color=INK)
    left = (sides.places, names) if at_the_left else ([], [])
    axes.set_yticks(*left, fontsize=size)
    axes.tick_params(axis="y", labelcolor=INK)
    axes.set_xlabel(sides.said, fontsize=8)
