"""The central square of an image at 256x256 or 32x32: bicubic, antialiased, in one pass over its rows.

Each row of the result is a weighted sum of rows of the image, kept in float32, and then of its
columns; only the end is rounded. Products and sums are plain float32 in a fixed order, so the bytes
are the same on every machine.

Legend: H, W height and width of the image, T places of the result, K taps of one place.
"""

from __future__ import annotations

import sys

import numpy as np

_SHARPNESS = -0.5  # of the bicubic kernel; the value of Keys (1981), which Pillow has too
_MOST_PLAIN = 2**22  # pixels of an image for which loading a compiler would take longer


def central_square(rgb_HWC: np.ndarray, out_TT3: np.ndarray) -> None:
    """Fill `out_TT3`, uint8 T x T x 3, with the central square of `rgb_HWC`, uint8 H x W x 3.

    A program that has no other use for the compiler yet is done with an image before it is loaded.
    """
    if "numba" in sys.modules or rgb_HWC[..., 0].size > _MOST_PLAIN:
        from alexnet.prepared import resample_kernel

        assert len(out_TT3) % resample_kernel.ROWS == 0
        resample_kernel.central_square(np.ascontiguousarray(rgb_HWC), out_TT3)
    else:
        out_TT3[...] = plain_central_square(rgb_HWC, len(out_TT3))


def plain_central_square(rgb_HWC: np.ndarray, places: int) -> np.ndarray:
    """What the kernel computes, with the same bits, in NumPy: uint8 T x T x 3 for T `places`."""
    H, W, _ = rgb_HWC.shape
    side, T = min(H, W), places
    sums_TW3 = np.zeros((T, W, 3), np.float32)
    for row_T, weight_T in _taps(H, side, T):
        sums_TW3 += weight_T[:, None, None] * rgb_HWC[row_T].astype(np.float32)
    total_TT3 = np.full((T, T, 3), 0.5, np.float32)  # so that cutting the fraction off rounds
    for column_T, weight_T in _taps(W, side, T):
        total_TT3 += weight_T[None, :, None] * sums_TW3[:, column_T]
    return total_TT3.clip(0, 255).astype(np.int32).astype(np.uint8)


def _taps(length: int, side: int, places: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each of `places` on the central `side` of `length` pixels, tap by tap: which, its weight."""
    scale = side / places
    widened = max(scale, 1.0)  # shrinking averages over more pixels: this is the antialiasing
    centre_T = (length - side) / 2.0 + (np.arange(places) + 0.5) * scale
    first_T = np.maximum(0, np.floor(centre_T - 2.0 * widened + 0.5).astype(np.int64))
    end_T = np.minimum(length, np.floor(centre_T + 2.0 * widened + 0.5).astype(np.int64))
    taps = [first_T + k for k in range((end_T - first_T).max())]
    found = [
        np.where(tap_T < end_T, _bicubic((tap_T + 0.5 - centre_T) / widened), 0.0) for tap_T in taps
    ]
    total_T = np.zeros(places)
    for value_T in found:  # one after the other, for the same bits
        total_T += value_T
    return [
        (np.minimum(tap_T, length - 1), (value_T / total_T).astype(np.float32))
        for tap_T, value_T in zip(taps, found, strict=True)
    ]


def _bicubic(x_T: np.ndarray) -> np.ndarray:
    x, a = np.abs(x_T), _SHARPNESS
    near = ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
    far = (((x - 5.0) * x + 8.0) * x - 4.0) * a
    return np.where(x < 1.0, near, np.where(x < 2.0, far, 0.0))
