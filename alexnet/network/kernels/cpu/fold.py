"""A convolution with a stride as one without: images and kernels folded into squares of pixels.

A square of stride x stride pixels becomes one pixel with stride^2 times the maps, and a kernel of
size x size one of ceil(size / stride) in each dimension, its missing edge filled with zeros: 11 x 11 x 3
at stride 4 is 3 x 3 x 48. The sums are the same; only the zeros are new.

Shape letters: N images, H x W pixels, C maps, Y x X squares; K kernels, S their size.
"""

# Numba compiles these functions for the types they are called with, so they carry no annotations.
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np
from numba import njit, prange


def fold_images(x_NHWC: np.ndarray, stride: int, squares: int) -> np.ndarray:
    """N x squares x squares x (stride^2 C); zeros where the image does not reach."""
    N, H, W, C = x_NHWC.shape
    folded = np.empty((N, squares, squares, stride * stride * C), x_NHWC.dtype)
    _fold(x_NHWC, stride, folded)
    return folded


@njit(cache=True, parallel=True)
def _fold(x_NHWC, stride, folded_NYXC):
    N, H, W, C = x_NHWC.shape
    _, Y, X, _ = folded_NYXC.shape
    run = stride * C
    for task in prange(N * Y):
        n, y = task // Y, task % Y
        for row in range(stride):
            h = y * stride + row
            for x in range(X):
                out = folded_NYXC[n, y, x, row * run : (row + 1) * run]
                if h < H and (x + 1) * stride <= W:
                    pixels = x_NHWC[n, h, x * stride : (x + 1) * stride].reshape(-1)
                    for i in range(run):
                        out[i] = pixels[i]
                else:
                    for i in range(run):
                        w = x * stride + i // C
                        out[i] = x_NHWC[n, h, w, i % C] if h < H and w < W else x_NHWC.dtype.type(0)


def unfold_images(folded_NYXC: np.ndarray, stride: int, side: int) -> np.ndarray:
    """The reverse of `fold_images`: N x side x side x C."""
    N, Y, X, _ = folded_NYXC.shape
    squares = folded_NYXC.reshape(N, Y, X, stride, stride, -1)
    pixels = squares.transpose(0, 1, 3, 2, 4, 5).reshape(N, Y * stride, X * stride, -1)
    return np.ascontiguousarray(pixels[:, :side, :side])


def fold_kernels(weight_KCSS: np.ndarray, stride: int) -> np.ndarray:
    """K x (stride^2 C) x s x s with s = ceil(S / stride), maps in the order of `fold_images`."""
    K, C, S, _ = weight_KCSS.shape
    small = -(-S // stride)
    missing = (0, small * stride - S)
    full = np.pad(weight_KCSS, ((0, 0), (0, 0), missing, missing))
    squares = full.reshape(K, C, small, stride, small, stride).transpose(0, 3, 5, 1, 2, 4)
    return np.ascontiguousarray(squares).reshape(K, -1, small, small)


def unfold_kernels(folded_KCss: np.ndarray, stride: int, size: int) -> np.ndarray:
    """The reverse of `fold_kernels`, without the zeros at the edge: K x C x size x size."""
    K, _, small, _ = folded_KCss.shape
    squares = folded_KCss.reshape(K, stride, stride, -1, small, small).transpose(0, 3, 4, 1, 5, 2)
    full = squares.reshape(K, -1, small * stride, small * stride)
    return np.ascontiguousarray(full[:, :, :size, :size])
