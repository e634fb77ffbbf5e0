"""The CPU kernel of a normalization block: bias, ReLU, response normalization and max-pooling at once.

One image is one unit of work, and one row of it stays in the cache from the convolution's output to
the pooled result. Rows are held *padded*: each column's maps lie between `radius` zeros on both
sides, so that the window sum of a whole row is one long loop that never crosses into the other
column. Window sums are computed again in the backward pass instead of being stored; only one byte
per output remembers where a maximum was.

Shape letters: N images, H x W positions of the input, Y x X of the pooled output, C kernel maps,
P padded maps (C and the zeros between the columns). All arrays are channels-last and contiguous.
"""

# Numba compiles these functions for the types they are called with, so they carry no annotations.
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np
from numba import njit, prange

# Contraction to fused multiply-add and no signed zeros; sums keep their order.
_FAST = {"contract", "nsz", "arcp"}


@njit(cache=True, fastmath=_FAST, error_model="numpy")
def _activate(x_WC, bias_C, width, radius, a):
    """Write a = relu(x + bias) into the padded row `a`, whose zeros between columns stay."""
    W, C = x_WC.shape
    zero = x_WC.dtype.type(0)
    place = 2 * radius
    for w in range(W):
        for first in range(0, C, width):
            x, bias = x_WC[w, first : first + width], bias_C[first : first + width]
            out = a[place : place + width]
            for c in range(width):
                value = x[c] + bias[c]
                out[c] = zero if value <= zero else value  # a value that is not a number stays one
            place += width + 2 * radius


@njit(cache=True)
def _pad(row_WC, radius, width, padded):
    W, C = row_WC.shape
    place = 2 * radius
    for w in range(W):
        for first in range(0, C, width):
            out, value = padded[place : place + width], row_WC[w, first : first + width]
            for c in range(width):
                out[c] = value[c]
            place += width + 2 * radius


@njit(cache=True)
def _unpad(padded, radius, width, row_WC):
    W, C = row_WC.shape
    place = radius
    for w in range(W):
        for first in range(0, C, width):
            out, value = row_WC[w, first : first + width], padded[place : place + width]
            for c in range(width):
                out[c] = value[c]
            place += width + 2 * radius


@njit(cache=True, fastmath=_FAST, error_model="numpy")
def _normalizers(a, radius, k, alpha, beta, s, p):
    """s = k + alpha * (sum of a^2 over the window), p = s^-beta, on the whole padded row."""
    inside = slice(radius, a.size - radius)
    s_in, p_in = s[inside], p[inside]
    if radius == 2:  # the paper's window of five, in registers
        a0, a1, a2, a3, a4 = a[:-4], a[1:-3], a[2:-2], a[3:-1], a[4:]
        for i in range(s_in.size):
            s_in[i] = k + alpha * (
                a0[i] * a0[i] + a1[i] * a1[i] + a2[i] * a2[i] + a3[i] * a3[i] + a4[i] * a4[i]
            )
    else:
        for i in range(s_in.size):
            s_in[i] = 0
        for j in range(2 * radius + 1):
            a_j = a[j:]
            for i in range(s_in.size):
                s_in[i] += a_j[i] * a_j[i]
        for i in range(s_in.size):
            s_in[i] = k + alpha * s_in[i]
    if beta == 0.75:  # the paper's power, by two square roots
        one = s.dtype.type(1)
        for i in range(s_in.size):
            root = np.sqrt(s_in[i])
            p_in[i] = one / (root * np.sqrt(root))
    else:
        for i in range(s_in.size):
            p_in[i] = s_in[i] ** -beta


@njit(cache=True)
def _pool_along(row, P, start, size, stride, X, best, tap):
    """Maximum of `size` neighbours along one padded row, and which of them it was."""
    for x in range(X):
        out = slice(x * P, (x + 1) * P)
        best_P, tap_P = best[out], tap[out]
        place = start + x * stride * P
        first_P = row[place : place + P]
        for i in range(P):
            best_P[i] = first_P[i]
            tap_P[i] = 0
        for t in range(1, size):
            value_P = row[place + t * P : place + (t + 1) * P]
            for i in range(P):
                larger = value_P[i] > best_P[i]
                best_P[i] = value_P[i] if larger else best_P[i]
                tap_P[i] = t if larger else tap_P[i]


@njit(cache=True)
def _pool_down(best, tap, first_row, size, column_best, column_tap):
    """Maximum of `size` pooled rows of the ring, the first of equals winning."""
    column_best[:] = best[first_row % size]
    column_tap[:] = tap[first_row % size]
    for r in range(1, size):
        row = (first_row + r) % size
        best_r, tap_r = best[row], tap[row]
        above = np.int32(r * size)
        for i in range(column_best.size):
            larger = best_r[i] > column_best[i]
            column_best[i] = best_r[i] if larger else column_best[i]
            column_tap[i] = np.int32(tap_r[i] + above) if larger else column_tap[i]


@njit(cache=True, parallel=True, error_model="numpy")
def block_forward(
    x_NHWC: np.ndarray,
    bias_C: np.ndarray,
    width: int,
    radius: int,
    k: float,
    alpha: float,
    beta: float,
    size: int,
    stride: int,
    y_NYXC: np.ndarray,
    tap_NYXC: np.ndarray,
) -> None:
    """y = maxpool(normalize(relu(x + bias))); tap = which of the size * size inputs was the maximum.

    `width` maps belong to one column; the window reaches `radius` maps to each side of its own;
    alpha = 0 with k = 1 leaves the normalization out.
    """
    N, H, W, C = x_NHWC.shape
    Y, X = y_NYXC.shape[1], y_NYXC.shape[2]
    P = C // width * (width + 2 * radius)
    for n in prange(N):
        a = np.zeros(W * P + 2 * radius, x_NHWC.dtype)
        s = np.ones_like(a)
        p = np.zeros_like(a)
        best = np.empty((size, X * P), x_NHWC.dtype)
        tap = np.empty((size, X * P), np.int32)
        best_row = np.empty(X * P, x_NHWC.dtype)
        tap_row = np.empty(X * P, np.int32)
        ready = 0
        for y in range(Y):
            while ready < y * stride + size:
                _activate(x_NHWC[n, ready], bias_C, width, radius, a)
                _normalizers(a, radius, k, alpha, beta, s, p)
                for i in range(a.size):
                    p[i] *= a[i]
                ring = ready % size
                _pool_along(p, P, radius, size, stride, X, best[ring], tap[ring])
                ready += 1
            _pool_down(best, tap, y * stride, size, best_row, tap_row)
            _unpad(best_row, radius, width, y_NYXC[n, y])
            _unpad(tap_row, radius, width, tap_NYXC[n, y])


@njit(cache=True)
def _scatter(g_YXC, tap_YXC, size, stride, dy_HWC):
    """Give each pooled output's gradient to the input that was its maximum."""
    Y, X, C = g_YXC.shape
    H, W, _ = dy_HWC.shape
    dy = dy_HWC.reshape(-1)
    offsets = np.empty(size * size, np.int64)
    for t in range(size * size):
        offsets[t] = (t // size * W + t % size) * C
    dy[:] = 0
    for y in range(Y):
        for x in range(X):
            corner = (y * stride * W + x * stride) * C
            for c in range(C):
                dy[corner + offsets[tap_YXC[y, x, c]] + c] += g_YXC[y, x, c]


@njit(cache=True, fastmath=_FAST, error_model="numpy")
def _normalization_gradient(dy, a, s, p, radius, pull, t, d):
    """d = dy p - pull a (window sum of dy a p / s) where a > 0, on the whole padded row."""
    for i in range(a.size):
        t[i] = dy[i] * a[i] * p[i] / s[i]
    zero = a.dtype.type(0)
    inside = slice(radius, a.size - radius)
    dy_in, a_in, p_in, d_in = dy[inside], a[inside], p[inside], d[inside]
    if radius == 2:
        t0, t1, t2, t3, t4 = t[:-4], t[1:-3], t[2:-2], t[3:-1], t[4:]
        for i in range(d_in.size):
            d_in[i] = t0[i] + t1[i] + t2[i] + t3[i] + t4[i]
    else:
        for i in range(d_in.size):
            d_in[i] = 0
        for j in range(2 * radius + 1):
            t_j = t[j:]
            for i in range(d_in.size):
                d_in[i] += t_j[i]
    for i in range(d_in.size):
        value = dy_in[i] * p_in[i] - pull * a_in[i] * d_in[i]
        d_in[i] = value if a_in[i] > zero else zero


@njit(cache=True, parallel=True, error_model="numpy")
def block_backward(
    g_NYXC: np.ndarray,
    tap_NYXC: np.ndarray,
    x_NHWC: np.ndarray,
    bias_C: np.ndarray,
    width: int,
    radius: int,
    k: float,
    alpha: float,
    beta: float,
    size: int,
    stride: int,
    dx_NHWC: np.ndarray,
    dbias_NC: np.ndarray,
) -> None:
    """dx = gradient at the convolution's output; dbias = each image's share of the bias gradient."""
    N, H, W, C = x_NHWC.shape
    P = C // width * (width + 2 * radius)
    pull = x_NHWC.dtype.type(2) * alpha * beta
    for n in prange(N):
        a = np.zeros(W * P + 2 * radius, x_NHWC.dtype)
        s = np.ones_like(a)
        p = np.zeros_like(a)
        dy = np.zeros_like(a)
        t = np.zeros_like(a)
        d = np.zeros_like(a)
        total_C = np.zeros(C, x_NHWC.dtype)
        _scatter(g_NYXC[n], tap_NYXC[n], size, stride, dx_NHWC[n])
        for h in range(H):
            _activate(x_NHWC[n, h], bias_C, width, radius, a)
            _normalizers(a, radius, k, alpha, beta, s, p)
            _pad(dx_NHWC[n, h], radius, width, dy)
            _normalization_gradient(dy, a, s, p, radius, pull, t, d)
            _unpad(d[radius:], radius, width, dx_NHWC[n, h])
            for w in range(W):
                dx_C = dx_NHWC[n, h, w]
                for c in range(C):
                    total_C[c] += dx_C[c]
        dbias_NC[n] = total_C
