"""Intervals against SciPy, and sentences against what was predicted."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from alexnet.evaluation.scores import tally
from alexnet.verdict import collapsed, error_text, interval, judged, sentence

TITLES = ("cat", "dog", "chain saw", "moon")


def verdict(of: list[int], answers: list[int], classes: int = 4) -> str:
    """What is said of images of the classes `of` that were taken for `answers`."""
    found = tally(np.eye(classes)[answers], np.array(of))
    return judged(found, [*TITLES, *(f"class {k}" for k in range(4, classes))])


@given(st.integers(1, 5000), st.floats(0, 1))
def test_intervals_are_wilsons(images: int, share: float) -> None:
    wrong = round(share * images)
    low, high = interval(wrong, images)
    expected = binomtest(wrong, images).proportion_ci(method="wilson")
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-6)
    assert 0 <= low <= wrong / images <= high <= 1


@pytest.mark.parametrize(("wrong", "images"), [(1, 0), (0, 0), (12, 11), (-1, 11)])
def test_what_cannot_be_counted_has_no_interval(wrong: int, images: int) -> None:
    with pytest.raises(ValueError, match="cannot be wrong"):
        interval(wrong, images)


def test_few_images_are_told_as_counts() -> None:
    assert error_text(8, 11) == "8 of 11 wrong, 95 %: 43-90 %"
    assert error_text(0, 99) == "0 of 99 wrong, 95 %: 0-4 %"
    assert error_text(74, 360) == "20.6 %, 95 %: 16.7-25.0 %, n = 360"
    assert error_text(20000, 50000) == "40.0 %, 95 %: 39.6-40.4 %, n = 50,000"


def test_better_and_no_better_than_chance() -> None:
    of = [k % 4 for k in range(200)]
    turned = [(k + (n % 4 < 3)) % 4 for n, k in enumerate(of)]  # three of four are wrong
    assert verdict(of, of) == "Better than chance (75.0 %)."
    assert verdict(of, [0] * 200).startswith("No better than chance (75.0 %).")
    assert verdict(of, [(k + 1) % 4 for k in of]) == "Worse than chance (75.0 %)."
    assert verdict(of[:12], turned[:12]).endswith("as far as 12 images can tell.")


def test_unequal_classes_are_compared_with_the_largest() -> None:
    """Nine of ten are right by saying one thing; that is no better than nothing."""
    of = [0] * 180 + [1] * 20
    said = verdict(of, [0] * 200, classes=2)
    assert said.startswith('No better than always saying "cat" (10.0 %).')
    assert verdict(of, of, classes=2) == 'Better than always saying "cat" (10.0 %).'
    assert verdict([0] * 200, [0] * 200).startswith("Better than chance"), "no image of the others"


def test_predictions_that_collapse_are_told() -> None:
    of = [k % 4 for k in range(200)]
    assert verdict(of, [2] * 200).endswith('Every image became "chain saw".')
    nearly = [2] * 190 + of[190:]
    count = nearly.count(2)
    assert verdict(of, nearly).endswith(f'{count} of 200 images became "chain saw".')
    mixed = tally(np.eye(4)[[2] * 100 + of[100:]], np.array(of))
    assert collapsed(mixed, TITLES) == ""
    alone = tally(np.eye(4)[[1] * 5], np.array([1] * 5))  # nothing to confuse it with
    assert collapsed(alone, TITLES) == ""


def test_the_whole_verdict_has_number_interval_and_judgement() -> None:
    found = tally(np.eye(4)[[0] * 11], np.array([0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3]))
    assert sentence(found, TITLES) == (
        "Top-1 error: 8 of 11 wrong, 95 %: 43-90 %. No better than chance (75.0 %), as far as 11 "
        'images can tell. Every image became "cat".'
    )
