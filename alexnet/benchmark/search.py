"""The six nearest of many vectors: this package's index, and programs that compare with all of them.

All answers are exact. Before anything is timed, each program's answers are compared with those of
float64, and how many are the same is said; float32 may exchange neighbours that are as good as equal.

Legend: N vectors, Q queries, U numbers of a vector.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from pathlib import Path

import numpy as np

from alexnet.benchmark.alternate import Comparison, Implementation, Step
from alexnet.retrieval.building import changing
from alexnet.retrieval.description import About, SourceOf
from alexnet.retrieval.files import Place
from alexnet.retrieval.index import NEIGHBOURS, Index

_NUMBERS = 4096  # of fc7
_QUERIES = 64
_AT_ONCE = 2048  # vectors that are made or compared at a time
Nearest = Callable[[np.ndarray], np.ndarray]  # of queries Q x U the nearest rows, Q x 6


def comparisons(
    peers: Sequence[str], source: str | None, images: int, folder: Path
) -> list[Comparison]:
    """One query at a time, then 64 at once, among `images` vectors made in `folder`.

    They are made from those of the index `source`, or else from random directions, by `made`.
    """
    of = np.asarray(Index.open(source).vectors) if source else _directions()
    draw = np.random.default_rng(19)
    np.save(folder / "queries.npy", made(of, _QUERIES, draw))
    rows_NU = np.lib.format.open_memmap(
        folder / "vectors.npy", "w+", np.float32, (images, of.shape[1])
    )
    for first in range(0, images, _AT_ONCE):
        some = rows_NU[first : first + _AT_ONCE]
        some[:] = made(of, len(some), draw)
    _index(folder / "index", rows_NU)
    makers = {"alexnet": alexnet, **{name: _PEERS[name] for name in peers}}
    title = f"among {images:,} vectors of {of.shape[1]:,}{' like your own' if source else ''}"
    return [
        Comparison(
            f"{what} {title}",
            [
                Implementation(name, partial(_step, name, make, folder, size), size)
                for name, make in makers.items()
            ],
        )
        for what, size in (("one query", 1), (f"{_QUERIES} queries", _QUERIES))
    ]


def made(of_MU: np.ndarray, number: int, draw: np.random.Generator) -> np.ndarray:
    """Vectors like some that there are: float32, `number` x U.

    Each is on the way from one of them to another, by up to a half, and each of its numbers is
    multiplied by exp(0.1 z), z normally distributed.
    """
    one, other = draw.integers(0, len(of_MU), (2, number))
    weight_N1 = draw.uniform(0.5, 1, (number, 1)).astype(np.float32)
    mixed_NU = of_MU[one] * weight_N1 + of_MU[other] * (1 - weight_N1)
    noise_NU = draw.standard_normal(mixed_NU.shape, np.float32)
    vectors_NU: np.ndarray = mixed_NU * np.exp(np.float32(0.1) * noise_NU)
    return vectors_NU


def _directions() -> np.ndarray:
    """Vectors as a layer with ReLUs has them: two thirds zeros, of few directions."""
    draw = np.random.default_rng(12)
    strength_D = np.float32(1) / np.sqrt(np.arange(1, 257, dtype=np.float32))
    sums_MU = (draw.standard_normal((10_000, 256), np.float32) * strength_D) @ draw.standard_normal(
        (256, _NUMBERS), np.float32
    )
    vectors_MU: np.ndarray = np.maximum(sums_MU - np.float32(0.4) * sums_MU.std(), 0)
    return vectors_MU


def _index(folder: Path, rows_NU: np.ndarray) -> None:
    keys = [hashlib.sha256(b"%d" % n).hexdigest() for n in range(len(rows_NU))]
    about = About("made", "made", "0" * 64, "fc7", (rows_NU.shape[1],), 1, 256)
    with changing(folder, about) as index:
        for first in range(0, len(keys), _AT_ONCE):
            index.add(keys[first : first + _AT_ONCE], rows_NU[first : first + _AT_ONCE])
        places = {key: [Place(0, str(n), "", "")] for n, key in enumerate(keys)}
        index.publish([SourceOf("made", "made", "source")], places, add=False)


# --- What is timed --------------------------------------------------------------------------------


def _step(name: str, make: Callable[[Path], Nearest], folder: Path, size: int) -> Step:
    """A step: the next `size` queries, in turn."""
    nearest, queries_QU = make(folder), np.load(folder / "queries.npy")
    if size == 1:  # once is enough
        _compare(name, nearest(queries_QU), folder)
    turns = count()

    def step() -> None:
        first = next(turns) * size % len(queries_QU)
        nearest(queries_QU[first : first + size])

    return step


def _compare(name: str, found_QK: np.ndarray, folder: Path) -> None:
    """Say for how many queries the six nearest are those of this package, which compares in float64."""
    if name == "alexnet":
        return
    expected_QK = alexnet(folder)(np.load(folder / "queries.npy"))
    same = int((found_QK == expected_QK).all(axis=1).sum())
    print(f"{name}: the same six for {same} of {len(found_QK)} queries", file=sys.stderr)


def alexnet(folder: Path) -> Nearest:
    """This package's index, its vectors memory-mapped."""
    index = Index.open(folder / "index")

    def nearest(queries_QU: np.ndarray) -> np.ndarray:
        return np.array([[one.row for one in answer] for answer in index.nearest(queries_QU)])

    return nearest


def numpy(folder: Path) -> Nearest:
    """One product of all vectors, in memory, with the queries, and their squares."""
    rows_NU = np.load(folder / "vectors.npy")
    squares_N = np.einsum("nu,nu->n", rows_NU, rows_NU)

    def nearest(queries_QU: np.ndarray) -> np.ndarray:
        away_QN = squares_N - 2 * (queries_QU @ rows_NU.T)
        some_QK = np.argpartition(away_QN, NEIGHBOURS)[:, :NEIGHBOURS]
        order_QK = np.argsort(np.take_along_axis(away_QN, some_QK, axis=1), axis=1)
        return np.take_along_axis(some_QK, order_QK, axis=1)

    return nearest


def faiss(folder: Path) -> Nearest:
    """FAISS's flat index, all in memory."""
    import faiss

    rows_NU = np.load(folder / "vectors.npy", mmap_mode="r")
    index = faiss.IndexFlatL2(rows_NU.shape[1])
    for first in range(0, len(rows_NU), _AT_ONCE):
        index.add(np.ascontiguousarray(rows_NU[first : first + _AT_ONCE]))
    return lambda queries_QU: np.asarray(index.search(queries_QU, NEIGHBOURS)[1])


def usearch(folder: Path) -> Nearest:
    """USearch's exact search of an array in memory."""
    from usearch.index import search

    rows_NU = np.load(folder / "vectors.npy")

    def nearest(queries_QU: np.ndarray) -> np.ndarray:
        found = search(rows_NU, queries_QU, NEIGHBOURS, "l2sq", exact=True)
        return np.asarray(found.keys).reshape(len(queries_QU), -1).astype(np.int64)

    return nearest


_PEERS: dict[str, Callable[[Path], Nearest]] = {"numpy": numpy, "faiss": faiss, "usearch": usearch}
