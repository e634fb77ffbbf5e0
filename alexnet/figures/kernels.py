"""The kernels of the first layer (figure 3).

Shape letters: M kernels, H x W pixels, C colours.
"""

from __future__ import annotations

import numpy as np

from alexnet import paper

_IN_A_ROW = 16  # figure 3: three rows of sixteen for each half
_ENLARGED = 6  # pixels of the image for each of a kernel's
_GAP = 4
_GAP_BETWEEN_HALVES = 20


def first_layer_kernels(weights_MCHW: np.ndarray, columns: int = paper.COLUMNS) -> np.ndarray:
    """The first layer's kernels as an image: uint8 RGBA, transparent in between (figure 3).

    The kernels of the first column stand above those of the second, if there is one. Zero is middle
    grey, and each kernel's largest weight reaches black or white.
    """
    M, C, H, W = weights_MCHW.shape
    largest_M = np.abs(weights_MCHW).max(axis=(1, 2, 3))
    scaled = weights_MCHW / np.maximum(largest_M, np.finfo(np.float32).tiny)[:, None, None, None]
    pixels = np.round((scaled.transpose(0, 2, 3, 1) + 1) / 2 * paper.LARGEST_VALUE).astype(np.uint8)
    pixels = pixels.repeat(_ENLARGED, axis=1).repeat(_ENLARGED, axis=2)
    half = M // columns
    rows_in_half = -(-half // _IN_A_ROW)
    pitch = H * _ENLARGED + _GAP
    height = columns * (rows_in_half * pitch - _GAP) + (columns - 1) * _GAP_BETWEEN_HALVES
    image = np.zeros((height, min(half, _IN_A_ROW) * pitch - _GAP, 4), np.uint8)
    for m in range(M):
        column, place = divmod(m, half)
        row, across = divmod(place, _IN_A_ROW)
        top = column * (rows_in_half * pitch - _GAP + _GAP_BETWEEN_HALVES) + row * pitch
        cell = image[top:, across * pitch :][: H * _ENLARGED, : W * _ENLARGED]
        cell[..., :C], cell[..., 3] = pixels[m], paper.LARGEST_VALUE
    return image
