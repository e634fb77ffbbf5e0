"""The images that a report shows, chosen from a model's predictions.

Shape letters: N images, K classes.
"""

from __future__ import annotations

import numpy as np

from alexnet import paper
from alexnet.evaluation.predictions import Predictions
from alexnet.evaluation.scores import most_probable
from alexnet.figures.examples import Bar


def telling(predictions: Predictions, count: int) -> np.ndarray:
    """Images that show what a model can and cannot: int64, at most `count`, surest first.

    Evenly spread from the one whose correct class is most probable to the one where it is least,
    and of different classes as far as possible.
    """
    labels_N = predictions.labels_N
    N = len(labels_N)
    own_N = predictions.probs_NK[np.arange(N), labels_N]
    order_N = np.argsort(-own_N, kind="stable")
    within = 1 + N // (2 * count)
    chosen: list[int] = []
    for place in np.linspace(0, N - 1, min(count, N)).round():
        near = order_N[np.argsort(np.abs(np.arange(N) - place), kind="stable")[:within]].tolist()
        left = [n for n in near if n not in chosen]
        seen = {labels_N[n] for n in chosen}
        chosen += ([n for n in left if labels_N[n] not in seen] or left)[:1]
    return np.array(chosen, dtype=np.int64)


def bars_of(predictions: Predictions, n: int, top: int = paper.TOP) -> tuple[Bar, ...]:
    """The most probable labels of image `n`, first choice first."""
    probs_K = predictions.probs_NK[n]
    return tuple(
        Bar(predictions.titles[k], float(probs_K[k]), bool(k == predictions.labels_N[n]))
        for k in most_probable(probs_K[None], top)[0]
    )
