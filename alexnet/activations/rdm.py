"""Representational dissimilarity matrices: how unlike two images are to a layer.

Everything is float64, computed in blocks of rows; beyond the matrix itself, memory does not grow with
the number of images.

Shape letters: N images, B of a block, U units of a layer (maps and positions taken together).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import comb, prod
from typing import Any

import numpy as np

from alexnet.base.errors import DataError, NumericsError, UsageError, did_you_mean

METRICS = {
    "pearson": "1 - Pearson correlation",
    "euclidean": "Euclidean distance",
    "cosine": "1 - cosine",
}
_BLOCK_BYTES = 2**28  # two are in memory; smaller ones are multiplied more slowly
_BLOCK_ROWS = 1024
_NAMED = 10


def dissimilarities(
    layer: Any,
    metric: str = "pearson",
    keys: Sequence[str] = (),
    advance: Callable[[int], object] = lambda count: None,
) -> np.ndarray:
    """How unlike every two rows of `layer` are: float64, N x N, symmetric, zeros on the diagonal.

    `layer` is an array N x ..., or anything that gives its rows as `layer[3:9]`. Raises UsageError for
    an unknown metric and fewer than two images; naming them by `keys`, NumericsError for images
    with numbers that are not finite, DataError for those whose dissimilarity is not defined: constant
    ones have no correlation, zeros no cosine. `advance` hears how many of the N(N-1)/2 pairs are done.
    """
    if metric not in METRICS:
        raise UsageError(f"There is no metric {metric!r}.", remedy=did_you_mean(metric, METRICS))
    N = layer.shape[0]
    if N < 2:
        raise UsageError(f"Dissimilarities are between two images; the file has {N}.")
    size = min(max(1, _BLOCK_BYTES // (8 * prod(layer.shape[1:]))), _BLOCK_ROWS)
    blocks = [slice(first, min(first + size, N)) for first in range(0, N, size)]
    rows = _Rows(layer, metric, keys, blocks)
    rdm_NN = np.empty((N, N))
    squares_N = np.empty(N)
    for number, down in enumerate(blocks):
        a_BU = rows.ready(down)
        squares_N[down] = np.einsum("bu,bu->b", a_BU, a_BU)
        for across in blocks[number:]:
            b_BU = a_BU if across == down else rows.ready(across)
            products_BB = a_BU @ b_BU.T
            rdm_NN[down, across] = products_BB
            rdm_NN[across, down] = products_BB.T
            advance(comb(len(a_BU), 2) if across == down else products_BB.size)
    _from_products(rdm_NN, squares_N, metric, size)
    return rdm_NN


def spearman(rdms: Mapping[str, np.ndarray]) -> np.ndarray:
    """Spearman's correlation between the upper triangles of matrices: float64, one row for each.

    NaN where it is not defined: fewer than two pairs of images, or all equally unlike.
    """
    from scipy.stats import rankdata

    ranks = []
    for rdm_NN in rdms.values():
        places = np.triu_indices(len(rdm_NN), k=1)
        ranked = rankdata(rdm_NN[places])
        ranked -= ranked.mean()
        length = np.linalg.norm(ranked)
        ranks.append(ranked / length if length else np.full_like(ranked, np.nan))
    correlations: np.ndarray = np.array(ranks) @ np.array(ranks).T
    return correlations.clip(-1.0, 1.0)


class _Rows:
    """Rows of a layer as vectors whose products make the dissimilarities; looked at once, when made.

    A row is what it is less `offset`, times `scale`: of length 1, for a correlation also of mean 0.
    Distances are measured from the average image: the smaller the numbers, the more exact.
    """

    def __init__(
        self, layer: Any, metric: str, keys: Sequence[str], blocks: Sequence[slice]
    ) -> None:
        N, U = layer.shape[0], prod(layer.shape[1:])
        self.layer, self.metric = layer, metric
        self.keys = keys or [str(n) for n in range(N)]
        self.offset_N1, self.scale_N1 = np.zeros((N, 1)), np.ones((N, 1))
        self.mean_U = np.zeros(U)
        for block in blocks:
            values_BU = self._vectors(block)
            self._require_finite(block, values_BU)
            if metric == "euclidean":
                self.mean_U += values_BU.sum(axis=0) / N
                continue
            undefined_B = np.logical_not(values_BU.any(axis=1))
            if metric == "pearson":
                undefined_B = np.equal(values_BU.min(axis=1), values_BU.max(axis=1))
                self.offset_N1[block] = values_BU.mean(axis=1, keepdims=True)
                values_BU -= self.offset_N1[block]
            self._require_defined(block, undefined_B)
            self.scale_N1[block] = 1 / np.linalg.norm(values_BU, axis=1, keepdims=True)

    def ready(self, block: slice) -> np.ndarray:
        """Rows of which products are taken: float64, B x U."""
        values_BU = self._vectors(block)
        if self.metric == "euclidean":
            values_BU -= self.mean_U
            return values_BU
        if self.metric == "pearson":
            values_BU -= self.offset_N1[block]
        values_BU *= self.scale_N1[block]
        return values_BU

    def _vectors(self, block: slice) -> np.ndarray:
        values = np.array(self.layer[block], np.float64, order="C")
        return values.reshape(len(values), -1)

    def _require_finite(self, block: slice, values_BU: np.ndarray) -> None:
        finite_B = np.isfinite(values_BU).all(axis=1)
        if not finite_B.all():
            raise NumericsError(
                "Activations are not finite numbers.",
                where=f"image {self.keys[block.start + int(np.argmin(finite_B))]}",
            )

    def _require_defined(self, block: slice, undefined_B: np.ndarray) -> None:
        if not undefined_B.any():
            return
        named = [self.keys[block.start + n] for n in np.flatnonzero(undefined_B).tolist()]
        more = f", and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
        what = "constant: no correlation is" if self.metric == "pearson" else "zero: no angle is"
        raise DataError(
            f"The activations of {len(named)} image{'s' if len(named) > 1 else ''} are all "
            f"{what} defined.",
            where=", ".join(named[:_NAMED]) + more,
            remedy="Leave them out, or use --metric euclidean.",
        )


def _from_products(rdm_NN: np.ndarray, squares_N: np.ndarray, metric: str, size: int) -> None:
    """Turn products of vectors into dissimilarities, in place."""
    for first in range(0, len(rdm_NN), size):
        here = slice(first, first + size)
        if metric == "euclidean":
            rdm_NN[here] *= -2
            rdm_NN[here] += squares_N[here, None] + squares_N
            np.sqrt(np.maximum(rdm_NN[here], 0, out=rdm_NN[here]), out=rdm_NN[here])
        else:
            np.subtract(1, rdm_NN[here], out=rdm_NN[here])
            np.clip(rdm_NN[here], 0, 2, out=rdm_NN[here])
    np.fill_diagonal(rdm_NN, 0)
