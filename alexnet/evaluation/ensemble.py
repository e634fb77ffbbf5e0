"""Several models as one: the average of their predictions (section 6, table 2)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from alexnet.base.errors import IncompatibleError
from alexnet.evaluation.predictions import Predictions, matching_columns


def average(members: Sequence[Predictions]) -> Predictions:
    """The uniform average of predictions for the same images, in the first one's class order.

    Raises IncompatibleError, which names the difference, where images, labels or classes differ.
    """
    first = members[0]
    total_NK = first.probs_NK.astype(np.float64)
    for place, member in enumerate(members[1:], start=2):
        columns_K = matching_columns(member.classes, first.classes, (f"model {place}", "model 1"))
        _require_same_images(first, member, place, columns_K)
        total_NK += member.probs_NK[:, columns_K]
    return Predictions(
        keys=first.keys,
        labels_N=first.labels_N,
        probs_NK=(total_NK / len(members)).astype(np.float32),
        classes=first.classes,
        titles=first.titles,
        provenance={"average_of": [dict(member.provenance) for member in members]},
    )


def _require_same_images(
    first: Predictions, member: Predictions, place: int, columns_K: np.ndarray
) -> None:
    remedy = "Average predictions of the same split of the same dataset."
    if len(member.keys) != len(first.keys):
        raise IncompatibleError(
            f"The predictions are for {len(first.keys)} and {len(member.keys)} images.",
            where=f"models 1 and {place}",
            remedy=remedy,
        )
    for n, (mine, theirs) in enumerate(zip(first.keys, member.keys, strict=True)):
        if mine != theirs:
            raise IncompatibleError(
                "The predictions are for different images, or in a different order.",
                where=f"image {n} is {mine!r} by model 1 and {theirs!r} by model {place}",
                remedy=remedy,
            )
    # columns_K[j] is the member's number for the first one's class j.
    differ = np.flatnonzero(columns_K[first.labels_N] != member.labels_N)
    if differ.size:
        n = int(differ[0])
        raise IncompatibleError(
            "The same image has different labels.",
            where=f"{first.keys[n]!r} is {first.classes[first.labels_N[n]]!r} by model 1 "
            f"and {member.classes[member.labels_N[n]]!r} by model {place}",
            remedy=remedy,
        )
