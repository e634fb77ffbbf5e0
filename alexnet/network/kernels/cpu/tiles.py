"""Tiles of images: where they lie, and their way to the points of `filtering` and back.

Shape letters: C maps, K kernels; P points of a tile, T tiles of a block of images.
"""

# Numba compiles these functions for the types they are called with, so they carry no annotations.
# mypy: disable-error-code="no-untyped-def, call-arg"

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from alexnet.network.kernels.cpu.filtering import OUT, POINTS, matrices
from alexnet.network.kernels.cpu.gemm import ROWS
from alexnet.network.kernels.cpu.simd import INDEX, LANES, Emitter

TILES = 196  # of a block, at least: few enough for the cache, many enough for the matrix products
AHEAD = 4 * LANES  # floats that a store is announced before it comes


@dataclass(frozen=True)
class Tiling:
    """How a block of images is cut into tiles.

    `inputs` (T x P) and `outputs` (T x OUT^2) number the pixels of each tile within the block, -1 where
    there is none: outside of the image is zero, and what is computed there is dropped.
    """

    images: int
    inputs: np.ndarray
    outputs: np.ndarray


@lru_cache
def plan(side: int, size: int, padding: int, share: bool) -> Tiling:
    """The tiles of square images of `side` for kernels of `size` with `padding` zeros around.

    Padded images can `share` their zeros: four of them in a square, one line of zeros between them,
    may need fewer tiles than each alone (13 x 13: 49 instead of 64). The four are then cut in different
    places, so that the rounding of an image's results depends on its place in the batch.
    """
    points = len(POINTS[size]) + 1
    out = side + 2 * padding - size + 1
    period = side + padding  # from one image of a square to the next
    most = 2 if share and size == 2 * padding + 1 else 1
    along = {n: -(-((n - 1) * period + out) // OUT) for n in range(1, most + 1)}
    across = min(along, key=lambda across: (along[across] / across) ** 2)
    tiles = along[across]
    squares = max(1, -(-TILES // tiles**2))

    def pixels(length: int, shift: int, inside: int) -> np.ndarray:
        """For each tile of a square (rows) the pixels of `length` x `length` from its corner."""
        place = OUT * np.arange(tiles)[:, None] + np.arange(length) - shift
        image, local = np.divmod(place, period)
        exists = (image >= 0) & (image < across) & (local < inside)
        image_y, y, exists_y = (value[:, None, :, None] for value in (image, local, exists))
        image_x, x, exists_x = (value[None, :, None, :] for value in (image, local, exists))
        number = ((image_y * across + image_x) * inside + y) * inside + x
        return np.where(exists_y & exists_x, number, -1).reshape(tiles**2, length**2)

    def block(one: np.ndarray, inside: int) -> np.ndarray:
        step = across**2 * inside**2
        all_squares = np.concatenate(
            [np.where(one < 0, -1, one + s * step) for s in range(squares)]
        )
        missing = -len(all_squares) % ROWS
        return np.pad(all_squares, ((0, missing), (0, 0)), constant_values=-1).reshape(-1)

    inputs = block(pixels(points, padding, side), side)
    outputs = block(pixels(OUT, 0, out), out)
    return Tiling(squares * across**2, inputs, outputs)


def _transform(at: Emitter, matrix: np.ndarray, values: list[ir.Value]) -> list[ir.Value]:
    """matrix @ values; points p and -p share their even and their odd terms."""
    if _paired(matrix):  # from points: their sums and differences come first
        pairs = list(zip(values[1:-1:2], values[2:-1:2], strict=True))
        sums = [at.builder.fadd(one, other) for one, other in pairs]
        differences = [at.builder.fsub(one, other) for one, other in pairs]
        one, other = matrix[:, 1:-1:2], matrix[:, 2:-1:2]
        even, odd = np.where(one == other, one, 0), np.where(one == other, 0, one)
        coefficients = np.hstack([matrix[:, :1], even, odd, matrix[:, -1:]])
        terms = [values[0], *sums, *differences, values[-1]]
        return [at.combine(row, terms) for row in coefficients]
    results = [at.combine(matrix[0], values)]
    for one, other in zip(matrix[1:-1:2], matrix[2:-1:2], strict=True):
        even = at.combine((one + other) / 2, values)
        odd = at.combine((one - other) / 2, values)
        results += [at.builder.fadd(even, odd), at.builder.fsub(even, odd)]
    return [*results, at.combine(matrix[-1], values)]


def _paired(matrix: np.ndarray) -> bool:
    """Whether the columns 1 and 2, 3 and 4 ... differ in signs alone."""
    return bool((abs(matrix[:, 1:-1:2]) == abs(matrix[:, 2:-1:2])).all())


def _transform_tile(at: Emitter, matrix: np.ndarray, tile: list[ir.Value]) -> list[ir.Value]:
    """matrix @ tile @ matrix^T, the tile row by row."""
    length, results = matrix.shape[1], matrix.shape[0]
    columns = [_transform(at, matrix, tile[c::length]) for c in range(length)]
    rows = [[column[r] for column in columns] for r in range(results)]
    return [value for row in rows for value in _transform(at, matrix, row)]


def _pixel(at: Emitter, base: ir.Value, step: ir.Value, number: ir.Value, limit, nowhere):
    """The pointer to a pixel of a block, or `nowhere` if there is none of this number."""
    exists = at.builder.icmp_unsigned("<", number, limit)
    there = at.at(base, at.builder.mul(number, step))
    return at.where(exists, there, nowhere)


def _numbers(at: Emitter, kind, array: ir.Value, first: ir.Value, count: int) -> list[ir.Value]:
    data = at.context.make_array(kind)(at.context, at.builder, array).data
    return [at.builder.load(at.at(data, first, n)) for n in range(count)]


def _size(points) -> int:
    """The kernel size of a tuple of points, by its type: what Numba knows when it compiles."""
    return len(points) - OUT + 2


@intrinsic
def _points_of_pixels(_, points, x, first, step, pixels, tile, limit, v, v_first, v_step):
    """v = B^T d B for the inputs d of one tile, LANES maps at a time."""
    signature = types.void(points, x, first, step, pixels, tile, limit, v, v_first, v_step)
    _, b_t, _ = matrices(_size(points))
    count = len(b_t)

    def emit(context, builder, signature, arguments):
        kinds = signature.args
        _, x, first, step, pixels, tile, limit, v, v_first, v_step = arguments
        at = Emitter(context, builder)
        base, v = at.pointer(kinds[1], x, first), at.pointer(kinds[7], v, v_first)
        nowhere = at.variable()
        builder.store(at.zero, nowhere)
        nowhere = builder.bitcast(nowhere, base.type)
        numbers = _numbers(at, kinds[4], pixels, tile, count**2)
        tile = [at.load(_pixel(at, base, step, number, limit, nowhere)) for number in numbers]
        for p, value in enumerate(_transform_tile(at, b_t, tile)):
            place = at.at(v, builder.mul(v_step, INDEX(p)))
            at.expect_store(at.at(place, AHEAD))
            at.store(value, place)
        return context.get_dummy_value()

    return signature, emit


@intrinsic
def _pixels_of_points(
    _, points, m, m_first, m_step, bias, b_first, relu, y, first, step, pixels, tile, limit
):
    """y = A^T m A + bias for one tile, its ReLU if asked for, LANES kernels at a time."""
    signature = types.void(
        points, m, m_first, m_step, bias, b_first, relu, y, first, step, pixels, tile, limit
    )
    a, _, _ = matrices(_size(points))
    count = len(a)

    def emit(context, builder, signature, arguments):
        kinds = signature.args
        _, m, m_first, m_step, bias, b_first, relu, y, first, step, pixels, tile, limit = arguments
        at = Emitter(context, builder)
        m, base = at.pointer(kinds[1], m, m_first), at.pointer(kinds[7], y, first)
        offset = at.load(at.pointer(kinds[4], bias, b_first))
        nowhere = builder.bitcast(at.variable(), base.type)
        values = [at.load(at.at(m, builder.mul(m_step, INDEX(p)))) for p in range(count**2)]
        numbers = _numbers(at, kinds[10], pixels, tile, OUT**2)
        for number, value in zip(numbers, _transform_tile(at, a.T, values), strict=True):
            value = builder.fadd(value, offset)
            cut = at.where(at.positive(value), value, at.zero)
            at.store(at.where(relu, cut, value), _pixel(at, base, step, number, limit, nowhere))
        return context.get_dummy_value()

    return signature, emit


@intrinsic
def _points_of_gradients(
    _, points, g, y, relu, first, step, pixels, tile, limit, dm, m_first, m_step, total, b_first
):
    """dm = A g A^T for the gradients g of one tile, zero where the ReLU was; adds g to `total`."""
    signature = types.void(
        points, g, y, relu, first, step, pixels, tile, limit, dm, m_first, m_step, total, b_first
    )
    a, _, _ = matrices(_size(points))

    def emit(context, builder, signature, arguments):
        kinds = signature.args
        _, g, y, relu, first, step, pixels, tile, limit, dm, m_first, m_step, total, b_first = (
            arguments
        )
        at = Emitter(context, builder)
        g, y = at.pointer(kinds[1], g, first), at.pointer(kinds[2], y, first)
        dm, total = at.pointer(kinds[9], dm, m_first), at.pointer(kinds[12], total, b_first)
        nowhere = at.variable()
        builder.store(at.zero, nowhere)
        nowhere = builder.bitcast(nowhere, g.type)
        everywhere = builder.not_(relu)
        sums, values = at.load(total), []
        for number in _numbers(at, kinds[6], pixels, tile, OUT**2):
            value = at.load(_pixel(at, g, step, number, limit, nowhere))
            output = at.load(_pixel(at, y, step, number, limit, nowhere))
            passed = at.where(at.positive(output), value, at.zero)
            values.append(at.where(everywhere, value, passed))
            sums = builder.fadd(sums, values[-1])
        at.store(sums, total)
        for p, value in enumerate(_transform_tile(at, a, values)):
            place = at.at(dm, builder.mul(m_step, INDEX(p)))
            at.expect_store(at.at(place, AHEAD))
            at.store(value, place)
        return context.get_dummy_value()

    return signature, emit


@intrinsic
def _gradients_of_points(_, points, dv, v_first, v_step, dx, first, step, pixels, tile, limit):
    """dx += B dv B^T for one tile, LANES maps at a time."""
    signature = types.void(points, dv, v_first, v_step, dx, first, step, pixels, tile, limit)
    _, b_t, _ = matrices(_size(points))
    count = len(b_t)

    def emit(context, builder, signature, arguments):
        kinds = signature.args
        _, dv, v_first, v_step, dx, first, step, pixels, tile, limit = arguments
        at = Emitter(context, builder)
        dv, base = at.pointer(kinds[1], dv, v_first), at.pointer(kinds[4], dx, first)
        nowhere = builder.bitcast(at.variable(), base.type)
        values = [at.load(at.at(dv, builder.mul(v_step, INDEX(p)))) for p in range(count**2)]
        numbers = _numbers(at, kinds[7], pixels, tile, count**2)
        for number, value in zip(numbers, _transform_tile(at, b_t.T, values), strict=True):
            place = _pixel(at, base, step, number, limit, nowhere)
            at.store(builder.fadd(at.load(place), value), place)
        return context.get_dummy_value()

    return signature, emit


# Loops over the tiles of a block. They stay functions of their own: compiled into one with those of the
# batch, they came out wrong (docs/log.md).


@njit(cache=True)
def to_points(points, x, first, step, pixels, limit, C, v, v_step):
    """B^T d B of all tiles of a block, C maps of each."""
    P = (len(points) + 1) ** 2
    for t in range(pixels.size // P):
        for c in range(0, C, LANES):
            _points_of_pixels(
                points, x, first + c, step, pixels, t * P, limit, v, t * C + c, v_step
            )


@njit(cache=True)
def from_points(points, m, m_step, bias, b_first, relu, y, first, step, pixels, limit, K):
    """A^T m A + bias of all tiles of a block, K kernels of each."""
    for t in range(pixels.size // OUT**2):
        for k in range(0, K, LANES):
            _pixels_of_points(
                points, m, t * K + k, m_step, bias, b_first + k, relu,
                y, first + k, step, pixels, t * OUT**2, limit,
            )  # fmt: skip


@njit(cache=True)
def gradients_to_points(
    points, g, y, relu, first, step, pixels, limit, K, dm, m_step, total, b_first
):
    """A g A^T of all tiles of a block, K kernels of each."""
    for t in range(pixels.size // OUT**2):
        for k in range(0, K, LANES):
            _points_of_gradients(
                points, g, y, relu, first + k, step, pixels, t * OUT**2, limit,
                dm, t * K + k, m_step, total, b_first + k,
            )  # fmt: skip


@njit(cache=True)
def gradients_from_points(points, v, v_step, dx, first, step, pixels, limit, C):
    """dx += B dv B^T of all tiles of a block, C maps of each."""
    P = (len(points) + 1) ** 2
    for t in range(pixels.size // P):
        for c in range(0, C, LANES):
            _gradients_of_points(
                points, v, t * C + c, v_step, dx, first + c, step, pixels, t * P, limit
            )
