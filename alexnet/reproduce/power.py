"""How large an effect so many seeds can show, and how many seeds an effect needs.

A difference of one seed has a `spread`, its standard deviation over seeds; both are in the same unit.
What "shows" an effect is the rule of `verdicts`: Student's test, sign flips and BCa interval agree.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr
from scipy.stats import chi2
from scipy.stats import t as student

from alexnet.reproduce.statistics import FEWEST, LEVEL

POWER = 0.8
FEWEST_FOR_ABSENCE = 3
MOST_SEEDS = 10_000
_GRID = 4_000  # values of a spread, equally probable

# How many times larger an effect has to be where the sign flips and the BCa interval are to agree with
# Student's test at 5 %, for a power of 80 % of all three: measured, with normal differences.
_FOR_ALL = {6: 1.255, 7: 1.12, 8: 1.095, 9: 1.08, 10: 1.07, 11: 1.055, 12: 1.05}
_BEYOND = 1.03


def predicted_spread(error: float, images: int) -> float:
    """The spread over seeds of the error on a test set of so many images, before any run; shares.

    sqrt(error / 2N): derived for two classes (arXiv 2304.01910), a guide for more.
    """
    return float((error / (2 * images)) ** 0.5)


def difference_spread(spread: float, correlation: float = 0.0) -> float:
    """The spread of a seed's difference, where each arm has this spread, and both this correlation."""
    return float(spread * (2 * (1 - correlation)) ** 0.5)


def smallest_effect(spread: float, seeds: int, level: float = LEVEL) -> float | None:
    """The smallest effect that so many paired seeds show, with a power of 80 %; None below six seeds.

    `level` is that of the test; on a page with m effects Holm's correction may ask for 0.05 / m.
    """
    if seeds < FEWEST:
        return None
    alone = _of_student(seeds, LEVEL) * _FOR_ALL.get(seeds, _BEYOND)
    return spread * max(alone, _of_student(seeds, level))


def seeds_needed(effect: float, spread: float, level: float = LEVEL) -> int | None:
    """How many paired seeds show an effect, with a power of 80 %: six at least; None beyond 10,000."""
    if spread == 0:
        return FEWEST if effect else None

    def shown(seeds: int) -> bool:
        smallest = smallest_effect(spread, seeds, level)
        return smallest is not None and abs(effect) >= smallest

    return _first(shown, FEWEST)


def seeds_for_absence(margin: float, spread: float) -> int | None:
    """How many paired seeds place the 90 % interval within +-margin where there is no effect.

    With a power of 80 %; three at least, None beyond 10,000.
    """
    if spread == 0:
        return FEWEST_FOR_ABSENCE

    def placed(seeds: int) -> bool:
        half_G = student.ppf(1 - LEVEL, seeds - 1) * _spreads(
            seeds - 1
        )  # of the interval, in errors
        inside_G = 2 * ndtr(margin / spread * seeds**0.5 - half_G) - 1
        return bool(np.maximum(inside_G, 0).mean() >= POWER)

    return _first(placed, FEWEST_FOR_ABSENCE)


@lru_cache(maxsize=512)
def _of_student(seeds: int, level: float) -> float:
    """The smallest effect, in spreads, that Student's test alone shows."""
    return float(brentq(lambda size: _power(size, seeds, level) - POWER, 0, 1000))


def _power(size: float, seeds: int, level: float) -> float:
    """The power of Student's two-sided test: `size` is the effect in spreads.

    This is the noncentral t distribution, summed over what the spread is estimated to be: SciPy's own
    gives no number for large effects.
    """
    reach_G = student.isf(level / 2, seeds - 1) * _spreads(seeds - 1)
    shift = size * seeds**0.5
    return float((ndtr(shift - reach_G) + ndtr(-shift - reach_G)).mean())


@lru_cache(maxsize=64)
def _spreads(freedom: int) -> np.ndarray:
    """Estimated over true spread, at equally probable places: G."""
    places_G = (np.arange(_GRID) + 0.5) / _GRID
    return np.asarray(np.sqrt(chi2.ppf(places_G, freedom) / freedom))


def _first(holds: Callable[[int], bool], start: int) -> int | None:
    """The first number from `start` on for which something holds that then holds for all."""
    low, high = start - 1, start
    while not holds(high):
        if high >= MOST_SEEDS:
            return None
        low, high = high, min(2 * high, MOST_SEEDS)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high
