"""Averages of predictions, and what is refused."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from alexnet.base.errors import IncompatibleError
from alexnet.evaluation.ensemble import average
from alexnet.evaluation.predictions import Predictions
from alexnet.evaluation.scores import score


def predictions(probs: list[list[float]], order: str = "abc", **changes) -> Predictions:
    found = Predictions(
        keys=("one", "two"),
        labels_N=np.array([order.index("a"), order.index("c")]),
        probs_NK=np.array(probs, np.float32),
        classes=tuple(order),
        titles=tuple(order.upper()),
        provenance={"model": str(probs)},
    )
    return dataclasses.replace(found, **changes)


def test_the_average_is_of_probabilities_each_model_counting_the_same() -> None:
    members = [
        predictions([[0.5, 0.25, 0.25], [0.0, 0.5, 0.5]]),
        predictions([[0.25, 0.5, 0.25], [0.0, 1.0, 0.0]]),
        predictions([[0.0, 0.75, 0.25], [0.0, 0.0, 1.0]]),
        predictions([[0.25, 0.5, 0.25], [0.0, 0.5, 0.5]]),
    ]
    together = average(members)
    assert together.probs_NK.tolist() == [[0.25, 0.5, 0.25], [0.0, 0.5, 0.5]]
    assert [one["model"] for one in together.provenance["average_of"]] == [
        member.provenance["model"] for member in members
    ]


def test_two_models_that_err_on_different_images_can_be_right_together() -> None:
    first = predictions([[0.9, 0.1, 0.0], [0.5, 0.1, 0.4]])
    second = predictions([[0.4, 0.5, 0.1], [0.0, 0.1, 0.9]])
    alone = [score(one.probs_NK, one.labels_N).top1_error for one in (first, second)]
    together = average([first, second])
    assert alone == [0.5, 0.5]
    assert score(together.probs_NK, together.labels_N).top1_error == 0


def test_classes_in_another_order_are_matched_by_name() -> None:
    first = predictions([[0.5, 0.25, 0.25], [0.0, 0.5, 0.5]])
    same = predictions([[0.25, 0.5, 0.25], [0.5, 0.0, 0.5]], order="cab")
    assert average([first, same]).probs_NK == pytest.approx(first.probs_NK)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"keys": ("two", "one")}, "image 0 is 'one' by model 1 and 'two' by model 2"),
        ({"keys": ("one", "six")}, "image 1 is 'two' by model 1 and 'six' by model 2"),
        (
            {"labels_N": np.array([0, 1])},
            "'two' is 'c' by model 1 and 'b' by model 2",
        ),
        (
            {"classes": ("a", "b", "x")},
            "only in model 2: x; only in model 1: c",
        ),
        (
            {
                "keys": ("one",),
                "labels_N": np.array([0]),
                "probs_NK": np.ones((1, 3), np.float32) / 3,
            },
            "for 2 and 1 images",
        ),
    ],
)
def test_predictions_that_do_not_belong_together_are_refused(changes, said: str) -> None:
    probs = [[0.5, 0.25, 0.25], [0.0, 0.5, 0.5]]
    with pytest.raises(IncompatibleError) as caught:
        average([predictions(probs), predictions(probs, **changes)])
    assert said in str(caught.value)
