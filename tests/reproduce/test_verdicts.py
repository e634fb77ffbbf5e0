"""The rules, each by a case that it decides and by one that it just does not."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from alexnet.reproduce.power import seeds_for_absence, seeds_needed
from alexnet.reproduce.statistics import Effect, effect
from alexnet.reproduce.verdicts import (
    RULES,
    SIGNIFICANT,
    Expected,
    Verdict,
    judge,
)

DOCS = Path(__file__).parents[2] / "docs" / "reproduce.md"
NOISE = (-0.2, -0.1, 0.0, 0.1, 0.05, 0.15, -0.05, -0.15)
LRN = Expected("top1", -1, -1.4)


def of(mean: float, seeds: int = 6, noise: float = 1.0) -> Effect:
    """An effect of about this mean whose differences vary by a few tenths of `noise`."""
    d = np.array([mean + noise * NOISE[n] for n in range(seeds)])
    return effect(range(seeds), (20 + d).tolist(), [20.0] * seeds)


def alone(found: Effect, expected: Expected) -> Verdict:
    (verdict,) = judge([(found, expected)])
    return verdict


@pytest.mark.parametrize(
    ("found", "expected", "word"),
    [
        (of(-1.3), LRN._replace(same_images=True), "reproduced"),
        (of(-1.3), LRN, "direction holds"),  # CIFAR-10 is not ImageNet
        (of(-2.3), LRN._replace(same_images=True), "direction holds"),  # the interval is elsewhere
        (of(-1.3), Expected("top1", -1), "direction holds"),
        (of(-1.3, 5), LRN, "undecided"),  # as clear as it is, five seeds are not enough
        (of(+1.3), LRN, "contradicted"),
        (of(+1.3), Expected("top1", -1), "contradicted"),
        (of(-1.3), Expected("training time", 0), "contradicted"),
        (of(0.0), Expected("training time", 0), "undecided"),  # not seen is not shown to be none
        (of(0.05), LRN, "absent"),
        (of(0.05, 3), LRN, "absent"),
        (of(0.05, 2), LRN, "undecided"),
        (of(0.05), Expected("top1", -1), "undecided"),  # how small would be small?
        (of(0.05, noise=12), LRN, "undecided"),
        (of(-0.65, 4, noise=1), LRN, "undecided"),  # between half and none
        (of(-0.3), LRN, "direction holds"),  # less than half of the paper's, and yet there
        (of(+0.3), LRN, "contradicted"),
        (of(0.0, 1), LRN, "undecided"),
        (of(0.0, noise=0), LRN, "undecided"),  # no spread was seen
        (of(-1.0, noise=0), LRN, "direction holds"),
        (of(-1.4, noise=0), LRN._replace(same_images=True), "direction holds"),  # without an interval
        (of(-2.0), Expected("epochs to 25 %", -1, float(np.log2(1 / 6))), "direction holds"),
    ],
)  # fmt: skip
def test_rules(found: Effect, expected: Expected, word: str) -> None:
    verdict = alone(found, expected)
    assert verdict.word == word, verdict.reason
    assert verdict.reason.endswith(".") and verdict.reason.count(". ") == 0  # one sentence
    assert (verdict.more_seeds is None) or word == "undecided"


def test_all_that_significance_asks_for_is_needed() -> None:
    """Six seeds of one sign whose t interval holds zero; five of six, where the sign flips say no."""
    one_sign = [0.1, 0.1, 0.1, 0.1, 0.1, 4.0]
    found = effect(range(6), one_sign, [0.0] * 6)
    assert found.sign_flip_p < 0.05 and found.t_interval and found.t_interval.has(0)
    assert alone(found, Expected("top1", 1)).word == "undecided"
    five = effect(range(6), [1.0, 1.1, 0.9, 1.2, 1.0, -0.05], [0.0] * 6)
    assert five.t_p and five.t_p < 0.05 < five.sign_flip_p
    assert alone(five, Expected("top1", 1)).word == "undecided"


def test_the_more_effects_on_a_page_the_more_each_has_to_show() -> None:
    weak, strong, unseen = of(-0.21), of(-1.3), of(0.0)
    assert weak.t_p and 0.01 < weak.t_p < 0.05 and weak.sign_flip_p < 0.05
    direction = Expected("top1", -1)
    assert alone(weak, direction).word == "direction holds"
    page = judge([(weak, direction), *[(unseen, direction)] * 4, (strong, direction)])
    assert [verdict.word for verdict in page] == ["undecided"] * 5 + ["direction holds"]
    assert page[0].p == pytest.approx(5 * weak.t_p)  # strong comes first, five are left
    # Those that cannot be significant anyway are not counted.
    assert judge([(weak, direction), (of(-1.3, 5), direction)])[0].word == "direction holds"
    assert judge([]) == []


def more(found: Effect, expected: Expected, beside: Sequence[Effect] = ()) -> int | None:
    return judge([(found, expected), *[(one, expected) for one in beside]])[0].more_seeds


def test_seeds_that_are_still_needed() -> None:
    assert more(of(0.0, 1), LRN) == 5  # the spread is unknown
    assert more(of(-1.3, 4), LRN) == 2
    assert more(of(-1.3, 4), Expected("top1", -1)) == 2
    assert more(of(0.0), Expected("top1", -1)) is None
    noisy = of(0.05, noise=12)
    assert noisy.spread == pytest.approx(12 * np.std(NOISE[:6], ddof=1))
    needed = seeds_needed(1.4, noisy.spread)
    assert needed and more(noisy, LRN) == needed - 6
    assert (more(noisy, LRN, [noisy] * 9) or 0) > needed - 6  # beside nine others
    # Where so many are there and it is still open: those that show that it is small, if it is.
    between = of(-0.4, 8, noise=6)
    assert between.spread and (seeds_needed(1.4, between.spread) or 0) <= 8
    assert more(between, LRN) == (seeds_for_absence(0.7, between.spread) or 0) - 8 > 0


def test_reasons_say_what_was_seen() -> None:
    assert alone(of(-1.3), LRN).reason == (
        "−1.30 points over 6 seeds, [−1.44, −1.16], adjusted p < 0.001: significant, with the sign of "
        "the paper's −1.40 points, on other images."
    )
    assert alone(of(0.05, 3), LRN).reason == (
        "The 90 % interval over 3 seeds, [−0.22, +0.12], lies within [−0.70, +0.70]: no effect, or one "
        "that is less than half of the paper's −1.40 points."
    )
    six_times = Expected("epochs to 25 %", -1, float(np.log2(1 / 6)))
    assert "0.25 times over 6 seeds" in alone(of(-2.0), six_times).reason
    assert "less than half of the paper's −1.40 points" in alone(of(-0.3), LRN).reason
    none = alone(of(-2.0), Expected("training time", 0)).reason
    assert "significant, where the paper says that it is no different." in none
    assert "5 more at least" in alone(of(0.0, 1), LRN).reason


def test_the_page_of_docs_has_these_rules() -> None:
    text = " ".join(DOCS.read_text(encoding="utf-8").split())
    assert SIGNIFICANT in text
    rows = re.findall(r"\| \*(\w+(?: holds)?)\* \| ([^|]+?) \|", text)
    assert rows == list(RULES.items())
