"""Exact search that reads few vectors: heads bound all distances, and only where that cannot decide are
vectors read. The answer is that of comparing the query with every vector in float64.

Legend: N rows of the whole index, R of them that are read, Q queries, U numbers of a vector.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from alexnet.retrieval.kernels import EXACT
from alexnet.retrieval.rotation import heads
from alexnet.retrieval.rows import Rows

_FIRST = 64  # rows that are read before anything is known, if not more are asked for
_BLOCK = 512  # rows that are read next, twice as many each time
_SCAN = 0.25  # where more rows than this share may be among the nearest, all are read
_BOUNDS = 2**23  # bounds that are in memory at a time
_PRODUCTS = 4  # queries from which on a scan begins with products of matrices


class Nearest(NamedTuple):
    """The nearest rows of one query, nearest first, their distances, and how many rows were read."""

    rows: np.ndarray  # int64
    distances: np.ndarray  # float64
    rows_read: int


def nearest(rows: Rows, queries_QU: np.ndarray, top: int, wanted_N: np.ndarray) -> list[Nearest]:
    """The `top` nearest of the wanted rows to each query, by Euclidean distance; ties by key.

    `queries_QU` are finite float32. Raises DataError for a damaged row.
    """
    count = int(wanted_N.sum())
    top = min(top, count)
    if not top:
        nothing = Nearest(np.empty(0, np.int64), np.empty(0), 0)
        return [nothing] * len(queries_QU)
    found: list[Nearest] = []
    at_once = max(1, _BOUNDS // len(rows))
    for first in range(0, len(queries_QU), at_once):
        some_QU = np.ascontiguousarray(queries_QU[first : first + at_once])
        bounds_QN = rows.bounds(heads(some_QU, rows.basis_UD), wanted_N)
        answers = [
            _by_bounds(rows, some_QU[q : q + 1], top, bounds_QN[q], count)
            for q in range(len(some_QU))
        ]
        worst = {q: one for q, one in enumerate(answers) if isinstance(one, np.float64)}
        scanned = iter(_scan(rows, some_QU[list(worst)], top, wanted_N, list(worst.values())))
        found += [next(scanned) if isinstance(one, np.float64) else one for one in answers]
    return found


def nearest_of(rows: Rows, query_1U: np.ndarray, top: int, read: np.ndarray) -> Nearest:
    """The nearest of some rows, all of which are read; raises DataError for a damaged one."""
    return _best(rows, read, rows.distances(read, query_1U)[0], top, len(read))


def _by_bounds(
    rows: Rows, query_1U: np.ndarray, top: int, bounds_N: np.ndarray, count: int
) -> Nearest | np.float64:
    """The nearest rows by reading those whose bounds are least; where that are too many, what their
    squared distances are at most."""
    size = min(max(_FIRST, 4 * top), len(bounds_N))
    read = np.argpartition(bounds_N, size - 1)[:size]
    read = read[np.isfinite(bounds_N[read])]
    found = rows.distances(read, query_1U)[0]
    worst = _kth(found, top)
    left = bounds_N <= worst * (1.0 + EXACT)
    left[read] = False
    rest = np.flatnonzero(left)
    if len(read) + len(rest) > _SCAN * count and len(rest) > _BLOCK:
        return worst
    rest = rest[np.argsort(bounds_N[rest], kind="stable")]
    block = _BLOCK
    while len(rest):
        some, rest = rest[:block], rest[block:]
        read = np.concatenate([read, some])
        found = np.concatenate([found, rows.distances(some, query_1U)[0]])
        worst, block = _kth(found, top), 2 * block
        rest = rest[bounds_N[rest] <= worst * (1.0 + EXACT)]
    return _best(rows, read, found, top, len(read))


def _scan(
    rows: Rows,
    queries_QU: np.ndarray,
    top: int,
    wanted_N: np.ndarray,
    worst_Q: Sequence[np.float64],
) -> Iterator[Nearest]:
    """The nearest of all wanted rows, each read once for all queries; of several queries, float32
    products say which rows have to be compared in float64."""
    wanted = np.flatnonzero(wanted_N)
    if len(queries_QU) < _PRODUCTS:
        for found_R in rows.distances(wanted, queries_QU):
            yield _best(rows, wanted, found_R, top, len(wanted))
        return
    among: list[list[np.ndarray]] = [[] for _ in worst_Q]
    for begin, bounds_QR in rows.whole_bounds(queries_QU, wanted_N):
        for q, worst in enumerate(worst_Q):
            among[q].append(begin + np.flatnonzero(bounds_QR[q] <= worst * (1.0 + EXACT)))
    for q, pieces in enumerate(among):
        read = np.concatenate(pieces)
        found_R = rows.distances(read, queries_QU[q : q + 1])[0]
        yield _best(rows, read, found_R, top, len(wanted))


def _kth(found_R: np.ndarray, top: int) -> np.float64:
    """The distance of the last of the `top` nearest; infinite where there are not so many yet.

    Of NumPy's own type: float32 is compared with it in float64.
    """
    return np.partition(found_R, top - 1)[top - 1] if len(found_R) >= top else np.float64(np.inf)


def _best(rows: Rows, read: np.ndarray, found_R: np.ndarray, top: int, count: int) -> Nearest:
    among = np.flatnonzero(found_R <= _kth(found_R, top))
    order = np.lexsort((rows.keys(read[among]), found_R[among]))[:top]
    chosen = among[order]
    return Nearest(read[chosen], np.sqrt(found_R[chosen]), count)
