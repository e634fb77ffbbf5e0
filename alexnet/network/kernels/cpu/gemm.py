"""Matrix products: a block of results that stays in registers, and products made of such blocks.

Shape letters: M rows and N columns of a result, K terms of its sums.
"""

# Numba compiles these functions for the types they are called with, so they carry no annotations.
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from typing import Any

from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from alexnet.network.kernels.cpu.simd import INDEX, LANES, MOST_VECTORS, Emitter

ROWS = 6  # of a block; with four vectors each, 24 results are on their way at once


def _block(vectors: int) -> Any:
    """A function of Numba's: one block of ROWS x (vectors * LANES) results."""

    @intrinsic
    def block(_, a, a_first, a_m, a_k, b, b_first, b_k, K, c, c_first, c_m, add):
        signature = types.void(
            a, a_first, a_m, a_k, b, b_first, b_k, K, c, c_first, c_m, add
        )  # fmt: skip

        def emit(context, builder, signature, arguments):
            kinds = signature.args
            a, a_first, a_m, a_k, b, b_first, b_k, K, c, c_first, c_m, add = arguments
            at = Emitter(context, builder)
            a = at.pointer(kinds[0], a, a_first)
            b = at.pointer(kinds[4], b, b_first)
            c = at.pointer(kinds[8], c, c_first)
            a_rows = [at.at(a, builder.mul(a_m, INDEX(m))) for m in range(ROWS)]
            c_rows = [at.at(c, builder.mul(c_m, INDEX(m))) for m in range(ROWS)]
            places = [at.at(row, v * LANES) for row in c_rows for v in range(vectors)]
            results = [at.variable() for _ in places]
            for place in places:  # the block to the right comes next
                at.expect_store(at.at(place, vectors * LANES))
            with builder.if_else(add) as (then, otherwise):
                with then:
                    for result, place in zip(results, places, strict=True):
                        builder.store(at.load(place), result)
                with otherwise:
                    for result in results:
                        builder.store(at.zero, result)
            with cgutils.for_range(builder, K) as loop:
                b_row = at.at(b, builder.mul(loop.index, b_k))
                terms = [at.load(at.at(b_row, v * LANES)) for v in range(vectors)]
                for m, row in enumerate(a_rows):
                    element = builder.load(at.at(row, builder.mul(loop.index, a_k)))
                    factor = at.everywhere(element)
                    for v, term in enumerate(terms):
                        result = results[m * vectors + v]
                        builder.store(at.fma(factor, term, builder.load(result)), result)
            for result, place in zip(results, places, strict=True):
                at.store(builder.load(result), place)
            return context.get_dummy_value()

        return signature, emit

    return block


_block_1, _block_2, _block_3, _block_4 = (_block(vectors) for vectors in (1, 2, 3, 4))


def vectors_for(columns: int) -> int:
    """How many vectors wide the blocks of a result of so many columns are; 0 where none fits."""
    fits = (v for v in range(MOST_VECTORS, 0, -1) if columns % (v * LANES) == 0)
    return next(fits, 0)


@njit(cache=True, inline="always")
def one_block(vectors, a, a_first, a_m, a_k, b, b_first, b_k, K, c, c_first, c_m, add):
    """A block of ROWS x (vectors * LANES) results; arguments as those of `multiply`."""
    if vectors == 4:
        _block_4(a, a_first, a_m, a_k, b, b_first, b_k, K, c, c_first, c_m, add)
    elif vectors == 3:
        _block_3(a, a_first, a_m, a_k, b, b_first, b_k, K, c, c_first, c_m, add)
    elif vectors == 2:
        _block_2(a, a_first, a_m, a_k, b, b_first, b_k, K, c, c_first, c_m, add)
    else:
        _block_1(a, a_first, a_m, a_k, b, b_first, b_k, K, c, c_first, c_m, add)


@njit(cache=True)
def multiply(
    a, a_first, a_m, a_k, b, b_first, b_k, b_n, c, c_first, c_m, M, N, K, vectors, add
):  # fmt: skip
    """C = A B, or C += A B with `add`, on flat arrays of float32.

    A's element (m, k) is a[a_first + m * a_m + k * a_k], C's rows are contiguous. B comes in panels as
    wide as a block, `vectors` vectors, their rows contiguous: panel n begins at b_first + n * b_n. M
    counts rows in whole blocks: up to ROWS - 1 rows behind the last are computed and written too.
    """
    width = vectors * LANES
    for m in range(0, M, ROWS):
        for n in range(0, N, width):
            one_block(
                vectors,
                a, a_first + m * a_m, a_m, a_k,
                b, b_first + n // width * b_n, b_k, K,
                c, c_first + m * c_m + n, c_m, add,
            )  # fmt: skip
