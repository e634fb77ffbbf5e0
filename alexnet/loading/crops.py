"""Crops and reflections of 256 x 256 images (section 4.1): pure geometry.

Training, evaluation and prediction all cut their views here. The mean image is subtracted at the
place the view is cut from, as if it had been subtracted from the whole image first (section 2).

Shape letters: N images, V views, H x W pixels, C colours.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from alexnet import paper
from alexnet.base.randomness import Purpose, words

ROOM = paper.SIDE - paper.CROP  # pixels: so much is a crop smaller than its image


class View(NamedTuple):
    """A crop's upper left corner, and whether it is reflected left to right."""

    top: int
    left: int
    reflected: bool


def random_views(
    seed: int, epoch: int, indices_N: np.ndarray, reflections: bool, room: int = ROOM
) -> np.ndarray:
    """One training view per image: 32 x 32 places, reflected or not ("a factor of 2048").

    `room` is how many pixels a crop is smaller than the image. int64, N x 3: the fields of a `View`.
    """
    places = max(room, 1)
    draws_N4 = words(seed, Purpose.CROP, epoch, indices_N).astype(np.uint64)
    views_N3 = np.zeros((len(draws_N4), 3), np.int64)
    views_N3[:, :2] = (draws_N4[:, :2] * np.uint64(places)) >> np.uint64(32)
    if reflections:
        views_N3[:, 2] = draws_N4[:, 2] & np.uint64(1)
    return views_N3


def shared_views(
    seed: int, places_N: np.ndarray, reflections: bool, room: int = ROOM
) -> np.ndarray:
    """The original program's: one view for 32 images that follow each other, of one place more.

    `places_N` are the images' in the sequence of all epochs. int64, N x 3: the fields of a `View`.
    """
    groups_N = places_N // paper.PROGRAM_CROP_GROUP
    return random_views(seed, 0, groups_N, reflections, room + 1)


def views(count: int, room: int = ROOM) -> list[View]:
    """The views of evaluation: the centre alone (1), or four corners and centre, then reflected (10).

    `room` is how many pixels a crop is smaller than the image.
    """
    centre = View(room // 2, room // 2, False)
    if count == 1:
        return [centre]
    if count != paper.VIEWS:
        raise ValueError(f"views must be 1 or {paper.VIEWS}; got {count}")
    corners = [View(top, left, False) for top in (0, room) for left in (0, room)]
    five = [*corners, centre]
    return [*five, *(view._replace(reflected=True) for view in five)]


def cut_views(
    image_HWC: np.ndarray,
    mean_HWC: np.ndarray,
    count: int,
    crop: int = paper.CROP,
    out_VHWC: np.ndarray | None = None,
) -> np.ndarray:
    """The 1 or 10 evaluation views of one image: float32, V x crop x crop x 3, in `out_VHWC` if given.

    In plain NumPy, which a few images are done with before the kernel of `cutting` is even loaded.
    """
    assert image_HWC.dtype == np.uint8 and image_HWC.shape == mean_HWC.shape
    if out_VHWC is None:
        out_VHWC = np.empty((count, crop, crop, 3), np.float32)
    for view, out_HWC in zip(views(count, len(image_HWC) - crop), out_VHWC, strict=True):
        place = slice(view.top, view.top + crop), slice(view.left, view.left + crop)
        turned = slice(None, None, -1 if view.reflected else 1)
        np.subtract(image_HWC[place][:, turned], mean_HWC[place][:, turned], out=out_HWC)
    return out_VHWC
