"""The vectors of an index, whichever parts they lie in: read, compared with queries, bounded.

Legend: N rows of the whole index, R of them that are read, Q queries, U numbers of a vector, D of its
head.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from math import prod
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from alexnet.base import ranks
from alexnet.base.errors import DataError
from alexnet.retrieval.description import Description
from alexnet.retrieval.files import read_directions
from alexnet.retrieval.kernels import distances, halves, lower_bounds, products, sums
from alexnet.retrieval.parts import Part, damaged_row
from alexnet.retrieval.rotation import DIRECTIONS, Heads

T = TypeVar("T")

_CHUNK = 2048  # rows that one thread reads at a time
_LITTLE = 128  # rows that are read sooner than other threads begin
_AHEAD = 4096  # rows that are asked for at once, before the first of them is read
_RESIDENT = 2**26  # bytes of vectors that are in memory before they are given back
_AROUND = 2**20  # bytes that the system may bring into memory where one row is read


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

    @classmethod
    def open(cls, folder: Path, description: Description) -> Rows:
        """The vectors of an index, all files of it read and checked by all cores."""
        if description.directions is None:
            raise DataError("The index has no directions.", where=folder, remedy="Build it again.")
        basis_UD = read_directions(folder, description.directions, prod(description.about.shape))
        with ThreadPoolExecutor(ranks.cores()) as threads:
            parts = list(threads.map(partial(Part.open, folder, description), description.parts))
        if description.codes and any(part.codes_NW is None for part in parts):
            raise DataError("Some vectors have no codes.", where=folder, remedy="Build it again.")
        return cls(parts, basis_UD)

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
            if len(rows_R) > _AHEAD:
                part.will_read(numbers_R)
            out_QR = np.empty((len(queries_QU), len(numbers_R)))
            bad = distances(part.rows_NU, numbers_R, _heads(part).sum, queries_QU, added, out_QR)
            if bad >= 0:
                raise damaged_row(part, bad)
            found_QR[:, places_R] = out_QR
            self._was_read(number, len(numbers_R))

        pieces = list(self._by_part(rows_R))
        if len(rows_R) <= _AHEAD:
            for number, _, numbers_R in pieces:
                self.parts[number].will_read(numbers_R)
        _by_all_cores(read, pieces, len(rows_R) < _LITTLE)
        return found_QR

    def bounds(self, queries: Heads, wanted_N: np.ndarray) -> np.ndarray:
        """What the squared distances are at least: Q x N; infinite where not `wanted_N`."""
        bounds_QN = np.empty((len(queries.tail), len(self)), np.float32)

        def bound(n: int) -> None:
            here, of = slice(*self.first[n : n + 2]), _heads(self.parts[n])
            _bound(of.head, queries.head, of.tail, queries.tail, of.square, queries.square,
                   wanted_N[here], bounds_QN[:, here])  # fmt: skip

        _by_all_cores(bound, range(len(self.parts)))
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
                part.will_read(np.arange(some.start, some.stop))
                rows_RU, begin = part.rows_NU[some], int(self.first[n]) + first
                found_R = np.empty(len(rows_RU), np.uint64)
                sums(rows_RU, found_R)
                if (bad_R := found_R != of.sum[some]).any():
                    raise damaged_row(part, first + int(np.argmax(bad_R)))
                bounds_QR = np.empty((len(queries_QU), len(rows_RU)), np.float32)
                wanted_R = wanted_N[begin : begin + len(rows_RU)]
                _bound(rows_RU, queries_QU, no_R[: len(rows_RU)], no_Q, of.square[some], squares_Q,
                       wanted_R, bounds_QR)  # fmt: skip
                self._was_read(n, len(rows_RU))
                yield begin, bounds_QR

    def _was_read(self, number: int, count: int) -> None:
        """Give back the memory of vectors when there is much of it."""
        part = self.parts[number]
        self._resident += min(part.rows_NU.nbytes, count * _AROUND)
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

    def _whole(self, pieces: Sequence[np.ndarray], kind: type) -> np.ndarray:
        return np.concatenate([np.empty(0, kind), *pieces])


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
    if rows_RD.shape[1] <= DIRECTIONS:
        products(rows_RD, queries_QD, products_QR)
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


def _by_all_cores(do: Callable[[T], None], jobs: Sequence[T], is_little: bool = False) -> None:
    """Do jobs, each core the next one as soon as it can; what is little work by this thread alone."""
    cores = ranks.cores()
    if is_little or len(jobs) < 2 or cores == 1:
        for job in jobs:
            do(job)
        return

    waiting = iter(jobs)  # one for all threads

    def some(_: int) -> None:
        for job in waiting:
            do(job)

    with ThreadPoolExecutor(cores, thread_name_prefix="search") as threads:
        list(threads.map(some, range(cores)))


def _heads(part: Part) -> Heads:
    assert part.heads is not None
    return part.heads
