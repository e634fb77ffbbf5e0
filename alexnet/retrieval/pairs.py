"""Pairs of images that are almost the same: all of them, found with the same bounds as in a search.

Rows are put in the order of their component along the direction in which vectors differ most. Two rows
within the distance asked for are within it along that direction too, so each block of rows is compared
only with those that follow it closely, by the product of their heads; what this bound cannot exclude is
compared in float64.

Legend: N rows, A and B rows that are compared with each other, K pairs, U numbers of a vector.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from alexnet.base.progress import progress
from alexnet.retrieval import kernels
from alexnet.retrieval.rotation import Heads
from alexnet.retrieval.rows import Rows

NEAR = 0.05  # of two vectors' mean length: how far images may be apart that are almost the same
MOST = 100_000  # pairs; where there are more, the distance asked for tells nothing
_BLOCK, _WINDOW = 1024, 4096  # rows that are compared at a time


class Pair(NamedTuple):
    """Two rows and the distance of their vectors."""

    first: int
    second: int
    distance: float


class Pairs(NamedTuple):
    """Pairs, nearest first; `is_all` if none is left out."""

    pairs: list[Pair]
    is_all: bool


def near_pairs(rows: Rows, wanted_N: np.ndarray, near: float = NEAR, most: int = MOST) -> Pairs:
    """All pairs of wanted rows whose distance is at most `near` times their mean length; the first `most`
    that are found, where there are more."""
    wanted = np.flatnonzero(wanted_N)
    longest = float(np.sqrt(rows.squares_N[wanted].max(initial=0)))
    order = np.argsort(rows.leading_N[wanted], kind="stable")
    wanted, leading_N = wanted[order], rows.leading_N[wanted][order].astype(np.float64)
    # The farthest that two of them can be along that direction, and what rounding may have moved them.
    reach = (near * (1 + kernels.EXACT) + 2 * kernels.STORED) * longest + kernels.TINY
    found: list[Pair] = []
    with progress("pairs", len(wanted), "images") as shown:
        for first in range(0, len(wanted), _BLOCK):
            block = wanted[first : first + _BLOCK]
            heads_A = rows.heads(block)
            last = leading_N[first + len(block) - 1]
            end = int(np.searchsorted(leading_N, last + reach, side="right"))
            for after in range(first, end, _WINDOW):
                others = wanted[after : min(after + _WINDOW, end)]
                near_K2 = _candidates(heads_A, rows.heads(others), near, first, after)
                found += _within(rows, block, others, near_K2, near)
                if len(found) > most:
                    return Pairs(_sorted(found)[:most], False)
            shown.advance(len(block))
    return Pairs(_sorted(found), True)


def _candidates(heads_A: Heads, heads_B: Heads, near: float, first: int, after: int) -> np.ndarray:
    """Which pairs the bounds do not exclude: int64, K x 2."""
    with np.errstate(over="ignore", invalid="ignore"):
        products_AB = heads_A.head @ heads_B.head.T
    room = 4096
    while True:
        out_K2 = np.empty((room, 2), np.int64)
        count = kernels.near(
            products_AB,
            heads_A.head.shape[1],
            heads_A.tail,
            heads_A.square,
            heads_B.tail,
            heads_B.square,
            near,
            first,
            after,
            out_K2,
        )
        if count <= room:
            return out_K2[:count]
        room = count


def _within(
    rows: Rows, block: np.ndarray, others: np.ndarray, near_K2: np.ndarray, near: float
) -> list[Pair]:
    """Of candidates those that are near, by their vectors: each row of the block with its own."""
    found = []
    lengths_A, lengths_B = (np.sqrt(rows.heads(some).square) for some in (block, others))
    for a in np.unique(near_K2[:, 0]).tolist():
        mine_K = near_K2[near_K2[:, 0] == a, 1]
        query_1U = rows.vectors(block[a : a + 1])
        away_K = np.sqrt(rows.distances(others[mine_K], query_1U)[0])
        is_near_K = away_K <= near * (lengths_A[a] + lengths_B[mine_K]) / 2
        for b, distance in zip(mine_K[is_near_K], away_K[is_near_K].tolist(), strict=True):
            first, second = sorted((int(block[a]), int(others[b])))
            found.append(Pair(first, second, distance))
    return found


def _sorted(found: list[Pair]) -> list[Pair]:
    return sorted(found, key=lambda pair: (pair.distance, pair.first, pair.second))
