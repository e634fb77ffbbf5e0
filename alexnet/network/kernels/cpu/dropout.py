"""The kernel of ReLU and dropout: the mask is drawn where it is used (section 4.2)."""

# Numba compiles these functions for the types they are called with, so they carry no annotations.
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np
from numba import njit, prange

from alexnet import paper
from alexnet.base.philox import philox
from alexnet.base.randomness import Purpose

_LIMIT = round((1 - paper.DROPOUT) * 2**32)  # random words below it keep their unit


def forward(
    x_NU: np.ndarray,
    address: tuple[int, int, int],
    lane: int,
    units: int,
    start: int,
    y_NU: np.ndarray,
) -> None:
    """y = relu(x) where the mask is one, else zero; x has units `start` and following of `units`.

    `address` is (seed, step, number of the first row).
    """
    seed, step, row = address
    numbers = (seed, int(Purpose.DROPOUT), step, lane, _LIMIT)
    _forward(x_NU, *(np.uint64(number) for number in numbers), row, units, start, y_NU)  # type: ignore[call-arg]


@njit(cache=True, parallel=True)
def _forward(x_NU, seed, purpose, step, lane, limit, row, units, start, y_NU):
    low, shift, zero = np.uint64(0xFFFFFFFF), np.uint64(32), x_NU.dtype.type(0)
    k0, k1 = seed & low, seed >> shift
    rows, width = x_NU.shape
    for n in prange(rows):
        first = (row + n) * units + start
        for block in range(first // 4, (first + width + 3) // 4):
            place = np.uint64(block)
            above = (place >> shift) | (lane << np.uint64(8))
            words = philox(place & low, above, step, purpose, k0, k1)
            for word in range(4):
                u = 4 * block + word - first
                if 0 <= u < width:
                    x = x_NU[n, u]
                    kept = x if words[word] < limit else x * zero  # inf * 0 is no number
                    y_NU[n, u] = zero if kept <= zero else kept
