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
error for r = 3, nine times for r = 5 (docs/log.md; tests/network/kernels/cpu/test_winograd.py).

Shape letters: N images, H x W positions of the input, Y x X of the output, C input maps and K kernels
of one group; P points of a tile, T tiles of a block of images. Images are channels-last.
"""

# Numba compiles these functions for the types they are called with, so they carry no annotations.
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import numpy as np
from numba import njit, prange

from alexnet.network.kernels.cpu.filtering import POINTS, kernel_matrix
from alexnet.network.kernels.cpu.gemm import ROWS, multiply, vectors_for
from alexnet.network.kernels.cpu.simd import LANES
from alexnet.network.kernels.cpu.tiles import (
    from_points,
    gradients_from_points,
    gradients_to_points,
    plan,
    to_points,
)


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
    """The convolution of square images with stride 1, plus bias; its ReLU if asked for: N x Y x X x K.

    Without `training` an image's results are the same bits in whatever batch it comes. Where a kernel
    sees fewer maps than there are, kernels and maps are split into equal groups.
    """
    kernels, maps, size, _ = weight_KCSS.shape
    N, side, _, all_maps = x_NHWC.shape
    groups = all_maps // maps
    tiles, to_points_PS = plan(side, size, padding, training), kernel_matrix(size)
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
    tiles, to_points_PS = plan(side, size, padding, True), kernel_matrix(size)
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
        to_points(points, x, place, all_C, inputs, count * H * width, C, v, v_step)
        for p in range(P):
            multiply(
                v, p * v_step, C, 1, u, (group * P + p) * C * K, W, C * W,
                m, p * m_step, K, T, K, C, W // LANES, False,
            )  # fmt: skip
        place = first * Y * X * all_K + group * K
        from_points(
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
            gradients_to_points(
                points, g, y, relu, y_first, all_K, outputs, count * Y * X, K,
                dm, m_step, dbias, part * all_K + group * K,
            )  # fmt: skip
            to_points(points, x, x_first, all_C, inputs, count * H * width, C, v, v_step)
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
                gradients_from_points(points, v, v_step, dx, x_first, all_C, inputs, limit, C)
