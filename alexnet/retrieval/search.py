"""Exact search that reads few vectors: heads bound all distances, and only where that cannot decide are
vectors read. The answer is that of comparing the query with every vector in float64.

Legend: N rows of the whole index, R of them that are read, Q queries, U numbers of a vector, D of its
head, P rows of a part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from alexnet.base import ranks
from alexnet.retrieval.kernels import EXACT, distances, halves, lower_bounds, products, sums
from alexnet.retrieval.parts import Part, damaged_row
from alexnet.retrieval.rotation import Heads, heads

_FIRST = 64  # rows that are read before anything is known, if not more are asked for
_BLOCK = 512  # rows that are read next, twice as many each time
_SCAN = (
    0.25  # where more rows than this share may be among the nearest, all are read, in their order
)
_BOUNDS = 2**24  # bounds that are in memory at a time
_PRODUCTS = 4  # queries from which on NumPy's products of matrices are faster
_CHUNK = 2048  # rows that one thread reads at a time
_RESIDENT = 2**26  # bytes of vectors that are in memory before they are given back
_AROUND = 2**20  # bytes that the system may bring into memory where one row is read


class Nearest(NamedTuple):
    """The nearest rows of one query, nearest first, their distances, and how many rows were read."""

    rows: np.ndarray  # int64
    distances: np.ndarray  # float64
    rows_read: int


class _Piece(NamedTuple):
    """Some rows of one part: its number, their places among all rows asked for, their numbers in it."""

    part: int
    places: np.ndarray
    numbers: np.ndarray


class Rows:
    """All vectors of an index as one sequence of rows, whichever parts they lie in."""

    def __init__(self, parts: Sequence[Part], basis_UD: np.ndarray) -> None:
        self.parts, self.basis_UD = tuple(parts), basis_UD
        self.first = np.cumsum([0, *map(len, self.parts)])
        self._resident, self._read = 0, set[int]()  # bytes, and the parts that they lie in

    def __len__(self) -> int:
        return int(self.first[-1])

    @property
    def is_there_N(self) -> np.ndarray:
        """Whether each row's image is still somewhere."""
        return self._whole([part.is_there_N for part in self.parts], np.bool_)

    def part_of(self, row: int) -> tuple[Part, int]:
        """The part that a row lies in, and its number there."""
        number = int(np.searchsorted(self.first, row, side="right")) - 1
        return self.parts[number], row - int(self.first[number])

    def keys(self, rows_R: np.ndarray) -> np.ndarray:
        """The keys of some rows: S64, R."""
        found = np.empty(len(rows_R), "S64")
        for number, places_R, numbers_R in self._by_part(rows_R):
            found[places_R] = self.parts[number].key_bytes[numbers_R]
        return found

    def vectors(self, rows_R: np.ndarray) -> np.ndarray:
        """Some vectors, copied: float32, R x U; raises DataError for a damaged one."""
        found = np.empty((len(rows_R), len(self.basis_UD)), np.float32)
        for number, places_R, numbers_R in self._by_part(rows_R):
            found[places_R] = self.parts[number].rows_NU[numbers_R]
        self.distances(rows_R, found[:1])  # looks at each
        return found

    def heads(self, rows_R: np.ndarray) -> Heads:
        """The heads of some rows, copied."""
        R, D = len(rows_R), self.basis_UD.shape[1]
        found = Heads(
            np.empty((R, D), np.float32), np.empty(R, np.float32), np.empty(R), np.empty(R, "u8")
        )
        for number, places_R, numbers_R in self._by_part(rows_R):
            for mine, theirs in zip(found, _heads(self.parts[number]), strict=True):
                mine[places_R] = theirs[numbers_R]
        return found

    @property
    def squares_N(self) -> np.ndarray:
        """The squared lengths of all vectors."""
        return self._whole([_heads(part).square for part in self.parts], np.float64)

    @property
    def leading_N(self) -> np.ndarray:
        """Every vector's component along the direction in which vectors differ most."""
        return self._whole([_heads(part).head[:, 0] for part in self.parts], np.float32)

    def distances(self, rows_R: np.ndarray, queries_QU: np.ndarray) -> np.ndarray:
        """Squared distances in float64, Q x R, by all cores; raises DataError for a damaged row."""
        found_QR = np.empty((len(queries_QU), len(rows_R)))
        added = halves(queries_QU.shape[1])

        def read(job: _Piece) -> None:
            number, places_R, numbers_R = job
            part = self.parts[number]
            out_QR = np.empty((len(queries_QU), len(numbers_R)))
            bad = distances(part.rows_NU, numbers_R, _heads(part).sum, queries_QU, added, out_QR)
            if bad >= 0:
                raise damaged_row(part, bad)
            found_QR[:, places_R] = out_QR
            self._was_read(number, int(numbers_R[-1] - numbers_R[0]) + 1, len(numbers_R))

        self._each(read, self._by_part(rows_R))
        return found_QR

    def bounds(self, queries: Heads, wanted_N: np.ndarray) -> np.ndarray:
        """What the squared distances are at least: Q x N; infinite where not `wanted_N`."""
        bounds_QN = np.empty((len(queries.tail), len(self)))

        def bound(n: int) -> None:
            here, of = slice(*self.first[n : n + 2]), _heads(self.parts[n])
            _bound(of.head, queries.head, of.tail, queries.tail, of.square, queries.square,
                   wanted_N[here], bounds_QN[:, here])  # fmt: skip

        numbers = range(len(self.parts))
        if len(queries.tail) < _PRODUCTS and len(self.parts) > 1:
            with ThreadPoolExecutor(ranks.cores(), thread_name_prefix="search") as threads:
                list(threads.map(bound, numbers))
        else:  # NumPy's products have all cores
            list(map(bound, numbers))
        return bounds_QN

    def whole_bounds(
        self, queries_QU: np.ndarray, wanted_N: np.ndarray
    ) -> Iterator[tuple[int, np.ndarray]]:
        """The same from whole vectors, as near as rounding allows, block by block: the number of a
        block's first row, and Q x R. Raises DataError for a damaged row."""
        exact_QU = queries_QU.astype(np.float64)
        squares_Q = np.einsum("qu,qu->q", exact_QU, exact_QU)
        no_R, no_Q = np.zeros(_CHUNK, np.float32), np.zeros(len(queries_QU), np.float32)
        for n, part in enumerate(self.parts):
            of = _heads(part)
            for first in range(0, len(part), _CHUNK):
                some = slice(first, min(first + _CHUNK, len(part)))
                rows_RU, begin = part.rows_NU[some], int(self.first[n]) + first
                found_R = np.empty(len(rows_RU), np.uint64)
                sums(rows_RU, found_R)
                if (bad_R := found_R != of.sum[some]).any():
                    raise damaged_row(part, first + int(np.argmax(bad_R)))
                bounds_QR = np.empty((len(queries_QU), len(rows_RU)))
                wanted_R = wanted_N[begin : begin + len(rows_RU)]
                _bound(rows_RU, queries_QU, no_R[: len(rows_RU)], no_Q, of.square[some], squares_Q,
                       wanted_R, bounds_QR)  # fmt: skip
                self._was_read(n, len(rows_RU), len(rows_RU))
                yield begin, bounds_QR

    def _was_read(self, number: int, span: int, count: int) -> None:
        """Give back the memory of vectors when there is much of it."""
        self._resident += min(span * self.parts[number].rows_NU[0].nbytes, count * _AROUND)
        self._read.add(number)
        if self._resident > _RESIDENT:
            read, self._read, self._resident = self._read, set(), 0
            for number in read:
                self.parts[number].leave()

    def _by_part(self, rows_R: np.ndarray) -> Iterator[_Piece]:
        order_R = np.argsort(rows_R, kind="stable")
        borders = np.searchsorted(rows_R[order_R], self.first)
        for n in range(len(self.parts)):
            for first in range(borders[n], borders[n + 1], _CHUNK):
                places_R = order_R[first : min(first + _CHUNK, borders[n + 1])]
                yield _Piece(n, places_R, rows_R[places_R] - self.first[n])

    @staticmethod
    def _each(
        read: Callable[[_Piece], None],
        jobs: Iterator[_Piece],
    ) -> None:
        pieces = list(jobs)
        if sum(len(piece.places) for piece in pieces) < 2 * _FIRST:
            for piece in pieces:
                read(piece)
            return
        with ThreadPoolExecutor(ranks.cores(), thread_name_prefix="search") as threads:
            list(threads.map(read, pieces))

    def _whole(self, pieces: Sequence[np.ndarray], kind: type) -> np.ndarray:
        return np.concatenate([np.empty(0, kind), *pieces])


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
        worst = {q: one for q, one in enumerate(answers) if isinstance(one, float)}
        scanned = iter(_scan(rows, some_QU[list(worst)], top, wanted_N, list(worst.values())))
        found += [next(scanned) if isinstance(one, float) else one for one in answers]
    return found


def _by_bounds(
    rows: Rows, query_1U: np.ndarray, top: int, bounds_N: np.ndarray, count: int
) -> Nearest | float:
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
    rows: Rows, queries_QU: np.ndarray, top: int, wanted_N: np.ndarray, worst_Q: Sequence[float]
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


def _bound(
    rows_RD: np.ndarray,
    queries_QD: np.ndarray,
    tails_R: np.ndarray,
    tails_Q: np.ndarray,
    squares_R: np.ndarray,
    squares_Q: np.ndarray,
    wanted_R: np.ndarray,
    out_QR: np.ndarray,
) -> None:
    """`kernels.lower_bounds` of several queries, from one product of matrices."""
    products_QR = np.empty((len(queries_QD), len(rows_RD)), np.float32)
    if len(queries_QD) < _PRODUCTS:
        for q in range(len(queries_QD)):
            products(rows_RD, queries_QD[q], products_QR[q])
    else:
        with np.errstate(over="ignore", invalid="ignore"):
            np.matmul(queries_QD, rows_RD.T, out=products_QR)
    for q in range(len(queries_QD)):
        lower_bounds(
            products_QR[q],
            rows_RD.shape[1],
            tails_R,
            squares_R,
            tails_Q[q],
            squares_Q[q],
            wanted_R,
            out_QR[q],
        )


def _kth(found_R: np.ndarray, top: int) -> float:
    """The distance of the last of the `top` nearest; infinite where there are not so many yet."""
    return float(np.partition(found_R, top - 1)[top - 1]) if len(found_R) >= top else np.inf


def _best(rows: Rows, read: np.ndarray, found_R: np.ndarray, top: int, count: int) -> Nearest:
    among = np.flatnonzero(found_R <= _kth(found_R, top))
    order = np.lexsort((rows.keys(read[among]), found_R[among]))[:top]
    chosen = among[order]
    return Nearest(read[chosen], np.sqrt(found_R[chosen]), count)


def _heads(part: Part) -> Heads:
    assert part.heads is not None
    return part.heads
