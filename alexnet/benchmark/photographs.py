"""Images to measure on, made from the photographs that scikit-image and scikit-learn install.

Legend: H height, W width, C colours; all pixels uint8.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from itertools import cycle, islice

import numpy as np
from PIL import Image, ImageOps

from alexnet import paper
from alexnet.sources.photos import PHOTOGRAPHS, locate

QUALITIES = (90, 92, 95)
GRAIN = 8.0  # standard deviation of the noise: enlarged photographs have none, a camera's have
_TILE = (375, 500)  # pixels of noise, repeated


def views(count: int) -> Iterator[np.ndarray]:
    """Square cuts of at least 256 pixels, scaled to 256 x 256 x 3: as detailed as a real set's."""
    draw = np.random.default_rng(0)
    size = (paper.SIDE, paper.SIDE)
    photos = [_open(place) for place in PHOTOGRAPHS.values()]
    for photo in islice(cycle(photos), count):
        most = min(photo.size)
        side = int(draw.integers(min(paper.SIDE, most), most, endpoint=True))
        left = int(draw.integers(photo.width - side, endpoint=True))
        top = int(draw.integers(photo.height - side, endpoint=True))
        box = (left, top, left + side, top + side)
        yield np.asarray(photo.resize(size, Image.Resampling.BICUBIC, box=box))


def full_size(width: int, height: int, count: int) -> Iterator[bytes]:
    """JPEG files of `count` photographs, cut to these proportions, scaled, and with grain."""
    tile_HWC = np.random.default_rng(0).normal(0, GRAIN, (*_TILE, 3)).astype(np.float32)
    times = -(-height // _TILE[0]), -(-width // _TILE[1])
    grain_HWC = np.tile(tile_HWC, (*times, 1))[:height, :width]
    places = islice(cycle(PHOTOGRAPHS.values()), count)
    for place, quality in zip(places, cycle(QUALITIES), strict=False):
        photo = ImageOps.fit(_open(place), (width, height), Image.Resampling.BICUBIC)
        pixels_HWC = np.clip(np.asarray(photo) + grain_HWC, 0, 255).astype(np.uint8)
        file = io.BytesIO()
        Image.fromarray(pixels_HWC).save(file, "JPEG", quality=quality)
        yield file.getvalue()


def with_comment(jpeg: bytes, number: int) -> bytes:
    """The same image in a file of other bytes: a comment holds the number."""
    comment = b"%d" % number
    marker = b"\xff\xfe" + (2 + len(comment)).to_bytes(2, "big")
    return jpeg[:2] + marker + comment + jpeg[2:]


def _open(place: str) -> Image.Image:
    with Image.open(locate(place)) as image:
        return image.convert("RGB")
