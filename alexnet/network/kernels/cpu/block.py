"""The kernel of a normalization block: bias, ReLU, response normalization and max-pooling at once.

One image is one unit of work. Forward, a row of it goes from the convolution's output to its normalized
values, and three such rows, which stay in the cache, to a row of maxima; one byte per output remembers
where the maximum was. Backward, each input gathers the gradients of the windows that it won; what the
forward pass computed is computed again instead of being stored.

The sums over neighbouring maps are made in registers, from vectors shifted against each other, with
zeros beyond the edges of a column. beta is 3/4: with r = s^(-1/2) and q = r^(-1/2) the powers are
s^(-3/4) = r^2 q and 1/s = r^2, with no division and no logarithm.

Shape letters: N images, H x W positions of the input, Y x X of the pooled output, C kernel maps; all
arrays are channels-last, contiguous, float32.
"""

# Numba compiles these functions for the types they are called with, so they carry no annotations.
# mypy: disable-error-code="no-untyped-def, call-arg"

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import njit, prange, types
from numba.core import cgutils
from numba.extending import intrinsic

from alexnet.network.kernels.cpu.simd import INDEX, LANES, Emitter

BETA = 0.75


def fits(maps: int, columns: int, radius: int, beta: float, size: int) -> bool:
    """Whether these functions can do a block: whole vectors of maps, the paper's power."""
    width = maps // columns
    return width % LANES == 0 and radius < LANES and beta == BETA and size < 16


def forward(
    x_NHWC: np.ndarray,
    bias_C: np.ndarray,
    columns: int,
    radius: int,
    k: float,
    alpha: float,
    size: int,
    stride: int,
    y_NYXC: np.ndarray,
    tap_NYXC: np.ndarray,
) -> None:
    """y = maxpool(normalize(relu(x + bias))); tap = which of the size * size inputs was the maximum.

    The maps are those of `columns` equal columns; the window reaches `radius` maps to each side of its
    own; alpha = 0 leaves the normalization out.
    """
    vectors, shifts = _shape(x_NHWC.shape[3] // columns, radius, alpha)
    _forward(
        vectors, shifts, (0,) * size, x_NHWC, bias_C, np.float32(k), np.float32(alpha),
        stride, y_NYXC, tap_NYXC,
    )  # fmt: skip


def backward(
    g_NYXC: np.ndarray,
    tap_NYXC: np.ndarray,
    x_NHWC: np.ndarray,
    bias_C: np.ndarray,
    columns: int,
    radius: int,
    k: float,
    alpha: float,
    size: int,
    stride: int,
    dx_NHWC: np.ndarray,
    dbias_NC: np.ndarray,
) -> None:
    """dx = gradient at the convolution's output; dbias = each image's share of the bias gradient."""
    vectors, shifts = _shape(x_NHWC.shape[3] // columns, radius, alpha)
    _backward(
        vectors, shifts, g_NYXC, tap_NYXC, x_NHWC, bias_C, np.float32(k), np.float32(alpha),
        size, stride, dx_NHWC, dbias_NC,
    )  # fmt: skip


def _shape(width: int, radius: int, alpha: float) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """A number for each vector of a column, and the shifts of the window (none: no normalization).

    They are tuples because Numba compiles for the length of a tuple, but for any number.
    """
    return (0,) * (width // LANES), tuple(range(-radius, radius + 1)) if alpha else ()


# ---------------------------------------------------------------- one position of one column


def _activated(at: Emitter, x: ir.Value, bias: ir.Value, vectors: int) -> list[ir.Value]:
    """relu(x + bias) of a column's maps; a value that is not a number stays one."""
    found = []
    for v in range(vectors):
        value = at.builder.fadd(at.load(at.at(x, v * LANES)), at.load(at.at(bias, v * LANES)))
        found.append(at.where(at.positive(value), value, at.zero))
    return found


def _window_sums(at: Emitter, values: list[ir.Value], shifts: int) -> list[ir.Value]:
    """For each map the sum over its neighbours in the same column."""
    padded = [at.zero, *values, at.zero]
    radius = shifts // 2
    sums = []
    for v, value in enumerate(values):
        for shift in range(1, radius + 1):
            lower = at.shifted(padded[v], padded[v + 1], LANES - shift)
            upper = at.shifted(padded[v + 1], padded[v + 2], shift)
            value = at.builder.fadd(value, at.builder.fadd(lower, upper))
        sums.append(value)
    return sums


def _powers(
    at: Emitter, activated: list[ir.Value], shifts: int, k: ir.Value, alpha: ir.Value
) -> list[tuple[ir.Value, ir.Value]]:
    """(1 / s, s^(-3/4)) for each vector, with s = k + alpha * (window sum of a^2)."""
    squares = [at.builder.fmul(a, a) for a in activated]
    found = []
    for total in _window_sums(at, squares, shifts):
        root = at.inverse_root(at.fma(alpha, total, k))
        inverse = at.builder.fmul(root, root)
        found.append((inverse, at.builder.fmul(inverse, at.inverse_root(root))))
    return found


@intrinsic
def _normalized(_, vectors, shifts, x, x_first, bias, b_first, k, alpha, out, o_first):
    """out = the normalized ReLU of x + bias at one position of one column."""
    signature = types.void(vectors, shifts, x, x_first, bias, b_first, k, alpha, out, o_first)
    count, window = len(vectors), len(shifts)

    def emit(context, builder, signature, arguments):
        kinds = signature.args
        _, _, x, x_first, bias, b_first, k, alpha, out, o_first = arguments
        at = Emitter(context, builder)
        bias, out = at.pointer(kinds[4], bias, b_first), at.pointer(kinds[8], out, o_first)
        values = _activated(at, at.pointer(kinds[2], x, x_first), bias, count)
        if window:
            powers = _powers(at, values, window, at.everywhere(k), at.everywhere(alpha))
            values = [builder.fmul(a, p) for a, (_, p) in zip(values, powers, strict=True)]
        for v, value in enumerate(values):
            at.store(value, at.at(out, v * LANES))
        return context.get_dummy_value()

    return signature, emit


@intrinsic
def _maximum(_, taps, rows, first, row_step, step, top, y, tap, place):
    """The maximum of a window of `len(taps)` x `len(taps)` inputs, and the first place it is at.

    `rows` is a ring of as many rows as the window is high; `top` is the number of the first one.
    """
    signature = types.void(taps, rows, first, row_step, step, top, y, tap, place)
    size = len(taps)

    def emit(context, builder, signature, arguments):
        kinds = signature.args
        _, rows, first, row_step, step, top, y, tap, place = arguments
        at = Emitter(context, builder)
        base = at.pointer(kinds[1], rows, first)
        best, which = None, at.bytes(0)
        for r in range(size):
            ring = builder.urem(builder.add(top, INDEX(r)), INDEX(size))
            row = at.at(base, builder.mul(ring, row_step))
            for c in range(size):
                value = at.load(at.at(row, builder.mul(step, INDEX(c))))
                if best is None:
                    best = value
                    continue
                larger = builder.fcmp_ordered(">", value, best)
                wins = builder.or_(larger, builder.fcmp_unordered("uno", value, value))
                best = at.where(wins, value, best)
                which = at.where(wins, at.bytes(r * size + c), which)
        at.store(best, at.pointer(kinds[6], y, place))
        at.store_bytes(which, at.pointer(kinds[7], tap, place))
        return context.get_dummy_value()

    return signature, emit


@intrinsic
def _gradient(
    _, vectors, shifts, g, tap, place, row_step, step, rows, columns, won, row_won, column_won,
    x, x_first, bias, b_first, k, alpha, dx, total,
):  # fmt: skip
    """dx at one position of one column; adds it to `total`.

    The position lies in rows x columns windows; the first of them is at `place`, where the position is
    tap number `won`; with each row or column of windows it becomes a tap further up or left.
    """
    signature = types.void(
        vectors, shifts, g, tap, place, row_step, step, rows, columns, won, row_won, column_won,
        x, x_first, bias, b_first, k, alpha, dx, total,
    )  # fmt: skip
    count, window = len(vectors), len(shifts)

    def emit(context, builder, signature, arguments):
        kinds = signature.args
        (
            _, _, g, tap, place, row_step, step, rows, columns, won, row_won, column_won,
            x, x_first, bias, b_first, k, alpha, dx, total,
        ) = arguments  # fmt: skip
        at = Emitter(context, builder)
        g, tap = at.pointer(kinds[2], g, place), at.pointer(kinds[3], tap, place)
        sums = [at.variable() for _ in range(count)]
        for variable in sums:
            builder.store(at.zero, variable)
        with (
            cgutils.for_range(builder, rows) as row,
            cgutils.for_range(builder, columns) as column,
        ):
            down, right = row.index, column.index
            offset = builder.add(builder.mul(down, row_step), builder.mul(right, step))
            before = builder.add(builder.mul(down, row_won), builder.mul(right, column_won))
            mine = at.every_byte(builder.sub(won, before))
            for v, variable in enumerate(sums):
                there = at.at(tap, offset, v * LANES)
                wins = builder.icmp_unsigned("==", at.load_bytes(there), mine)
                value = at.where(wins, at.load(at.at(g, offset, v * LANES)), at.zero)
                builder.store(builder.fadd(builder.load(variable), value), variable)
        dy = [builder.load(variable) for variable in sums]
        bias, dx = at.pointer(kinds[14], bias, b_first), at.pointer(kinds[18], dx, x_first)
        total = at.pointer(kinds[19], total, b_first)
        values = _activated(at, at.pointer(kinds[12], x, x_first), bias, count)
        if window:
            alphas = at.everywhere(alpha)
            powers = _powers(at, values, window, at.everywhere(k), alphas)
            outputs = [builder.fmul(a, p) for a, (_, p) in zip(values, powers, strict=True)]
            pulls = _window_sums(
                at,
                [
                    builder.fmul(builder.fmul(d, b), inverse)
                    for d, b, (inverse, _) in zip(dy, outputs, powers, strict=True)
                ],
                window,
            )
            factor = builder.fmul(alphas, at.of(-2 * BETA))
            dy = [
                at.fma(builder.fmul(factor, a), pull, builder.fmul(d, p))
                for d, a, pull, (_, p) in zip(dy, values, pulls, powers, strict=True)
            ]
        for v, (d, a) in enumerate(zip(dy, values, strict=True)):
            d = at.where(at.positive(a), d, at.zero)
            at.store(d, at.at(dx, v * LANES))
            sum_so_far = at.at(total, v * LANES)
            at.store(builder.fadd(at.load(sum_so_far), d), sum_so_far)
        return context.get_dummy_value()

    return signature, emit


# ---------------------------------------------------------------- whole images


@njit(cache=True)
def _normalized_row(vectors, shifts, x, x_first, W, C, bias, k, alpha, out, o_first):
    width = len(vectors) * LANES
    for w in range(W):
        for c in range(0, C, width):
            _normalized(
                vectors, shifts, x, x_first + w * C + c, bias, c, k, alpha, out, o_first + w * C + c
            )


@njit(cache=True)
def _maximum_row(taps, rows, row_step, C, stride, top, X, y, tap, first):
    for x in range(X):
        for c in range(0, C, LANES):
            _maximum(taps, rows, x * stride * C + c, row_step, C, top, y, tap, first + x * C + c)


@njit(cache=True, parallel=True)
def _forward(vectors, shifts, taps, x_NHWC, bias, k, alpha, stride, y_NYXC, tap_NYXC):
    N, H, W, C = x_NHWC.shape
    Y, X, size = y_NYXC.shape[1], y_NYXC.shape[2], len(taps)
    x, y, tap = x_NHWC.reshape(-1), y_NYXC.reshape(-1), tap_NYXC.reshape(-1)
    for n in prange(N):
        rows = np.empty(size * W * C, x.dtype)
        ready = 0
        for h in range(Y):
            while ready < h * stride + size:
                _normalized_row(
                    vectors, shifts, x, (n * H + ready) * W * C, W, C, bias, k, alpha,
                    rows, ready % size * W * C,
                )  # fmt: skip
                ready += 1
            _maximum_row(taps, rows, W * C, C, stride, h * stride, X, y, tap, (n * Y + h) * X * C)


@njit(cache=True)
def _windows(place, size, stride, count):
    """The first and the last window of `count` that hold an input at `place`; none: last < first."""
    first = 0 if place < size else (place - size) // stride + 1
    return first, min(place // stride, count - 1)


@njit(cache=True)
def _gradient_row(
    vectors, shifts, g, tap, g_first, h, Y, X, C, size, stride, x, x_first, W, bias, k, alpha,
    dx, total,
):  # fmt: skip
    width = len(vectors) * LANES
    top, bottom = _windows(h, size, stride, Y)
    for w in range(W):
        left, right = _windows(w, size, stride, X)
        won = (h - top * stride) * size + w - left * stride
        for c in range(0, C, width):
            _gradient(
                vectors, shifts, g, tap, g_first + (top * X + left) * C + c, X * C, C,
                bottom - top + 1, right - left + 1, won, stride * size, stride,
                x, x_first + w * C + c, bias, c, k, alpha, dx, total,
            )  # fmt: skip


@njit(cache=True, parallel=True)
def _backward(
    vectors, shifts, g_NYXC, tap_NYXC, x_NHWC, bias, k, alpha, size, stride, dx_NHWC, dbias_NC
):
    N, H, W, C = x_NHWC.shape
    Y, X = g_NYXC.shape[1], g_NYXC.shape[2]
    x, dx = x_NHWC.reshape(-1), dx_NHWC.reshape(-1)
    g, tap = g_NYXC.reshape(-1), tap_NYXC.reshape(-1)
    for n in prange(N):
        total = np.zeros(C, x.dtype)
        for h in range(H):
            _gradient_row(
                vectors, shifts, g, tap, n * Y * X * C, h, Y, X, C, size, stride,
                x, (n * H + h) * W * C, W, bias, k, alpha, dx, total,
            )  # fmt: skip
        dbias_NC[n] = total
