"""Nearest images by their pixels: the paper's contrast to nearest feature vectors (section 6.1).

Legend: N images, Q queries, H x W pixels, C colours, P numbers of an image's pixels.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numba import njit

from alexnet.base import ranks
from alexnet.base.errors import DataError
from alexnet.base.progress import progress
from alexnet.loading.files import pixels_of
from alexnet.retrieval.collection import Content, contents, require_same_bytes

if TYPE_CHECKING:
    from alexnet.retrieval.answers import Neighbour
    from alexnet.retrieval.index import Index

_WAITING = 64  # images that are decoded ahead


@dataclass(frozen=True)
class PixelDistances:
    """Distances of every image of the index from queries, infinite for those that are not there any
    more: float64, Q x N. `missing` are their paths."""

    distances_QN: np.ndarray
    missing: tuple[str, ...]

    def nearest(self, q: int, top: int, keys_N: np.ndarray, wanted_N: np.ndarray) -> list[int]:
        """The rows of the `top` images nearest to query `q`; ties by key."""
        away_N = np.where(wanted_N, self.distances_QN[q], np.inf)
        order = np.lexsort((keys_N, away_N))[:top]
        return [int(n) for n in order if np.isfinite(away_N[n])]

    def rank(self, q: int, row: int) -> int:
        """How many images are as near to query `q` as this one, or nearer; with it."""
        return int((self.distances_QN[q] <= self.distances_QN[q, row]).sum())


@njit(cache=True, nogil=True)
def _distances(pixels_P, queries_QP, out_Q):
    for q in range(len(queries_QP)):
        total = np.int64(0)
        for p in range(len(pixels_P)):
            apart = np.int32(pixels_P[p]) - np.int32(queries_QP[q, p])
            total += np.int64(apart * apart)
        out_Q[q] = total


def pixel_distances(index: Index, queries: Sequence[np.ndarray], side: int) -> PixelDistances:
    """Compare queries, uint8 H x W x C, with every image that the index is of, read where it lies.

    Both are squares of `side` pixels, the network's source images. Sums of squares are whole numbers.
    """
    found_QN = np.full((len(queries), len(index.rows)), np.inf)
    queries_QP = np.stack([one.reshape(-1) for one in queries])

    def compare(pixels_HWC: np.ndarray, row: int) -> None:
        out_Q = np.empty(len(queries_QP), np.int64)
        _distances(np.ascontiguousarray(pixels_HWC).reshape(-1), queries_QP, out_Q)
        found_QN[:, row] = np.sqrt(out_Q)

    return PixelDistances(found_QN, read_images(index, side, compare))


def pixel_vectors(index: Index, side: int) -> tuple[np.ndarray, np.ndarray]:
    """The pixels of every image of an index as a square of `side`: float32, N x P; and whether each image
    is still there."""
    found_NP = np.zeros((len(index.rows), 3 * side * side), np.float32)
    is_read_N = np.zeros(len(found_NP), np.bool_)

    def take(pixels_HWC: np.ndarray, row: int) -> None:
        found_NP[row] = pixels_HWC.reshape(-1)
        is_read_N[row] = True

    read_images(index, side, take)
    return found_NP, is_read_N


def read_images(index: Index, side: int, do: Callable[[np.ndarray, int], None]) -> tuple[str, ...]:
    """Hand every image of an index on, read where it lies, as a square of `side`, and its row; several
    threads do. The paths of those that are not there any more."""
    rows = _rows_by_place(index)
    wanted: dict[int, set[str]] = {}
    for number, path in rows:
        wanted.setdefault(number, set()).add(path)
    keys_N = index.rows.keys(np.arange(len(index.rows)))

    left = {row: path for (_, path), row in rows.items()}

    def read(content: Content, row: int) -> None:
        require_same_bytes(content, keys_N[row].decode())
        do(pixels_of(content, side), row)
        del left[row]

    with (
        progress("pixels", len(rows), "images") as shown,
        ThreadPoolExecutor(ranks.cores(), thread_name_prefix="pixels") as threads,
    ):
        waiting: deque[Future[None]] = deque()

        def finish() -> None:
            with suppress(DataError):  # another image lies there now: it is missing
                waiting.popleft().result()
            shown.advance()

        for number, path, content in contents(index.description.sources, wanted, index.side):
            waiting.append(threads.submit(read, content, rows[number, path]))
            if len(waiting) > _WAITING:
                finish()
        while waiting:
            finish()
    return tuple(left.values())


def _rows_by_place(index: Index) -> dict[tuple[int, str], int]:
    """The row of every image by its first place: number of its source, and path."""
    found = {}
    row = 0
    for part in index.rows.parts:
        for places in part.all_places():
            if places:
                found[places[0].source, places[0].path] = row
            row += 1
    return found


def nearest_by_pixels(
    index: Index, files: Sequence[str], top: int, split: str
) -> tuple[PixelDistances, list[list[Neighbour]]]:
    """The images of an index whose pixels are nearest to those of some files, of a split if one is
    named; raises Rejected for a file that is no usable image."""
    found = pixel_distances(index, [pixels_of(file, index.side) for file in files], index.side)
    keys_N = index.rows.keys(np.arange(len(index.rows)))
    wanted_N = index.of_split_N(split)
    return found, [
        [
            index.neighbour(row, float(found.distances_QN[q, row]))
            for row in found.nearest(q, top, keys_N, wanted_N)
        ]
        for q in range(len(files))
    ]
