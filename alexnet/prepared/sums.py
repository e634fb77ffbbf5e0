"""What the statistics are made of: exact integer sums over images.

Legend: H height, W width, C colours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit


@dataclass(frozen=True, slots=True)
class Sums:
    """Exact integer sums over images: addition in any order gives the same bits.

    `pixels_HWC` int64 is the sum over images, `products_CC` int64 the sum over images and pixels
    of the products of two colours.
    """

    images: int
    pixels_HWC: np.ndarray
    products_CC: np.ndarray

    @classmethod
    def zero(cls, side: int) -> Sums:
        """Of no images of side x side pixels."""
        return cls(0, np.zeros((side, side, 3), np.int64), np.zeros((3, 3), np.int64))

    def __add__(self, other: Sums) -> Sums:
        return Sums(
            self.images + other.images,
            self.pixels_HWC + other.pixels_HWC,
            self.products_CC + other.products_CC,
        )


class Summing:
    """Adds up the images of one shard, each in one pass."""

    def __init__(self, side: int) -> None:
        self._count = 0
        self._pixels_HWC = np.zeros((side, side, 3), np.uint32)  # good for 16 million images
        self._products_6 = np.zeros(6, np.int64)

    def add(self, rgb_HWC: np.ndarray) -> None:
        """One more image, uint8 side x side x 3."""
        _add(rgb_HWC, self._pixels_HWC, self._products_6)
        self._count += 1

    def total(self) -> Sums:
        """Of all that were added."""
        rr, rg, rb, gg, gb, bb = self._products_6
        products_CC = np.array([[rr, rg, rb], [rg, gg, gb], [rb, gb, bb]])
        return Sums(self._count, self._pixels_HWC.astype(np.int64), products_CC)


@njit(cache=True, nogil=True)
def _add(rgb_HWC, pixels_HWC, products_6):  # type: ignore[no-untyped-def]
    H, W, _ = rgb_HWC.shape
    for y in range(H):
        row, sums = rgb_HWC[y].reshape(-1), pixels_HWC[y].reshape(-1)
        for i in range(row.size):
            sums[i] += np.uint32(row[i])
        rr = rg = rb = gg = gb = bb = np.uint32(0)  # 256 * 255^2 is far below 2^32
        for x in range(W):
            r, g, b = np.uint32(row[3 * x]), np.uint32(row[3 * x + 1]), np.uint32(row[3 * x + 2])
            rr += np.uint32(r * r)
            rg += np.uint32(r * g)
            rb += np.uint32(r * b)
            gg += np.uint32(g * g)
            gb += np.uint32(g * b)
            bb += np.uint32(b * b)
        products_6[0] += rr
        products_6[1] += rg
        products_6[2] += rb
        products_6[3] += gg
        products_6[4] += gb
        products_6[5] += bb
