"""Error rates, from probabilities and labels alone.

The written rule for the order of labels: by falling probability, equal ones in the order of the
classes. Every list of most probable labels, every error and every confusion table keeps to it.

Shape letters: N images, K classes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from alexnet import paper
from alexnet.base.errors import DataError


class Scores(NamedTuple):
    """Shares of images, 0 to 1. With five classes or fewer the top-5 error is zero."""

    top1_error: float
    top5_error: float


def score(probs_NK: np.ndarray, labels_N: np.ndarray) -> Scores:
    """Top-1 and top-5 error (section 2)."""
    return Scores(
        top_k_error(probs_NK, labels_N, 1),
        top_k_error(probs_NK, labels_N, paper.TOP),
    )


def top_k_error(probs_NK: np.ndarray, labels_N: np.ndarray, k: int) -> float:
    """The share of images whose label is not among the k most probable (section 2)."""
    return float(np.mean(rank_of_label(probs_NK, labels_N) >= k))


def rank_of_label(probs_NK: np.ndarray, labels_N: np.ndarray) -> np.ndarray:
    """How many classes stand before the correct one: int64, N; 0 where it is the first choice.

    Raises DataError where there is nothing to score, or a label or a probability cannot be one.
    """
    N, K = probs_NK.shape
    if N == 0:
        raise DataError("There is no image to score.")
    if labels_N.min() < 0 or labels_N.max() >= K:
        raise DataError(f"Labels run from {labels_N.min()} to {labels_N.max()} with {K} classes.")
    if not np.isfinite(probs_NK).all():
        raise DataError("Some probabilities are not finite numbers.")
    own_N1 = np.take_along_axis(probs_NK, labels_N[:, None], axis=1)
    earlier_NK = np.arange(K) < labels_N[:, None]
    before_NK = (probs_NK > own_N1) | ((probs_NK == own_N1) & earlier_NK)
    return np.asarray(before_NK.sum(axis=1))


def most_probable(probs_NK: np.ndarray, k: int) -> np.ndarray:
    """The k most probable classes, first choice first: int64, N x min(k, K)."""
    return np.argsort(-probs_NK, axis=1, kind="stable")[:, :k]


def confusion(probs_NK: np.ndarray, labels_N: np.ndarray) -> np.ndarray:
    """How many images of each class (row) were taken for each class (column): int64, K x K."""
    K = probs_NK.shape[1]
    pairs_N = labels_N * K + most_probable(probs_NK, 1)[:, 0]
    return np.bincount(pairs_N, minlength=K * K).reshape(K, K)


def per_class_errors(probs_NK: np.ndarray, labels_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Top-1 and top-5 error of each class: float64, K each; NaN for a class without images."""
    K = probs_NK.shape[1]
    ranks_N = rank_of_label(probs_NK, labels_N)
    count_K = np.bincount(labels_N, minlength=K).astype(float)
    count_K[count_K == 0] = np.nan
    top1_K, top5_K = (
        np.bincount(labels_N, weights=ranks_N >= k, minlength=K) / count_K for k in (1, paper.TOP)
    )
    return top1_K, top5_K


def chance(classes: int) -> Scores:
    """The errors of chance: of an order of the classes drawn at random."""
    return Scores(1 - 1 / classes, 1 - min(paper.TOP, classes) / classes)
