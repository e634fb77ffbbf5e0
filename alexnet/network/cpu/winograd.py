"""Convolutions by fewer multiplications: Winograd's minimal filtering, forward and backward.

A tile of 4 x 4 outputs of an r x r kernel needs 16 r^2 multiplications when done as written, and
(r + 3)^2 when tile and kernel are seen as polynomials, evaluated at r + 3 points, multiplied there, and
interpolated: 36 instead of 144 for r = 3, 64 instead of 400 for r = 5. In one dimension, for inputs d,
kernel g and outputs y:

    y = A^T [(G g) * (B^T d)]                 "*" is element by element

and in two dimensions each matrix is applied to rows and columns. The products at one point, summed over
input maps, are a matrix product, so nearly all of the time goes into `gemm`. The backward pass is the
transpose of the same three steps.

The result differs from that of the plain sum by rounding alone: about six times the plain sum's own
error for r = 3, nine times for r = 5 (tests/network/cpu/test_winograd.py).

Shape letters: N images, H x W positions of the input, Y x X of the output, C input maps and K kernels
of one group; P points of a tile, T tiles of a block of images. Pictures are channels-last.
"""

# Numba compiles these functions for the types they are called with, so they carry no annotations.
# mypy: disable-error-code="no-untyped-def, call-arg"

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import numpy as np
from llvmlite import ir
from numba import njit, prange, types
from numba.extending import intrinsic

from alexnet.network.cpu.gemm import ROWS, multiply, vectors_for
from alexnet.network.cpu.simd import INDEX, LANES, Emitter

OUT = 4  # outputs of a tile in one dimension
# Points of evaluation, besides infinity, by kernel size: those with the smallest rounding errors.
POINTS = {3: (0.0, 1.0, -1.0, 2.0, -2.0), 5: (0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5)}
AHEAD = 4 * LANES  # floats that a store is announced before it comes
TILES = 196  # of a block, at least: few enough for the cache, many enough for the matrix products


# ---------------------------------------------------------------- the three matrices


@lru_cache
def matrices(size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A (points x OUT), B^T (points x points) and G (points x size) for kernels of `size`, float64."""
    points = [Fraction(point) for point in POINTS[size]]
    count = len(points) + 1

    def powers(terms: int) -> list[list[Fraction]]:
        rows = [[point**term for term in range(terms)] for point in points]
        return [*rows, [Fraction(term == terms - 1) for term in range(terms)]]  # infinity

    a, g, b = powers(OUT), powers(size), _inverse(powers(count))
    b_t = [[b[row][point] for row in range(count)] for point in range(count)]
    for point in range(count):  # whole numbers in B^T, the fractions in G
        factor = Fraction(np.lcm.reduce([value.denominator for value in b_t[point]]))
        b_t[point] = [value * factor for value in b_t[point]]
        g[point] = [value / factor for value in g[point]]
    return tuple(np.array(rows, dtype=np.float64) for rows in (a, b_t, g))  # type: ignore[return-value]


def _inverse(rows: list[list[Fraction]]) -> list[list[Fraction]]:
    """Gauss and Jordan, exactly."""
    size = len(rows)
    left = [[*row, *(Fraction(i == j) for j in range(size))] for i, row in enumerate(rows)]
    for i in range(size):
        pivot = next(j for j in range(i, size) if left[j][i])
        left[i], left[pivot] = left[pivot], left[i]
        left[i] = [value / left[i][i] for value in left[i]]
        for j in range(size):
            if j != i:
                left[j] = [x - left[j][i] * y for x, y in zip(left[j], left[i], strict=True)]
    return [row[size:] for row in left]


# ---------------------------------------------------------------- tiles and where they lie


@dataclass(frozen=True)
class Plan:
    """How a block of images is cut into tiles.

    `inputs` (T x P) and `outputs` (T x OUT^2) number the pixels of each tile within the block, -1 where
    there is none: outside of the picture is zero, and what is computed there is dropped.
    """

    images: int
    inputs: np.ndarray
    outputs: np.ndarray


@lru_cache
def plan(side: int, size: int, padding: int, share: bool) -> Plan:
    """The tiles of square pictures of `side` for kernels of `size` with `padding` zeros around.

    Padded pictures can `share` their zeros: four of them in a square, one line of zeros between them,
    may need fewer tiles than each alone (13 x 13: 49 instead of 64). The four are then cut in different
    places, so that the rounding of a picture's results depends on its place in the batch.
    """
    points = len(POINTS[size]) + 1
    out = side + 2 * padding - size + 1
    period = side + padding  # from one picture of a square to the next
    most = 2 if share and size == 2 * padding + 1 else 1
    along = {n: -(-((n - 1) * period + out) // OUT) for n in range(1, most + 1)}
    across = min(along, key=lambda across: (along[across] / across) ** 2)
    tiles = along[across]
    squares = max(1, -(-TILES // tiles**2))

    def pixels(length: int, shift: int, inside: int) -> np.ndarray:
        """For each tile of a square (rows) the pixels of `length` x `length` from its corner."""
        place = OUT * np.arange(tiles)[:, None] + np.arange(length) - shift
        picture, local = np.divmod(place, period)
        exists = (picture >= 0) & (picture < across) & (local < inside)
        picture_y, y, exists_y = (value[:, None, :, None] for value in (picture, local, exists))
        picture_x, x, exists_x = (value[None, :, None, :] for value in (picture, local, exists))
        number = ((picture_y * across + picture_x) * inside + y) * inside + x
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
    return Plan(squares * across**2, inputs, outputs)


# ---------------------------------------------------------------- from pixels to points and back


def _transform(at: Emitter, matrix: np.ndarray, values: list[ir.Value]) -> list[ir.Value]:
    """matrix @ values; points p and -p share their even and their odd terms."""
    rows, columns = matrix.shape
    values = list(values)
    odd = np.zeros(matrix.shape, bool)
    if rows < columns or (rows == columns and _paired(matrix)):
        matrix = matrix.copy()
        for c in range(1, columns - 1, 2):
            first, second = values[c], values[c + 1]
            values[c] = at.builder.fadd(first, second)
            values[c + 1] = at.builder.fsub(first, second)
            odd[:, c] = matrix[:, c] != matrix[:, c + 1]
            matrix[:, c + 1] = np.where(odd[:, c], matrix[:, c], 0)
            matrix[odd[:, c], c] = 0
        return [at.combine(row, values) for row in matrix]
    results = [at.combine(matrix[0], values)]
    for r in range(1, rows - 1, 2):
        even = (matrix[r] + matrix[r + 1]) / 2
        sums = at.combine(even, values), at.combine(matrix[r] - even, values)
        results += [at.builder.fadd(*sums), at.builder.fsub(*sums)]
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


# Loops over the tiles of a block: functions of their own, since LLVM does badly when all of them become
# one, too large for its registers.


@njit(cache=True)
def _to_points(points, x, first, step, pixels, limit, C, v, v_step):
    """B^T d B of all tiles of a block, C maps of each."""
    P = (len(points) + 1) ** 2
    for t in range(pixels.size // P):
        for c in range(0, C, LANES):
            _points_of_pixels(
                points, x, first + c, step, pixels, t * P, limit, v, t * C + c, v_step
            )


@njit(cache=True)
def _from_points(points, m, m_step, bias, b_first, relu, y, first, step, pixels, limit, K):
    """A^T m A + bias of all tiles of a block, K kernels of each."""
    for t in range(pixels.size // OUT**2):
        for k in range(0, K, LANES):
            _pixels_of_points(
                points, m, t * K + k, m_step, bias, b_first + k, relu,
                y, first + k, step, pixels, t * OUT**2, limit,
            )  # fmt: skip


@njit(cache=True)
def _gradients_to_points(
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
def _gradients_from_points(points, v, v_step, dx, first, step, pixels, limit, C):
    """dx += B dv B^T of all tiles of a block, C maps of each."""
    P = (len(points) + 1) ** 2
    for t in range(pixels.size // P):
        for c in range(0, C, LANES):
            _gradients_of_points(
                points, v, t * C + c, v_step, dx, first + c, step, pixels, t * P, limit
            )


# ---------------------------------------------------------------- forward and backward


def fits(maps: int, kernels: int, size: int, groups: int) -> bool:
    """Whether these functions can do a convolution: whole vectors of maps, a size with points."""
    whole = maps % (groups * LANES) == 0 and kernels % (groups * LANES) == 0
    return whole and size in POINTS


def forward(
    x_NHWC: np.ndarray,
    weight_KCSS: np.ndarray,
    bias_K: np.ndarray,
    padding: int,
    relu: bool,
    training: bool,
) -> np.ndarray:
    """The convolution of square pictures with stride 1, plus bias; its ReLU if asked for: N x Y x X x K.

    Without `training` a picture's results are the same bits in whatever batch it comes. Where a kernel
    sees fewer maps than there are, kernels and maps are split into equal groups.
    """
    kernels, maps, size, _ = weight_KCSS.shape
    N, side, _, all_maps = x_NHWC.shape
    groups = all_maps // maps
    tiles, to_points_PS = plan(side, size, padding, training), _kernel_matrix(size)
    w_GKCS = weight_KCSS.reshape(groups, kernels // groups, maps, -1)
    u_GPJCW = _panels(groups, len(to_points_PS), maps, kernels // groups)
    for w_KCS, u_PJCW in zip(w_GKCS, u_GPJCW, strict=True):
        _kernel_points(w_KCS.transpose(1, 0, 2), to_points_PS, u_PJCW)
    out = side + 2 * padding - size + 1
    y_NYXK = np.empty((N, out, out, kernels), np.float32)
    _forward(
        POINTS[size], tiles.inputs, tiles.outputs, tiles.images,
        x_NHWC, u_GPJCW, bias_K, relu, y_NYXK,
    )  # fmt: skip
    return y_NYXK


def backward(
    g_NYXK: np.ndarray,
    x_NHWC: np.ndarray,
    weight_KCSS: np.ndarray,
    y_NYXK: np.ndarray | None,
    padding: int,
    threads: int,
    needs_dx: bool,
) -> tuple[np.ndarray | None, np.ndarray, np.ndarray]:
    """Gradients of x (None if not needed), weights and bias; with `y` those before its ReLU.

    The weights' gradients are sums over as many parts of the batch as there are `threads`.
    """
    kernels, maps, size, _ = weight_KCSS.shape
    side, all_maps = x_NHWC.shape[1], x_NHWC.shape[3]
    groups = all_maps // maps
    own = kernels // groups
    tiles, to_points_PS = plan(side, size, padding, True), _kernel_matrix(size)
    points = len(to_points_PS)
    ut_GPJKW = _panels(groups, points, own, maps)
    if needs_dx:
        w_GKCS = weight_KCSS.reshape(groups, own, maps, -1)
        for w_KCS, ut_PJKW in zip(w_GKCS, ut_GPJKW, strict=True):
            _kernel_points(w_KCS, to_points_PS, ut_PJKW)
    dx_NHWC = np.empty(x_NHWC.shape if needs_dx else (0, 0, 0, 0), np.float32)
    blocks = -(-len(x_NHWC) // tiles.images)
    parts = min(blocks, -(-threads // groups))
    rows = -(-maps // ROWS) * ROWS
    du_RGPCK = np.empty((parts, groups, points, rows, own), np.float32)
    dbias_RK = np.zeros((parts, kernels), np.float32)
    _backward(
        POINTS[size], tiles.inputs, tiles.outputs, tiles.images,
        g_NYXK, g_NYXK if y_NYXK is None else y_NYXK, y_NYXK is not None, x_NHWC, ut_GPJKW,
        vectors_for(own), needs_dx, dx_NHWC, du_RGPCK, dbias_RK,
    )  # fmt: skip
    dw_KCS = np.empty((kernels, maps, size * size), np.float32)
    for group in range(groups):
        dw = dw_KCS[group * own : (group + 1) * own]
        _kernel_gradients(du_RGPCK[:, group], to_points_PS, dw)
    return dx_NHWC if needs_dx else None, dw_KCS.reshape(weight_KCSS.shape), dbias_RK.sum(0)


def _panels(groups: int, points: int, rows: int, columns: int) -> np.ndarray:
    """Room for the matrices of all points, in panels as wide as a block of the product."""
    width = vectors_for(columns) * LANES
    return np.empty((groups, points, columns // width, rows, width), np.float32)


@lru_cache
def _kernel_matrix(size: int) -> np.ndarray:
    """G for both dimensions at once: P x size^2, float32."""
    _, _, g = matrices(size)
    return np.kron(g, g).astype(np.float32)


@njit(cache=True, parallel=True)
def _kernel_points(w_LVS, points_of_kernel_PS, u_PJLW):
    """u = G g G^T of every kernel, in panels of W; L and V are maps and kernels, either one first."""
    L, V, S = w_LVS.shape
    P, J, _, W = u_PJLW.shape
    for row in prange(L):
        taps, point = np.empty((S, V), w_LVS.dtype), np.empty(V, w_LVS.dtype)
        for v in range(V):
            for s in range(S):
                taps[s, v] = w_LVS[row, v, s]
        for p in range(P):
            point[:] = 0
            for s in range(S):
                factor, tap = points_of_kernel_PS[p, s], taps[s]
                if factor != 0:
                    for v in range(V):
                        point[v] += factor * tap[v]
            for j in range(J):
                u_PJLW[p, j, row] = point[j * W : (j + 1) * W]


@njit(cache=True, parallel=True)
def _kernel_gradients(du_RPCK, points_of_kernel_PS, dw_KCS):
    """dw = G^T du G, with du summed over the R parts it comes in."""
    K, C, S = dw_KCS.shape
    R, P = du_RPCK.shape[:2]
    for c in prange(C):
        sums, taps = np.empty(K, dw_KCS.dtype), np.zeros((S, K), dw_KCS.dtype)
        for p in range(P):
            sums[:] = du_RPCK[0, p, c]
            for r in range(1, R):
                for k in range(K):
                    sums[k] += du_RPCK[r, p, c, k]
            for s in range(S):
                factor, tap = points_of_kernel_PS[p, s], taps[s]
                if factor != 0:
                    for k in range(K):
                        tap[k] += factor * sums[k]
        for k in range(K):
            for s in range(S):
                dw_KCS[k, c, s] = taps[s, k]


@njit(cache=True, parallel=True)
def _forward(points, inputs, outputs, images, x_NHWC, u_GPJCW, bias, relu, y_NYXK):
    N, H, width, all_C = x_NHWC.shape
    _, Y, X, all_K = y_NYXK.shape
    G, P, J, C, W = u_GPJCW.shape
    K, T = J * W, inputs.size // P
    x, u, y = x_NHWC.reshape(-1), u_GPJCW.reshape(-1), y_NYXK.reshape(-1)
    v_step, m_step = T * C + LANES, T * K + LANES  # not a power of two
    blocks = (N + images - 1) // images
    for task in prange(G * blocks):
        group, first = task % G, task // G * images
        count = min(images, N - first)
        v, m = np.empty(P * v_step, x.dtype), np.empty(P * m_step, x.dtype)
        place = first * H * width * all_C + group * C
        _to_points(points, x, place, all_C, inputs, count * H * width, C, v, v_step)
        for p in range(P):
            multiply(
                v, p * v_step, C, 1, u, (group * P + p) * C * K, W, C * W,
                m, p * m_step, K, T, K, C, W // LANES, False,
            )  # fmt: skip
        place = first * Y * X * all_K + group * K
        _from_points(
            points, m, m_step, bias, group * K, relu, y, place, all_K, outputs, count * Y * X, K
        )


@njit(cache=True, parallel=True)
def _backward(
    points, inputs, outputs, images, g_NYXK, y_NYXK, relu, x_NHWC, ut_GPJKW, vectors,
    needs_dx, dx_NHWC, du_RGPCK, dbias_RK,
):  # fmt: skip
    N, H, width, all_C = x_NHWC.shape
    _, Y, X, all_K = g_NYXK.shape
    G, P, J, K, W = ut_GPJKW.shape
    C = J * W
    R, rows = du_RGPCK.shape[0], du_RGPCK.shape[3]
    T = inputs.size // P
    x, g, y, dx = x_NHWC.reshape(-1), g_NYXK.reshape(-1), y_NYXK.reshape(-1), dx_NHWC.reshape(-1)
    ut, du, dbias = ut_GPJKW.reshape(-1), du_RGPCK.reshape(-1), dbias_RK.reshape(-1)
    v_step, m_step = T * C + LANES, T * K + LANES
    blocks = (N + images - 1) // images
    for task in prange(R * G):
        part, group = task // G, task % G
        v, dm = np.empty(P * v_step + ROWS, x.dtype), np.empty(P * m_step, x.dtype)
        first_block, last_block = part * blocks // R, (part + 1) * blocks // R
        for block in range(first_block, last_block):
            first = block * images
            count = min(images, N - first)
            y_first = first * Y * X * all_K + group * K
            x_first = first * H * width * all_C + group * C
            _gradients_to_points(
                points, g, y, relu, y_first, all_K, outputs, count * Y * X, K,
                dm, m_step, dbias, part * all_K + group * K,
            )  # fmt: skip
            _to_points(points, x, x_first, all_C, inputs, count * H * width, C, v, v_step)
            for p in range(P):
                multiply(
                    v, p * v_step, 1, C, dm, p * m_step, K, vectors * LANES,
                    du, (task * P + p) * rows * K, K, C, K, T, vectors, block > first_block,
                )  # fmt: skip
                if needs_dx:
                    multiply(
                        dm, p * m_step, K, 1, ut, (group * P + p) * K * C, W, K * W,
                        v, p * v_step, C, T, C, K, W // LANES, False,
                    )  # fmt: skip
            if needs_dx:
                dx_NHWC[first : first + count, :, :, group * C : (group + 1) * C] = 0
                limit = count * H * width
                _gradients_from_points(points, v, v_step, dx, x_first, all_C, inputs, limit, C)
