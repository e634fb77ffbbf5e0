"""The GPU kernels of a normalization block: bias, ReLU, response normalization and max-pooling at once.

Numbers are read and written in the tensor's own precision and are float32 in between. A program holds a
few pixels with all maps of one column, eight neighbouring maps of a pixel in one thread, in a variable
each (Triton's registers have no index). So the window of section 3.3 is summed in registers; only the
maps beyond the eighth are read once more, from the nearest cache. The backward pass computes the sums
again, and gathers: it looks up which windows a pixel was the maximum of. The gradient of the bias is
summed in an order that does not change from run to run.

Shape letters: N images, H x W positions of the input, Y x X of the pooled output, C kernel maps,
P pixels of a program, Q groups of eight maps in a column (a power of two), L = 8 Q lanes.
A name without shape that ends in s is a tuple: one P x Q tensor for each map of the groups, and with
`REACH`, for as many maps before and after them.
"""

# Triton compiles the kernels from their source, so they carry no annotations but its own; its tuples
# grow in loops that it unrolls.
# mypy: disable-error-code="no-untyped-def,untyped-decorator,assignment"

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def _read(
    source,
    pixel_P,
    inside_P,
    column,
    C,
    other,
    WIDTH: tl.constexpr,
    Q: tl.constexpr,
    REACH: tl.constexpr,
):
    """One column's maps of some pixels, in groups of eight with REACH neighbours; else `other`."""
    place_P = pixel_P * C + column * WIDTH
    lane_L = tl.arange(0, 8 * Q)
    inside_PL = inside_P[:, None] & (lane_L < WIDTH)[None, :]
    value_PL = tl.load(source + place_P[:, None] + lane_L[None, :], mask=inside_PL, other=other)
    evens, odds = tl.split(value_PL.reshape(value_PL.shape[0], Q, 4, 2))
    value_0_4, value_2_6 = tl.split(evens.reshape(value_PL.shape[0], Q, 2, 2))
    value_1_5, value_3_7 = tl.split(odds.reshape(value_PL.shape[0], Q, 2, 2))
    value_0, value_4 = tl.split(value_0_4)
    value_1, value_5 = tl.split(value_1_5)
    value_2, value_6 = tl.split(value_2_6)
    value_3, value_7 = tl.split(value_3_7)
    values = (value_0, value_1, value_2, value_3, value_4, value_5, value_6, value_7)
    for reach in tl.static_range(1, REACH + 1):
        before_Q, after_Q = tl.arange(0, Q) * 8 - reach, tl.arange(0, Q) * 8 + 7 + reach
        inside_PQ = inside_P[:, None] & ((before_Q >= 0) & (before_Q < WIDTH))[None, :]
        before_PQ = tl.load(source + place_P[:, None] + before_Q[None, :], inside_PQ, other)
        inside_PQ = inside_P[:, None] & (after_Q < WIDTH)[None, :]
        after_PQ = tl.load(source + place_P[:, None] + after_Q[None, :], inside_PQ, other)
        values = (before_PQ,) + values + (after_PQ,)  # noqa: RUF005  Triton cannot unpack
    return values


@triton.jit
def _write(values, target, pixel_P, inside_P, column, C, WIDTH: tl.constexpr, Q: tl.constexpr):
    """Write groups of eight maps where they belong, whole again."""
    value_0_4, value_2_6 = tl.join(values[0], values[4]), tl.join(values[2], values[6])
    value_1_5, value_3_7 = tl.join(values[1], values[5]), tl.join(values[3], values[7])
    value_PQ8 = tl.join(tl.join(value_0_4, value_2_6), tl.join(value_1_5, value_3_7))
    value_PL = value_PQ8.reshape(value_PQ8.shape[0], 8 * Q)
    place_P = pixel_P * C + column * WIDTH
    lane_L = tl.arange(0, 8 * Q)
    inside_PL = inside_P[:, None] & (lane_L < WIDTH)[None, :]
    place_PL = place_P[:, None] + lane_L[None, :]
    tl.store(target + place_PL, value_PL.to(target.dtype.element_ty), mask=inside_PL)


@triton.jit
def _biases(bias, column, WIDTH: tl.constexpr, Q: tl.constexpr, REACH: tl.constexpr):
    """The bias of every map that `_read` reads: float32, 1 x Q each."""
    biases = ()
    for i in tl.static_range(8 + 2 * REACH):
        lane_Q = tl.arange(0, Q) * 8 + i - REACH
        inside_Q = (lane_Q >= 0) & (lane_Q < WIDTH)
        bias_Q = tl.load(bias + column * WIDTH + lane_Q, mask=inside_Q, other=0.0)
        biases += (bias_Q.to(tl.float32)[None, :],)
    return biases


@triton.jit
def _activations(
    x,
    biases,
    pixel_P,
    inside_P,
    column,
    C,
    WIDTH: tl.constexpr,
    Q: tl.constexpr,
    REACH: tl.constexpr,
):
    """a = relu(x + bias) in float32; zero outside the column, whose maps have no other neighbours."""
    values = _read(x, pixel_P, inside_P, column, C, float("-inf"), WIDTH, Q, REACH)
    activations = ()
    for i in tl.static_range(8 + 2 * REACH):
        value_PQ = values[i].to(tl.float32) + biases[i]
        # What is not a number stays so.
        activations += (tl.where(value_PQ <= 0.0, 0.0, value_PQ),)
    return activations


@triton.jit
def _window_sums(values, COUNT: tl.constexpr, RADIUS: tl.constexpr):
    """Sums of 2 RADIUS + 1 neighbours, for the COUNT values that have all of theirs."""
    sums = ()
    for i in tl.static_range(COUNT):
        total_PQ = values[i]
        for j in tl.static_range(1, 2 * RADIUS + 1):
            total_PQ += values[i + j]
        sums += (total_PQ,)
    return sums


@triton.jit
def _normalizers(activations, k, alpha, COUNT: tl.constexpr, RADIUS: tl.constexpr):
    """s = k + alpha * (sum of a^2 over the window) of the COUNT maps that have all neighbours."""
    squares = ()
    for i in tl.static_range(COUNT + 2 * RADIUS):
        squares += (activations[i] * activations[i],)
    sums = _window_sums(squares, COUNT, RADIUS)
    normalizers = ()
    for i in tl.static_range(COUNT):
        normalizers += (k + alpha * sums[i],)
    return normalizers


@triton.jit
def _powers(s_PQ, beta, PAPERS_BETA: tl.constexpr):
    """s^-beta and 1 / s, by roots where beta is the paper's 3/4."""
    if PAPERS_BETA:
        root_PQ = tl.rsqrt(s_PQ)  # s^-1/2; its own root is s^-1/4
        return root_PQ * tl.sqrt(root_PQ), root_PQ * root_PQ
    return tl.exp(-beta * tl.log(s_PQ)), 1.0 / s_PQ


@triton.jit
def forward(
    x,
    bias,
    y,
    tap,
    outputs,  # N * Y * X
    H,
    W,
    C,
    Y,
    X,
    k,
    alpha,
    beta,
    WIDTH: tl.constexpr,
    RADIUS: tl.constexpr,
    NORMALIZED: tl.constexpr,
    PAPERS_BETA: tl.constexpr,
    SIZE: tl.constexpr,
    STRIDE: tl.constexpr,
    P: tl.constexpr,
    Q: tl.constexpr,
):
    """y = maxpool(normalize(relu(x + bias))); tap = which of SIZE * SIZE inputs was the maximum."""
    REACH: tl.constexpr = RADIUS if NORMALIZED else 0
    column = tl.program_id(1)
    out_P = tl.program_id(0) * P + tl.arange(0, P)
    inside_P = out_P < outputs
    image_P, row_P, across_P = out_P // (Y * X), out_P // X % Y, out_P % X
    corner_P = (image_P * H + row_P * STRIDE).to(tl.int64) * W + across_P * STRIDE
    biases = _biases(bias, column, WIDTH, Q, REACH)
    best, taps = (), ()
    for _ in tl.static_range(8):
        best += (tl.full((P, Q), float("-inf"), tl.float32),)
        taps += (tl.zeros((P, Q), tl.int32),)
    for tap_here in range(SIZE * SIZE):
        pixel_P = corner_P + (tap_here // SIZE * W + tap_here % SIZE)
        activations = _activations(x, biases, pixel_P, inside_P, column, C, WIDTH, Q, REACH)
        if NORMALIZED:
            normalizers = _normalizers(activations, k, alpha, 8, RADIUS)
        better, where = (), ()
        for i in tl.static_range(8):
            b_PQ = activations[REACH + i]
            if NORMALIZED:
                b_PQ *= _powers(normalizers[i], beta, PAPERS_BETA)[0]
            # The first of equals wins, and what is not a number over all, as in PyTorch.
            wins_PQ = (b_PQ > best[i]) | (b_PQ != b_PQ)
            better += (tl.where(wins_PQ, b_PQ, best[i]),)
            where += (tl.where(wins_PQ, tap_here, taps[i]),)
        best, taps = better, where
    out_P = out_P.to(tl.int64)
    _write(best, y, out_P, inside_P, column, C, WIDTH, Q)
    _write(taps, tap, out_P, inside_P, column, C, WIDTH, Q)


@triton.jit
def _unpooled(
    g,
    tap,
    image_P,
    row_P,
    across_P,
    inside_P,
    column,
    C,
    Y,
    X,
    WIDTH: tl.constexpr,
    SIZE: tl.constexpr,
    STRIDE: tl.constexpr,
    P: tl.constexpr,
    Q: tl.constexpr,
    REACH: tl.constexpr,
):
    """What each pixel gets from the windows that it was the maximum of, in float32."""
    ALONG: tl.constexpr = (SIZE + STRIDE - 1) // STRIDE  # windows over a pixel in one direction
    total = ()
    for _ in tl.static_range(8 + 2 * REACH):
        total += (tl.zeros((P, Q), tl.float32),)
    for window in range(ALONG * ALONG):
        y_P, x_P = row_P // STRIDE - window // ALONG, across_P // STRIDE - window % ALONG
        down_P, right_P = row_P - y_P * STRIDE, across_P - x_P * STRIDE
        there_P = inside_P & (y_P >= 0) & (y_P < Y) & (x_P >= 0) & (x_P < X)
        there_P = there_P & (down_P < SIZE) & (right_P < SIZE)
        window_P = (image_P * Y + y_P).to(tl.int64) * X + x_P
        gradients = _read(g, window_P, there_P, column, C, 0.0, WIDTH, Q, REACH)
        taps = _read(tap, window_P, there_P, column, C, 255, WIDTH, Q, REACH)
        tap_P = down_P * SIZE + right_P
        more = ()
        for i in tl.static_range(8 + 2 * REACH):
            mine_PQ = taps[i].to(tl.int32) == tap_P[:, None]
            more += (total[i] + tl.where(mine_PQ, gradients[i].to(tl.float32), 0.0),)
        total = more
    return total


@triton.jit
def backward(
    g,
    tap,
    x,
    bias,
    dx,
    dbias,
    pixels,  # N * H * W
    H,
    W,
    C,
    Y,
    X,
    k,
    alpha,
    beta,
    WIDTH: tl.constexpr,
    RADIUS: tl.constexpr,
    NORMALIZED: tl.constexpr,
    PAPERS_BETA: tl.constexpr,
    SIZE: tl.constexpr,
    STRIDE: tl.constexpr,
    TILES: tl.constexpr,
    P: tl.constexpr,
    Q: tl.constexpr,
):
    """dx = gradient at the convolution's output; dbias = this program's share of the bias gradient."""
    REACH: tl.constexpr = RADIUS if NORMALIZED else 0
    column = tl.program_id(1)
    biases = _biases(bias, column, WIDTH, Q, 2 * REACH)
    shares = ()
    for _ in tl.static_range(8):
        shares += (tl.zeros((P, Q), tl.float32),)
    for tile in range(TILES):
        pixel_P = (tl.program_id(0) * TILES + tile) * P + tl.arange(0, P)
        inside_P = pixel_P < pixels
        image_P, row_P, across_P = pixel_P // (H * W), pixel_P // W % H, pixel_P % W
        pixel_P = pixel_P.to(tl.int64)
        gradients = _unpooled(
            g,
            tap,
            image_P,
            row_P,
            across_P,
            inside_P,
            column,
            C,
            Y,
            X,
            WIDTH,
            SIZE,
            STRIDE,
            P,
            Q,
            REACH,
        )
        activations = _activations(x, biases, pixel_P, inside_P, column, C, WIDTH, Q, 2 * REACH)
        if NORMALIZED:
            gradients = _through_normalization(
                gradients, activations, k, alpha, beta, RADIUS, PAPERS_BETA
            )
        masked, more = (), ()
        for i in tl.static_range(8):
            d_PQ = tl.where(activations[2 * REACH + i] > 0.0, gradients[i], 0.0)
            masked += (d_PQ,)
            more += (shares[i] + d_PQ,)
        shares = more
        _write(masked, dx, pixel_P, inside_P, column, C, WIDTH, Q)
    for i in tl.static_range(8):
        lane_Q = tl.arange(0, Q) * 8 + i
        place_Q = tl.program_id(0).to(tl.int64) * C + column * WIDTH + lane_Q
        tl.store(dbias + place_Q, tl.sum(shares[i], axis=0), mask=lane_Q < WIDTH)


@triton.jit
def _through_normalization(
    gradients, activations, k, alpha, beta, RADIUS: tl.constexpr, PAPERS_BETA: tl.constexpr
):
    """dy s^-beta - 2 alpha beta a (window sum of dy a s^-beta / s) of the eight maps in the middle."""
    normalizers = _normalizers(activations, k, alpha, 8 + 2 * RADIUS, RADIUS)
    first, terms = (), ()
    for i in tl.static_range(8 + 2 * RADIUS):
        power_PQ, inverse_PQ = _powers(normalizers[i], beta, PAPERS_BETA)
        first += (gradients[i] * power_PQ,)
        terms += (first[i] * activations[RADIUS + i] * inverse_PQ,)
    sums = _window_sums(terms, 8, RADIUS)
    found = ()
    for i in tl.static_range(8):
        pull_PQ = 2.0 * alpha * beta * activations[2 * RADIUS + i] * sums[i]
        found += (first[RADIUS + i] - pull_PQ,)
    return found
