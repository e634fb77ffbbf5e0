"""How many seeds an effect needs: SciPy's noncentral t, simulation, and what was planned by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from alexnet.reproduce.power import (
    MOST_SEEDS,
    POWER,
    difference_spread,
    predicted_spread,
    seeds_for_absence,
    seeds_needed,
    smallest_effect,
)
from alexnet.reproduce.statistics import LEVEL, sign_flip_p, t_interval, t_p, widened_bca


def normal(size: float, S: int, count: int = 20_000) -> np.ndarray:
    """Differences of so many experiments, with an effect of so many spreads."""
    return np.random.default_rng(S).normal(size, 1, (count, S))


@pytest.mark.parametrize("S", [6, 11, 60])
def test_on_a_page_the_smallest_effect_is_that_of_the_noncentral_t(S: int) -> None:
    size = smallest_effect(2.0, S, LEVEL / 20)
    assert size
    shift = size / 2.0 * S**0.5
    reach = stats.t(S - 1).isf(LEVEL / 40)
    assert stats.nct(S - 1, shift).sf(reach) == pytest.approx(POWER, abs=1e-3)


@pytest.mark.parametrize(
    ("S", "level"),
    [(6, LEVEL), (7, LEVEL), (8, LEVEL), (10, LEVEL), (12, LEVEL), (14, LEVEL), (8, LEVEL / 5)],
)
def test_the_smallest_effect_is_shown_four_times_in_five(S: int, level: float) -> None:
    size = smallest_effect(1.0, S, level)
    assert size
    d_XS = normal(size, S, 3000)
    d_XS = d_XS[t_p(d_XS) <= level]
    d_XS = d_XS[sign_flip_p(d_XS) <= LEVEL]
    low_X, high_X = widened_bca(d_XS)
    assert ((low_X > 0) | (high_X < 0)).sum() / 3000 == pytest.approx(POWER, abs=0.025)


@pytest.mark.parametrize("margin", [0.5, 1.0, 3.0])
def test_absence_is_shown_four_times_in_five(margin: float) -> None:
    S = seeds_for_absence(margin, 1.0)
    assert S

    def power(seeds: int) -> float:
        low_X, high_X = t_interval(normal(0, seeds), 0.9)
        return float(((low_X > -margin) & (high_X < margin)).mean())

    assert power(S) > POWER - 0.02
    assert S == 3 or power(S - 1) < POWER + 0.02


def test_fewer_than_six_seeds_show_nothing() -> None:
    assert smallest_effect(0.1, 5) is None
    assert seeds_needed(100.0, 0.1) == 6


@pytest.mark.parametrize("effect", [0.2, -0.2, 0.5, 1.5, -3.0])
def test_seeds_needed_are_the_fewest(effect: float) -> None:
    S = seeds_needed(effect, 1.0)
    assert S and (smallest_effect(1.0, S) or 0) <= abs(effect)
    assert S == 6 or (smallest_effect(1.0, S - 1) or 0) > abs(effect)


def test_more_effects_on_a_page_need_more_seeds() -> None:
    assert (seeds_needed(1.0, 1.0, LEVEL / 20) or 0) > (seeds_needed(1.0, 1.0) or 0)


def test_without_spread_or_effect() -> None:
    assert seeds_needed(1.0, 0.0) == 6 and seeds_needed(0.0, 0.0) is None
    assert seeds_for_absence(1.0, 0.0) == 3
    assert seeds_needed(1e-4, 1.0) is None and seeds_needed(0.0, 1.0) is None
    assert (seeds_needed(0.03, 1.0) or 0) <= MOST_SEEDS


def test_what_a_plan_by_hand_says() -> None:
    """The spread of 3,925 images at 22 % and of 10,000 at 12 %, and seeds by normal quantiles: 28."""
    imagenette, cifar = predicted_spread(0.22, 3925), predicted_spread(0.12, 10_000)
    assert (round(100 * imagenette, 2), round(100 * cifar, 2)) == (0.53, 0.24)
    by_quantiles = (1.96 + 0.84) ** 2 * 2 * (100 * imagenette / 0.4) ** 2
    needed = seeds_needed(0.4, difference_spread(100 * imagenette))
    assert needed == math.ceil(by_quantiles) + 2 + 2  # two more for t, two for the BCa interval


def test_what_arms_have_in_common_cancels() -> None:
    draw = np.random.default_rng(0)
    common, a, b = draw.normal(size=(3, 400_000))
    arms = 0.7**0.5 * common + 0.3**0.5 * a, 0.7**0.5 * common + 0.3**0.5 * b
    assert difference_spread(1.0, 0.7) == pytest.approx(np.std(arms[0] - arms[1]), rel=0.01)
    assert difference_spread(1.0) == 2**0.5
