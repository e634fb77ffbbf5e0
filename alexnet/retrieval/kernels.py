"""The compiled loops of exact search: distances between rows, and what a row's head says about them.

Legend: N rows of a part, R of them that are read, Q queries, U numbers of a vector, D of its head.
"""

# mypy: disable-error-code="no-untyped-def,no-untyped-call,call-arg,var-annotated,unreachable"

from __future__ import annotations

from functools import lru_cache

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

# --- What rounding can come to: see `lower_bounds` ------------------------------------------------

_UNIT = 2.0**-24  # half a unit in the last place of a float32
_PRODUCT = 2.02 * _UNIT  # of |x|^2 - 2xy + |y|^2 for each term of xy, relative to |x||y|
_SQUARES = 5e-7  # of squared lengths that come from stored heads
STORED = 2.0**-23  # of a head as it is stored, relative to the vector's length
TINY = 1e-35  # what float32 products lose below the smallest number; squared distances
_AS_FLOAT32, _LARGE = 1.0 - 1e-6, 3e38  # so that a bound as float32 is none the larger, and finite
_TINY_STORED = 1e-36
# Squared distances in float64 are right to this, for vectors of up to a million numbers.
EXACT = 1e-9

_LEAF = 128  # numbers that NumPy adds without halving them


@njit(cache=True, nogil=True)
def lower_bounds(products_N, terms, tails_N, squares_N, tail, square, wanted_N, out_N):
    """Squared distances that the rows have at least from a query: float32, infinite where not wanted.

    An orthonormal basis keeps distances, so that of two vectors with heads h and tails t,
    |x - y|^2 = |hx - hy|^2 + |tx - ty|^2 >= |hx - hy|^2 + (|tx| - |ty|)^2. `products_N` are hx hy in
    float32, sums of `terms` numbers, each off by at most as many half units of |hx||hy|, in whichever
    order they were added. Heads and lengths of tails are stored as float32, off by less than `STORED` of
    the vector's length, which by the triangle inequality takes as much off the distance. What overflowed
    bounds nothing: 0. Products of whole vectors have tails of 0.
    """
    length = np.sqrt(square)
    margin = _PRODUCT * (terms + 4)  # the tails' product, and some to spare
    for n in range(len(out_N)):
        both = np.sqrt(squares_N[n]) * length
        product = np.float64(products_N[n]) + np.float64(tails_N[n]) * np.float64(tail)
        least = squares_N[n] + square - 2.0 * product - margin * both - TINY
        least -= _SQUARES * (squares_N[n] + square)
        bound = 0.0
        if least > 0.0 and least < np.inf:
            away = np.sqrt(least) - STORED * (np.sqrt(squares_N[n]) + length) - _TINY_STORED
            bound = min(away * away * _AS_FLOAT32, _LARGE) if away > 0.0 else 0.0
        out_N[n] = bound if wanted_N[n] else np.inf


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def products(rows_ND, queries_QD, out_QN):
    """The products of float32 rows with queries: as NumPy's, but without waiting for other threads."""
    for n in range(len(rows_ND)):
        row_D = rows_ND[n]
        for q in range(len(queries_QD)):
            query_D = queries_QD[q]
            total = np.float32(0)
            for d in range(len(row_D)):
                total += row_D[d] * query_D[d]
            out_QN[q, n] = total


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})
def head_of(vector_U, basis_UD, head_D):
    """Write a vector's components along directions, in float64; returns the length of the rest."""
    head_D[:] = 0.0
    for u in range(len(vector_U)):
        x = np.float64(vector_U[u])
        for d in range(len(head_D)):
            head_D[d] += x * basis_UD[u, d]
    square = 0.0
    for u in range(len(vector_U)):
        along = 0.0
        for d in range(len(head_D)):
            along += head_D[d] * basis_UD[u, d]
        rest = np.float64(vector_U[u]) - along
        square += rest * rest
    return np.sqrt(square)


@njit(cache=True, nogil=True)
def near(products_AB, terms, tails_A, squares_A, tails_B, squares_B, share, first, after, out_K2):
    """Which pairs of rows a, b may be at most `share` of their mean length apart, by `lower_bounds`.

    Row a stands at place `first` + a of an order and b at `after` + b; only pairs with a before b count.
    Written to `out_K2` as long as there is room; how many there are.
    """
    count = 0
    margin = _PRODUCT * (terms + 4)
    for a in range(len(squares_A)):
        length = np.sqrt(squares_A[a])
        for b in range(max(0, first + a + 1 - after), len(squares_B)):
            other = np.sqrt(squares_B[b])
            both = other * length
            product = np.float64(products_AB[a, b]) + np.float64(tails_A[a]) * tails_B[b]
            least = squares_A[a] + squares_B[b] - 2.0 * product - margin * both - TINY
            least -= _SQUARES * (squares_A[a] + squares_B[b])
            if least > 0.0 and least < np.inf:
                away = np.sqrt(least) - STORED * (other + length) - _TINY_STORED
                if away > share * (other + length) / 2 * (1.0 + EXACT):
                    continue
            if count < len(out_K2):
                out_K2[count, 0], out_K2[count, 1] = a, b
            count += 1
    return count


# --- Rows themselves ------------------------------------------------------------------------------


_ADDRESS = types.uint64
_FLOATS, _DOUBLES = ir.VectorType(ir.FloatType(), 8), ir.VectorType(ir.DoubleType(), 8)


@intrinsic
def _eights(typingctx, row, query, runs):
    """The squared differences of `runs` times eight numbers at two addresses: every eighth is added by
    itself, then those together. Numba has no word for a vector of eight."""

    def build(context, builder, signature, arguments):
        row, query, runs = arguments
        totals = cgutils.alloca_once_value(builder, ir.Constant(_DOUBLES, [0.0] * 8))

        def eight(address, offset):
            place = builder.inttoptr(builder.add(address, offset), _FLOATS.as_pointer())
            value = builder.load(place)
            value.align = 4
            return builder.fpext(value, _DOUBLES)

        with cgutils.for_range(builder, runs) as loop:
            offset = builder.mul(loop.index, ir.Constant(loop.index.type, 32))
            apart = builder.fsub(eight(row, offset), eight(query, offset))
            total = builder.fadd(builder.load(totals), builder.fmul(apart, apart))
            builder.store(total, totals)
        whole = builder.load(totals)
        sums = [builder.extract_element(whole, ir.Constant(ir.IntType(32), n)) for n in range(8)]
        while len(sums) > 1:
            sums = [builder.fadd(*pair) for pair in zip(sums[::2], sums[1::2], strict=True)]
        return sums[0]

    return types.float64(_ADDRESS, _ADDRESS, types.int64), build


@njit(cache=True, nogil=True)
def _leaf(row_U, query_U, first, end):
    """The sum of at most 128 squared differences."""
    whole = end - (end - first) % 8
    row = row_U.ctypes.data + np.uint64(4 * first)
    query = query_U.ctypes.data + np.uint64(4 * first)
    total = _eights(row, query, (whole - first) // 8)
    for u in range(whole, end):
        apart = np.float64(row_U[u]) - np.float64(query_U[u])
        total += apart * apart
    return total


@lru_cache
def halves(numbers):
    """How NumPy adds so many numbers: leaves from first to end, and how many sums follow each of them.

    int64, L x 3: a number of more than 128 is halved, the first half a multiple of eight.
    """
    if numbers <= _LEAF:
        return np.array([[0, numbers, 0]])
    half = numbers // 2
    half -= half % 8
    left, right = halves(half).copy(), halves(numbers - half).copy()
    right[:, :2] += half
    right[-1, 2] += 1
    return np.concatenate([left, right])


@njit(cache=True, nogil=True)
def _sum(bits_U):
    """A sum that changes with any of the numbers and with their order."""
    total = np.uint64(0)
    for u in range(len(bits_U)):
        total += np.uint64(bits_U[u]) * np.uint64(2 * u + 1)
    return total


@njit(cache=True, nogil=True)
def sums(rows_NU, out_N):
    """What `distances` compares each row with before it believes it."""
    bits_NU = rows_NU.view(np.uint32)
    for n in range(len(rows_NU)):
        out_N[n] = _sum(bits_NU[n])


@njit(cache=True, nogil=True)
def distances(rows_NU, numbers_R, sums_N, queries_QU, halves_L3, out_QR):
    """Squared Euclidean distances of some rows from queries, in float64, added as `halves` says.

    So they are, to the last bit, what `((row.astype(float) - query) ** 2).sum()` gives. Returns the
    number of a row that is not as it was written, or -1.
    """
    bits_NU = rows_NU.view(np.uint32)
    stack = np.empty(64)
    for r in range(len(numbers_R)):
        n = numbers_R[r]
        if _sum(bits_NU[n]) != sums_N[n]:
            return n
        row_U = rows_NU[n]
        for q in range(len(queries_QU)):
            query_U, depth = queries_QU[q], 0
            for leaf in range(len(halves_L3)):
                stack[depth] = _leaf(row_U, query_U, halves_L3[leaf, 0], halves_L3[leaf, 1])
                for _ in range(halves_L3[leaf, 2]):
                    depth -= 1
                    stack[depth] += stack[depth + 1]
                depth += 1
            out_QR[q, r] = stack[0]
    return -1
