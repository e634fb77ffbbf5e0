"""What the kernels of a first layer are: how like their start, how smooth and how coloured, and whether
the columns differ in that (section 6.1, figure 3).

Each measure has a known mean for white noise, as every network starts with: a correlation of one, a
smoothness of a sixth (in kernels of 11 x 11), a colour share of two thirds. The first two are of a
kernel's form alone, what is left without the mean of each colour: noise on a coloured ground is noise.

Shape letters: M kernels, C colours, H x W pixels, P permutations.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

_HALF_OF_NYQUIST = 0.25  # cycles per pixel: the finest grating has 0.5
_PERMUTATIONS = 10_000


class Specialization(NamedTuple):
    """How far the mean colour shares of the two columns lie apart, and the probability (p) that they lie
    as far apart or farther where kernels are dealt to the columns at random.
    """

    difference: float
    p: float


def correlation(weights_MCHW: np.ndarray, start_MCHW: np.ndarray) -> np.ndarray:
    """The correlation of each kernel's form with the one that it started with, -1 to 1: M."""
    now_MCHW, then_MCHW = _form(weights_MCHW), _form(start_MCHW)
    both_M = (now_MCHW * then_MCHW).sum((1, 2, 3))
    return _ratio(both_M, np.sqrt(_energy(now_MCHW) * _energy(then_MCHW)))


def smoothness(weights_MCHW: np.ndarray) -> np.ndarray:
    """The share of the spectral energy of each kernel's form below half the Nyquist frequency, whatever
    the direction: M.
    """
    H, W = weights_MCHW.shape[2:]
    spectrum_MCHW = np.fft.fft2(_form(weights_MCHW))
    frequency_HW = np.hypot(np.fft.fftfreq(H)[:, None], np.fft.fftfreq(W))
    low_MCHW = spectrum_MCHW * (frequency_HW < _HALF_OF_NYQUIST)
    return _ratio(_energy(low_MCHW), _energy(spectrum_MCHW))


def colour_share(weights_MCHW: np.ndarray) -> np.ndarray:
    """The share of each kernel's energy that is not equal in all colours, 0 (grey) to 1: M."""
    coloured_MCHW = weights_MCHW - weights_MCHW.mean(1, dtype=np.float64, keepdims=True)
    return _ratio(_energy(coloured_MCHW), _energy(weights_MCHW))


def specialization(share_M: np.ndarray) -> Specialization:
    """Whether one column has the coloured kernels, by a permutation test: the first half of the M are
    the first column's. The same shares always have the same p.
    """
    rng = np.random.default_rng(0)
    dealt_PM = rng.permuted(np.tile(share_M, (_PERMUTATIONS, 1)), axis=1)
    difference, *others_P = np.abs(_apart(np.vstack([share_M, dealt_PM])))
    rounding = 1e-9  # sums in another order: a deal of the same columns is as far apart
    as_far = np.count_nonzero(np.array(others_P) >= difference - rounding)
    return Specialization(float(difference), float((1 + as_far) / (1 + _PERMUTATIONS)))


def _apart(share_PM: np.ndarray) -> np.ndarray:
    """The first half's mean less the second's: P."""
    first_PM, second_PM = np.split(share_PM.astype(np.float64), 2, axis=1)
    return np.asarray(first_PM.mean(1) - second_PM.mean(1))


def _form(weights_MCHW: np.ndarray) -> np.ndarray:
    """The kernels without the mean of each colour: float64."""
    return np.asarray(weights_MCHW - weights_MCHW.mean((2, 3), dtype=np.float64, keepdims=True))


def _energy(x_MCHW: np.ndarray) -> np.ndarray:
    """The sum of squares of each kernel: M."""
    return np.asarray((np.abs(x_MCHW) ** 2).sum((1, 2, 3), dtype=np.float64))


def _ratio(part_M: np.ndarray, whole_M: np.ndarray) -> np.ndarray:
    """part / whole, zero where there is nothing: a kernel may be all zeros."""
    return np.asarray(np.divide(part_M, whole_M, out=np.zeros_like(part_M), where=whole_M > 0))
