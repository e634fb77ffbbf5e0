"""How good codes are: of the features of an index, and of the raw pixels of its images (section 6.1).

The paper expects codes of feature vectors to be far better than codes of raw pixels. Each kind of code is
asked for two things: the nearest vectors themselves, which a code stands for, and images of the query's
class.

Legend: N vectors that are searched, Q queries, U numbers of a vector, K neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from alexnet.base.errors import UsageError
from alexnet.retrieval.codes import METHODS, PRINCIPAL, Coder
from alexnet.retrieval.hamming import nearest_codes
from alexnet.retrieval.index import AMONG, NEIGHBOURS, Index
from alexnet.retrieval.pixels import pixel_vectors

BITS = (28, 32, 64, 128, 256)
PIXELS = (
    32  # the side of the images that pixel codes are of, as Krizhevsky and Hinton (2011) have it
)
_AT_ONCE = 4096  # vectors


class Quality(NamedTuple):
    """How good the codes of one coder are: three shares, means over queries."""

    of: str  # features or pixels
    method: str
    bits: int
    seed: int
    exact: (
        float  # of the six vectors nearest to a query, those whose codes are among the six nearest
    )
    reranked: (
        float  # those whose codes are among the hundred nearest: what is found by `codes=True`
    )
    same_class: float  # of the six whose codes are nearest, those of the query's class


class Uncompressed(NamedTuple):
    """What is compared with: the share of the six nearest vectors that are of the query's class."""

    of: str
    numbers: int
    same_class: float


class Compared(NamedTuple):
    """Codes and the vectors that they are of; so many were searched, for so many queries."""

    searched: int
    queries: int
    uncompressed: list[Uncompressed]
    codes: list[Quality]


def compare_codes(
    index: Index,
    bits: Sequence[int] = BITS,
    seeds: Sequence[int] = (0,),
    methods: Sequence[str] = METHODS,
    queries: int = 500,
    pixels: bool = True,
) -> Compared:
    """Codes of an index's vectors by every method, and of the pixels of its images by the autoencoder.

    Coders are found from the vectors that are searched: those of the split `train`, with queries from
    `val`, or where there are no such splits, all but the queries. Every vector is in memory. Codes of
    more bits than vectors have numbers are left out where they are of principal directions.

    Raises UsageError where images have no labels or queries would leave none to search.
    """
    labels_N, is_query_N, is_searched_N = _divided(index, queries)
    kinds: dict[str, tuple[np.ndarray, Sequence[str]]] = {
        "features": (np.asarray(index.vectors), methods)
    }
    if pixels:
        of_pixels_NU, is_read_N = pixel_vectors(index, PIXELS)
        is_query_N &= is_read_N
        is_searched_N &= is_read_N
        kinds["pixels"] = of_pixels_NU, [one for one in methods if one in ("autoencoder", "itq")]
    found = Compared(int(is_searched_N.sum()), int(is_query_N.sum()), [], [])
    keys_N = index.rows.keys(np.flatnonzero(is_searched_N))
    order_N = np.argsort(keys_N, kind="stable")
    asked_Q, there_N = labels_N[is_query_N], labels_N[is_searched_N]
    for of, (vectors_NU, some) in kinds.items():
        rows_NU, queries_QU = vectors_NU[is_searched_N], vectors_NU[is_query_N]
        exact_QK = nearest_by_all(rows_NU, queries_QU, NEIGHBOURS)
        share = float((there_N[exact_QK] == asked_Q[:, None]).mean())
        found.uncompressed.append(Uncompressed(of, rows_NU.shape[1], share))
        for method in some:
            most = rows_NU.shape[1] if method in PRINCIPAL else max(bits)
            for size in (one for one in bits if one <= most):
                for seed in seeds:
                    coder = Coder.fit(rows_NU, size, seed, method)
                    near_QK = _nearest(coder, rows_NU, queries_QU, order_N)
                    same_class = (there_N[near_QK[:, :NEIGHBOURS]] == asked_Q[:, None]).mean()
                    exact, reranked = (
                        _overlap(near_QK[:, :n], exact_QK) for n in (NEIGHBOURS, AMONG)
                    )
                    found.codes.append(
                        Quality(of, method, size, seed, exact, reranked, float(same_class))
                    )
    return found


def nearest_by_all(rows_NU: np.ndarray, queries_QU: np.ndarray, top: int) -> np.ndarray:
    """The rows nearest to each query by float64 products with all of them: int64, Q x K."""
    exact_QU = queries_QU.astype(np.float64)
    away_QN = np.empty((len(queries_QU), len(rows_NU)))
    for first in range(0, len(rows_NU), _AT_ONCE):
        some_NU = rows_NU[first : first + _AT_ONCE].astype(np.float64)
        away_QN[:, first : first + _AT_ONCE] = (some_NU**2).sum(axis=1) - 2 * exact_QU @ some_NU.T
    some_QK = np.argpartition(away_QN, top - 1, axis=1)[:, :top]
    order_QK = np.argsort(np.take_along_axis(away_QN, some_QK, axis=1), axis=1, kind="stable")
    return np.take_along_axis(some_QK, order_QK, axis=1)


def _nearest(
    coder: Coder, rows_NU: np.ndarray, queries_QU: np.ndarray, order_N: np.ndarray
) -> np.ndarray:
    ranks_N = np.empty(len(order_N), np.uint32)
    ranks_N[order_N] = np.arange(len(order_N), dtype=np.uint32)
    wanted_N = np.ones(len(order_N), np.bool_)
    codes_NW, codes_QW = coder.encode(rows_NU), coder.encode(queries_QU)
    return nearest_codes(codes_NW, order_N, ranks_N, wanted_N, codes_QW, AMONG).rows_QK


def _overlap(near_QK: np.ndarray, exact_QK: np.ndarray) -> float:
    """The share of the exact neighbours that are among the near ones."""
    return float((near_QK[:, :, None] == exact_QK[:, None]).any(axis=1).mean())


def _divided(index: Index, queries: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The label of every row, and which rows are queries, which are searched."""
    places = [one[0] if one else None for part in index.rows.parts for one in part.all_places()]
    labels_N = np.array([one.label if one else "" for one in places])
    splits_N = np.array([one.split if one else "" for one in places])
    may_N = index.is_there_N & (labels_N != "")
    if {"train", "val"} <= set(splits_N[may_N]):
        asked, is_searched_N = (
            np.flatnonzero(may_N & (splits_N == "val")),
            may_N & (splits_N == "train"),
        )
    else:
        asked, is_searched_N = np.flatnonzero(may_N), may_N.copy()
    if len(asked) > queries:
        asked = asked[np.linspace(0, len(asked) - 1, queries).astype(np.int64)]
    is_query_N = np.zeros(len(places), np.bool_)
    is_query_N[asked] = True
    is_searched_N &= ~is_query_N
    if not len(asked) or is_searched_N.sum() < NEIGHBOURS:
        raise UsageError(
            f"Codes cannot be compared here: {is_searched_N.sum()} images with labels to search, "
            f"{len(asked)} to ask for.",
            where=index.folder,
            remedy="Index images in class folders, many more than queries.",
        )
    return labels_N, is_query_N, is_searched_N
