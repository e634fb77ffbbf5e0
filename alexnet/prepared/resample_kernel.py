"""The kernel of `alexnet.prepared.resample`, compiled: all images but a process's first go through it."""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np
from numba import njit

_SHARPNESS = -0.5  # of the bicubic kernel; the value of Keys (1981), which Pillow has too
ROWS = 32  # of the result at a time: all sides are multiples of it


@njit(cache=True, inline="always")
def _bicubic(x):
    x, a = abs(x), _SHARPNESS
    if x < 1.0:
        return ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
    if x < 2.0:
        return (((x - 5.0) * x + 8.0) * x - 4.0) * a
    return 0.0


@njit(cache=True)
def _taps(length, side, places):
    """For each of `places` on the central `side` of `length` pixels: first tap, count, weights."""
    scale = side / places
    widened = max(scale, 1.0)  # shrinking averages over more pixels: this is the antialiasing
    offset = (length - side) / 2.0
    first_T = np.empty(places, np.int64)
    count_T = np.empty(places, np.int64)
    weights_TK = np.zeros((places, int(4.0 * widened) + 2), np.float32)
    for t in range(places):
        centre = offset + (t + 0.5) * scale
        first = max(0, int(np.floor(centre - 2.0 * widened + 0.5)))
        count = min(length, int(np.floor(centre + 2.0 * widened + 0.5))) - first
        total = 0.0
        for k in range(count):
            total += _bicubic((first + k + 0.5 - centre) / widened)
        for k in range(count):
            weights_TK[t, k] = _bicubic((first + k + 0.5 - centre) / widened) / total
        first_T[t], count_T[t] = first, count
    return first_T, count_T, weights_TK


@njit(cache=True, nogil=True)
def central_square(rgb_HWC, out_TT3):
    H, W, _ = rgb_HWC.shape
    T = out_TT3.shape[0]
    side = min(H, W)
    top_T, rows_T, down_TK = _taps(H, side, T)
    left_T, columns_T, across_TK = _taps(W, side, T)
    first, last = left_T[0], left_T[T - 1] + columns_T[T - 1]
    rows = rgb_HWC.reshape(H, W * 3)[:, first * 3 : last * 3]
    sums = np.empty((ROWS, rows.shape[1]), np.float32)
    # Turned, so that a column's sum too runs over neighbours in memory: [column, colour * row].
    turned = np.empty((last - first, 3 * ROWS), np.float32)
    shrunk = np.empty((T, 3 * ROWS), np.uint8)
    total = np.empty(3 * ROWS, np.float32)
    for y in range(0, T, ROWS):
        for n in range(ROWS):
            sums[n] = 0
            for k in range(rows_T[y + n]):
                weight, row = down_TK[y + n, k], rows[top_T[y + n] + k]
                for i in range(row.size):
                    sums[n, i] += weight * np.float32(row[i])
        for x in range(last - first):
            for c in range(3):
                for n in range(ROWS):
                    turned[x, c * ROWS + n] = sums[n, 3 * x + c]
        for x in range(T):
            total[:] = 0.5  # so that cutting the fraction off rounds
            for k in range(columns_T[x]):
                weight, column = across_TK[x, k], turned[left_T[x] - first + k]
                for i in range(column.size):
                    total[i] += weight * column[i]
            for i in range(total.size):
                value = min(max(total[i], np.float32(0)), np.float32(255))
                shrunk[x, i] = np.uint8(np.int32(value))
        for n in range(ROWS):
            for x in range(T):
                for c in range(3):
                    out_TT3[y + n, x, c] = shrunk[x, c * ROWS + n]
