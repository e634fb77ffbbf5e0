"""The codes that differ from a code in the fewest bits, by comparing it with all of them.

Legend: N codes, W words of 64 bits of each, Q queries, K of the nearest codes.
"""

# mypy: disable-error-code="no-untyped-def,no-untyped-call,call-arg,var-annotated,unreachable"

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from numba import njit, types
from numba.extending import intrinsic

from alexnet.base import ranks

_AT_ONCE = 1024  # codes that are compared with every query while they are in the cache
_GROUP = 64  # that are left out together, if none of them is near
_ALONE = 2**14  # comparisons that are done sooner than other threads begin
_NONE = np.uint64(2**64 - 1)


class Near(NamedTuple):
    """The nearest codes of each query: their rows, and in how many bits they differ; both Q x K."""

    rows_QK: np.ndarray  # int64
    bits_QK: np.ndarray  # int64


@intrinsic
def _ones(typingctx, word):
    """How many bits of a word are set, by the processor's own instruction."""

    def build(context, builder, signature, arguments):
        return builder.ctpop(arguments[0])

    return types.uint64(types.uint64), build


@njit(cache=True, nogil=True)
def _apart(codes_NW, first, query_W, out_N):
    """In how many bits codes from row `first` on differ from a query."""
    words = len(query_W)
    if words == 1:
        for n in range(len(out_N)):
            out_N[n] = _ones(codes_NW[first + n, 0] ^ query_W[0])
    elif words == 2:
        for n in range(len(out_N)):
            out_N[n] = _ones(codes_NW[first + n, 0] ^ query_W[0]) + _ones(
                codes_NW[first + n, 1] ^ query_W[1]
            )
    else:
        for n in range(len(out_N)):
            total = np.uint64(0)
            for w in range(words):
                total += _ones(codes_NW[first + n, w] ^ query_W[w])
            out_N[n] = total


@njit(cache=True, nogil=True)
def _take(heap_K, value):
    """Put a value in place of the largest of a heap."""
    place, size = 0, len(heap_K)
    while True:
        child = 2 * place + 1
        if child >= size:
            break
        if child + 1 < size and heap_K[child + 1] > heap_K[child]:
            child += 1
        if heap_K[child] <= value:
            break
        heap_K[place] = heap_K[child]
        place = child
    heap_K[place] = value


@njit(cache=True, nogil=True)
def _least(apart_N):
    least = np.uint16(65535)
    for n in range(len(apart_N)):
        least = min(least, apart_N[n])
    return least


@njit(cache=True, nogil=True)
def _nearest(codes_NW, ranks_N, wanted_N, first, end, queries_QW, heaps_QK):
    """Keep of each query the smallest of what its heap has and of the rows from `first` to `end`, each as
    a number: the bits in which it differs, then its rank among all rows."""
    apart_N = np.empty(_AT_ONCE, np.uint16)
    for begin in range(first, end, _AT_ONCE):
        count = min(_AT_ONCE, end - begin)
        for q in range(len(queries_QW)):
            _apart(codes_NW, begin, queries_QW[q], apart_N[:count])
            heap_K = heaps_QK[q]
            most = heap_K[0] >> np.uint64(32)
            for some in range(0, count, _GROUP):
                last = min(some + _GROUP, count)
                if _least(apart_N[some:last]) > most:
                    continue
                for n in range(some, last):
                    if apart_N[n] <= most and wanted_N[begin + n]:
                        value = np.uint64(apart_N[n]) << np.uint64(32)
                        value |= np.uint64(ranks_N[begin + n])
                        if value < heap_K[0]:
                            _take(heap_K, value)
                            most = heap_K[0] >> np.uint64(32)


def nearest_codes(
    codes_NW: np.ndarray,
    order_N: np.ndarray,
    ranks_N: np.ndarray,
    wanted_N: np.ndarray,
    queries_QW: np.ndarray,
    top: int,
) -> Near:
    """The `top` wanted codes nearest to each query, all uint64, by all cores.

    Of codes as near, those come first that stand first in `order_N`, row numbers; `ranks_N` says at which
    place of it each row stands.
    """
    N, top = len(codes_NW), min(top, int(wanted_N.sum()))
    threads = ranks.cores() if N * len(queries_QW) > _ALONE else 1
    heaps_TQK = np.full((threads, len(queries_QW), top), _NONE)
    if top:
        borders = np.linspace(0, N, threads + 1).astype(np.int64)

        def some(t: int) -> None:
            _nearest(
                codes_NW, ranks_N, wanted_N, borders[t], borders[t + 1], queries_QW, heaps_TQK[t]
            )

        if threads == 1:
            some(0)
        else:
            with ThreadPoolExecutor(threads, thread_name_prefix="codes") as pool:
                list(pool.map(some, range(threads)))
    found_QK = np.sort(heaps_TQK.transpose(1, 0, 2).reshape(len(queries_QW), -1), axis=1)[:, :top]
    places_QK = (found_QK & np.uint64(2**32 - 1)).astype(np.int64)
    return Near(order_N[places_QK], (found_QK >> np.uint64(32)).astype(np.int64))
