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
from alexnet.verdict import Tally, has_top5, tally_of


class Scores(NamedTuple):
    """Shares of images, 0 to 1. With five classes or fewer there is no top-5 error: it would be zero."""

    top1_error: float
    top5_error: float | None


def score(probs_NK: np.ndarray, labels_N: np.ndarray) -> Scores:
    """Top-1 and top-5 error (section 2)."""
    top5 = top_k_error(probs_NK, labels_N, paper.TOP) if has_top5(probs_NK.shape[1]) else None
    return Scores(top_k_error(probs_NK, labels_N, 1), top5)


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


def tally(probs_NK: np.ndarray, labels_N: np.ndarray) -> Tally:
    """What a verdict is made from: how many are wrong, and which class was named how often."""
    counts_KK = confusion(probs_NK, labels_N)
    named_K = counts_KK.sum(axis=0)
    wrong, answer = len(labels_N) - np.trace(counts_KK), int(named_K.argmax())
    return tally_of(counts_KK.sum(axis=1).tolist(), int(wrong), answer, int(named_K[answer]))


class Retrieved(NamedTuple):
    """Of each class, 0 to 1, float64, K each; NaN where there is nothing to divide by.

    Precision: of the images taken for it, those that are of it. Recall: of its images, those taken for
    it. F1: the harmonic mean of both.
    """

    precision_K: np.ndarray
    recall_K: np.ndarray
    f1_K: np.ndarray


def retrieved(counts_KK: np.ndarray) -> Retrieved:
    """Precision, recall and F1 of each class from a confusion table."""
    right_K = np.diag(counts_KK).astype(float)
    of_K, named_K = counts_KK.sum(axis=1), counts_KK.sum(axis=0)
    with np.errstate(invalid="ignore"):  # 0 / 0 is NaN
        return Retrieved(right_K / named_K, right_K / of_K, 2 * right_K / (of_K + named_K))


def per_class_errors(probs_NK: np.ndarray, labels_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Top-1 and top-5 error of each class: float64, K each; NaN for a class without images.

    With five classes or fewer all top-5 errors are zero.
    """
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
    return Scores(1 - 1 / classes, 1 - paper.TOP / classes if has_top5(classes) else None)
