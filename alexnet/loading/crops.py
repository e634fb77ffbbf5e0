"""Crops and reflections of 256 x 256 pictures (section 4.1): pure geometry, and the one kernel.

Training, evaluation and prediction all cut their views here. The mean image is subtracted at the
place the view is cut from, as if it had been subtracted from the whole picture first (section 2).

Shape letters: N pictures, V views, H x W pixels, C colours.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from alexnet import paper
from alexnet.randomness import Purpose, words

_NO_SHIFT = np.zeros(3, np.float32)


class View(NamedTuple):
    """A crop's upper left corner, and whether it is reflected left to right."""

    top: int
    left: int
    reflected: bool


def random_views(seed: int, epoch: int, indices_N: np.ndarray, reflections: bool) -> list[View]:
    """One training view per picture: 32 x 32 places, reflected or not ("a factor of 2048")."""
    places = paper.SIDE - paper.CROP
    draws_N4 = words(seed, Purpose.CROP, epoch, indices_N).astype(np.uint64)
    corners = (draws_N4[:, :2] * np.uint64(places)) >> np.uint64(32)
    return [
        View(int(top), int(left), bool(reflections and word & 1))
        for (top, left), word in zip(corners, draws_N4[:, 2], strict=True)
    ]


def views(count: int) -> list[View]:
    """The views of evaluation: the centre alone (1), or four corners and centre, then reflected (10)."""
    edge = paper.SIDE - paper.CROP
    centre = View(edge // 2, edge // 2, False)
    if count == 1:
        return [centre]
    if count != paper.VIEWS:
        raise ValueError(f"views must be 1 or {paper.VIEWS}; got {count}")
    corners = [View(top, left, False) for top in (0, edge) for left in (0, edge)]
    five = [*corners, centre]
    return [*five, *(view._replace(reflected=True) for view in five)]


def cut(
    image_HWC: np.ndarray,
    mean_HWC: np.ndarray,
    view: View,
    out_HWC: np.ndarray,
    shift_C: np.ndarray = _NO_SHIFT,
) -> None:
    """Write the view of (picture - mean) + shift into `out_HWC` (float32, 224 x 224 x 3)."""
    _cut(image_HWC, mean_HWC, view.top, view.left, view.reflected, shift_C, out_HWC)


def cut_views(
    image_HWC: np.ndarray, mean_HWC: np.ndarray, count: int, out: np.ndarray | None = None
) -> np.ndarray:
    """The 1 or 10 evaluation views of one picture: float32, V x 224 x 224 x 3."""
    if out is None:
        out = np.empty((count, paper.CROP, paper.CROP, 3), np.float32)
    for place, view in enumerate(views(count)):
        cut(image_HWC, mean_HWC, view, out[place])
    return out


@njit(cache=True, nogil=True)
def _cut(image_HWC, mean_HWC, top, left, reflected, shift_C, out_HWC):  # type: ignore[no-untyped-def]
    H, W, _ = out_HWC.shape
    red, green, blue = shift_C
    for y in range(H):
        pixels = image_HWC[top + y, left : left + W]
        means = mean_HWC[top + y, left : left + W]
        out = out_HWC[y]
        if reflected:
            for x in range(W):
                out[W - 1 - x, 0] = pixels[x, 0] - means[x, 0] + red
                out[W - 1 - x, 1] = pixels[x, 1] - means[x, 1] + green
                out[W - 1 - x, 2] = pixels[x, 2] - means[x, 2] + blue
        else:
            for x in range(W):
                out[x, 0] = pixels[x, 0] - means[x, 0] + red
                out[x, 1] = pixels[x, 1] - means[x, 1] + green
                out[x, 2] = pixels[x, 2] - means[x, 2] + blue
