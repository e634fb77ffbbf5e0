"""The kernel of ReLU and dropout: the mask is drawn where it is used (section 4.2)."""

# Numba compiles these functions for the types they are called with, so they carry no annotations.
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np
from numba import njit, prange

from alexnet import paper
from alexnet.randomness import Purpose, philox

_LIMIT = round((1 - paper.DROPOUT) * 2**32)  # random words below it keep their unit
_PIECE = 1 << 14  # units at a time; a multiple of the four that one address gives


def forward(x: np.ndarray, seed: int, step: int, lane: int, y: np.ndarray) -> None:
    """y = relu(x) where the mask of (seed, step, lane) is one, else zero; x and y are flat."""
    numbers = (seed, int(Purpose.DROPOUT), step, lane, _LIMIT)
    _forward(x, *(np.uint64(number) for number in numbers), y)  # type: ignore[call-arg]


@njit(cache=True, parallel=True)
def _forward(x, seed, purpose, step, lane, limit, y):
    low, shift, zero = np.uint64(0xFFFFFFFF), np.uint64(32), x.dtype.type(0)
    k0, k1 = seed & low, seed >> shift
    for piece in prange((x.size + _PIECE - 1) // _PIECE):
        first = piece * _PIECE
        for block in range(first // 4, (min(first + _PIECE, x.size) + 3) // 4):
            place = np.uint64(block)
            above = (place >> shift) | (lane << np.uint64(8))
            words = philox(place & low, above, step, purpose, k0, k1)
            for n in range(4):
                unit = 4 * block + n
                if unit < x.size:
                    kept = x[unit] if words[n] < limit else x[unit] * zero  # inf * 0 is no number
                    y[unit] = zero if kept <= zero else kept
