"""Paired statistics: what runs with and without something, of the same seeds, say of the difference.

Intervals and p values are closed formulas or enumerations. The one bootstrap draws with a fixed key, so
that the same values give the same numbers. docs/reproduce.md has the reasons, and what the intervals
cover; how many seeds an effect needs is the matter of `power`.

Shape letters: S seeds, N images, B resamples; X any axes before: experiments, computed side by side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy.special import ndtr, ndtri
from scipy.stats import t as student

LEVEL = 0.05
FEWEST = 6  # seeds that can show anything: with five, the smallest p of sign flips is 2/32
ENUMERATED = 20  # up to so many seeds all sign flips are tried
_RESAMPLES = 10_000
_FLIPS = 100_000  # tried at random beyond
_KEY = 2012
_ROUNDING = 1e-9  # sums that differ by less, in proportion, are the same number

Ends_X = tuple[np.ndarray, np.ndarray]  # lower and upper


class Interval(NamedTuple):
    """A confidence interval."""

    low: float
    high: float

    def has(self, value: float) -> bool:
        """Whether `value` lies inside."""
        return self.low <= value <= self.high


@dataclass(frozen=True)
class Effect:
    """The differences of two arms, with minus without, paired by seed; None where there is no answer.

    No interval is given where all differences are the same: their spread was not seen.
    """

    seeds: tuple[int, ...]
    values_with: tuple[float, ...]
    values_without: tuple[float, ...]
    differences: tuple[float, ...]
    mean: float
    spread: float | None  # standard deviation of the differences; from two seeds on
    t_interval: Interval | None  # 95 %, over seeds: would it come out again?
    t_p: float | None
    bca: Interval | None  # 95 %, over seeds, without normality; from six seeds on
    sign_flip_p: float  # exact, two-sided
    seeds_and_images: Interval | None  # 95 %: does it hold for new images too?
    correlation: float | None  # of the two arms over seeds; from three on
    welch: Interval | None  # 95 %, unpaired; where the correlation is not positive


def effect(
    seeds: Sequence[int],
    values_with: Sequence[float],
    values_without: Sequence[float],
    right_SN: tuple[np.ndarray, np.ndarray] | None = None,
) -> Effect:
    """The effect of what one arm has and the other does not.

    A value is a run's metric: errors in percentage points, what is counted in times as its log2.
    `right_SN` has for each arm which images were classified rightly, where the metric is their error.
    Raises ValueError for values that are no numbers, not one for each of several seeds, or other
    errors than those of the images.
    """
    with_S, without_S = np.asarray(values_with, float), np.asarray(values_without, float)
    S = len(seeds)
    if S == 0 or len(set(seeds)) < S or with_S.shape != (S,) or without_S.shape != (S,):
        raise ValueError(f"One value for each arm and seed is needed; seeds {list(seeds)}.")
    if not np.isfinite([with_S, without_S]).all():
        raise ValueError("Some values are not finite numbers.")
    d_S = with_S - without_S
    seen = bool(np.ptp(d_S) > _ROUNDING * max(abs(with_S).max(), abs(without_S).max()))
    over_images = None
    if right_SN is not None:
        errors = 100 * (1 - right_SN[0].mean(axis=1)), 100 * (1 - right_SN[1].mean(axis=1))
        if not np.allclose(errors, (with_S, without_S), rtol=0, atol=1e-6):
            raise ValueError("The values are not the errors, in points, of these images.")
        over_images = _one(seeds_and_images_interval(*right_SN)) if seen else None
    r = correlation(with_S, without_S)
    return Effect(
        seeds=tuple(seeds),
        values_with=tuple(with_S.tolist()),
        values_without=tuple(without_S.tolist()),
        differences=tuple(d_S.tolist()),
        mean=float(d_S.mean()),
        spread=None if S == 1 else float(d_S.std(ddof=1)) if seen else 0.0,
        t_interval=_one(t_interval(d_S)) if seen else None,
        t_p=float(t_p(d_S)) if seen else None,
        bca=_one(widened_bca(d_S)) if seen and S >= FEWEST else None,
        sign_flip_p=float(sign_flip_p(d_S)),
        seeds_and_images=over_images,
        correlation=r,
        welch=_one(welch_interval(with_S, without_S)) if r is not None and r <= 0 else None,
    )


def _one(ends: Ends_X) -> Interval:
    return Interval(float(ends[0]), float(ends[1]))


# --- Over seeds -----------------------------------------------------------------------------------


def t_interval(d_XS: np.ndarray, confidence: float = 1 - LEVEL) -> Ends_X:
    """Student's interval of the mean difference; the differences of an experiment are not all equal."""
    S = d_XS.shape[-1]
    half_X = student.ppf((1 + confidence) / 2, S - 1) * d_XS.std(axis=-1, ddof=1) / S**0.5
    mean_X = d_XS.mean(axis=-1)
    return mean_X - half_X, mean_X + half_X


def t_p(d_XS: np.ndarray) -> np.ndarray:
    """The two-sided p of Student's paired test; the differences of an experiment are not all equal."""
    S = d_XS.shape[-1]
    t_X = d_XS.mean(axis=-1) / (d_XS.std(axis=-1, ddof=1) / S**0.5)
    return np.asarray(2 * student.sf(abs(t_X), S - 1))


def sign_flip_p(d_XS: np.ndarray) -> np.ndarray:
    """The share of sign flips whose sum is at least as far from zero: two-sided, exact up to 20 seeds.

    Without an effect a difference is as likely as its negative. Of S seeds the smallest p is 2 / 2^S.
    """
    S = d_XS.shape[-1]
    size_X = abs(d_XS).sum(axis=-1)
    if S <= ENUMERATED:
        sums_XB = d_XS[..., :1]  # the first sign need not be flipped: sums come in pairs, s and -s
        for s in range(1, S):
            d_X1 = d_XS[..., s : s + 1]
            sums_XB = np.concatenate([sums_XB + d_X1, sums_XB - d_X1], axis=-1)
    else:
        bits_BS = np.random.Philox(key=_KEY).random_raw(_FLIPS * S).reshape(_FLIPS, S) >> np.uint64(
            63
        )
        signs_BS = 1 - 2.0 * bits_BS
        signs_BS[0] = 1  # as observed: no p is zero
        sums_XB = d_XS @ signs_BS.T
    reach_X1 = (abs(d_XS.sum(axis=-1)) - _ROUNDING * size_X)[..., None]
    return np.asarray((abs(sums_XB) >= reach_X1).mean(axis=-1))


def bca_interval(d_XS: np.ndarray, confidence: float = 1 - LEVEL) -> Ends_X:
    """The bootstrap interval of the mean, bias-corrected and accelerated (Efron 1987), of one key.

    The differences of an experiment are not all equal.
    """
    mean_X1 = d_XS.mean(axis=-1, keepdims=True)
    e_XS = d_XS - mean_X1
    means_XB = np.sort(e_XS @ _resampled(d_XS.shape[-1]).T, axis=-1)
    cubes_X, squares_X = (e_XS**3).sum(axis=-1), (e_XS**2).sum(axis=-1)
    acceleration_X = cubes_X / (6 * squares_X**1.5)
    equal_X1 = _ROUNDING * abs(e_XS).sum(axis=-1, keepdims=True)  # a tie with the mean counts half
    below_X = ((means_XB < -equal_X1).mean(axis=-1) + (means_XB <= equal_X1).mean(axis=-1)) / 2
    bias_X = ndtri(below_X)

    def end(z: float) -> np.ndarray:
        shifted_X = bias_X + z
        place_X = ndtr(bias_X + shifted_X / (1 - acceleration_X * shifted_X)) * (_RESAMPLES - 1)
        first_X1 = np.floor(place_X).astype(int)[..., None]
        next_X1 = np.minimum(first_X1 + 1, _RESAMPLES - 1)
        part_X1 = place_X[..., None] - first_X1
        ends_X1 = (1 - part_X1) * np.take_along_axis(means_XB, first_X1, axis=-1)
        ends_X1 += part_X1 * np.take_along_axis(means_XB, next_X1, axis=-1)
        return np.asarray((mean_X1 + ends_X1)[..., 0])

    z = float(ndtri((1 + confidence) / 2))
    return end(-z), end(z)


def widened_bca(d_XS: np.ndarray) -> Ends_X:
    """The 95 % BCa interval, its ends moved away from the mean until it covers 95 % with few seeds.

    Of S seeds the bootstrap's spread is too small by sqrt((S - 1) / S), and it takes it for certain: the
    factor is that root times Student's quantile over the normal one. Bias and acceleration are estimated
    too; of the two, one more degree of freedom is given up, S - 2, because that covers (measured).
    """
    S = d_XS.shape[-1]
    factor = (S / (S - 1)) ** 0.5 * student.ppf(1 - LEVEL / 2, S - 2) / ndtri(1 - LEVEL / 2)
    mean_X = d_XS.mean(axis=-1)
    low_X, high_X = bca_interval(d_XS)
    return mean_X + factor * (low_X - mean_X), mean_X + factor * (high_X - mean_X)


@lru_cache(maxsize=8)
def _resampled(S: int) -> np.ndarray:
    """The weight of each seed in each resample: B x S. Raw words are the same in every NumPy."""
    draws_BS = np.random.Philox(key=_KEY).random_raw(_RESAMPLES * S).reshape(
        _RESAMPLES, S
    ) % np.uint64(S)
    return np.stack([(draws_BS == np.uint64(s)).mean(axis=1) for s in range(S)], axis=1)


def correlation(with_S: np.ndarray, without_S: np.ndarray) -> float | None:
    """Pearson's correlation of the arms over seeds: None below three, or where an arm does not vary."""
    a_S, b_S = with_S - with_S.mean(), without_S - without_S.mean()
    varies = [
        abs(one_S).max() > _ROUNDING * abs(all_S).max()
        for one_S, all_S in ((a_S, with_S), (b_S, without_S))
    ]
    if len(a_S) < 3 or not all(varies):
        return None
    return float(np.clip(a_S @ b_S / ((a_S @ a_S) * (b_S @ b_S)) ** 0.5, -1, 1))


def welch_interval(with_XS: np.ndarray, without_XS: np.ndarray) -> Ends_X:
    """Welch's 95 % interval of the difference, as if the seeds of the arms had nothing in common."""
    S = with_XS.shape[-1]
    a_X, b_X = (one_XS.var(axis=-1, ddof=1) / S for one_XS in (with_XS, without_XS))
    freedom_X = (S - 1) * (a_X + b_X) ** 2 / (a_X**2 + b_X**2)
    half_X = student.ppf(1 - LEVEL / 2, freedom_X) * (a_X + b_X) ** 0.5
    mean_X = with_XS.mean(axis=-1) - without_XS.mean(axis=-1)
    return mean_X - half_X, mean_X + half_X


# --- Over seeds and images ------------------------------------------------------------------------


def seeds_and_images_interval(with_XSN: np.ndarray, without_XSN: np.ndarray) -> Ends_X:
    """The 95 % interval of the difference in error, in points, for new seeds and new images.

    Both arms have the same images and, from two on, the same seeds: bool, S x N, right or not. Its half
    width is the root of the sum of squares of Student's over seeds and over images; chance in single
    decisions, which is part of both, is counted once. Never narrower than the interval over seeds.
    """
    S, N = with_XSN.shape[-2:]
    d_XSN = 100.0 * (without_XSN.astype(np.int8) - with_XSN.astype(np.int8))
    seeds_XS, images_XN = d_XSN.mean(axis=-1), d_XSN.mean(axis=-2)
    mean_X = seeds_XS.mean(axis=-1)
    seeds_X, images_X = seeds_XS.var(axis=-1, ddof=1), images_XN.var(axis=-1, ddof=1)
    rest_XSN = d_XSN - seeds_XS[..., :, None] - images_XN[..., None, :] + mean_X[..., None, None]
    single_X = (rest_XSN**2).sum(axis=(-2, -1)) / ((S - 1) * (N - 1))
    t_S, t_N = (student.ppf(1 - LEVEL / 2, count - 1) for count in (S, N))
    images_X = np.maximum(images_X - single_X / S, 0)
    half_X = np.sqrt(t_S**2 * seeds_X / S + t_N**2 * images_X / N)
    return mean_X - half_X, mean_X + half_X


# --- Over a page ----------------------------------------------------------------------------------


def holm(ps: Sequence[float | None]) -> list[float | None]:
    """p values adjusted for their number (Holm 1979), in the same order; None are not counted."""
    adjusted: list[float | None] = [None] * len(ps)
    known = sorted((p, place) for place, p in enumerate(ps) if p is not None)
    largest = 0.0
    for rank, (p, place) in enumerate(known):
        largest = max(largest, min(1.0, (len(known) - rank) * p))
        adjusted[place] = largest
    return adjusted
