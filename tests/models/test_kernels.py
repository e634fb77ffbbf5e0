"""What kernels have learned: each measure beside a case whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from alexnet.config import StartConfig
from alexnet.models.kernels import colour_share, correlation, smoothness, specialization
from alexnet.network import AlexNet

NOISE_MCHW = np.random.default_rng(0).normal(0, 0.01, (96, 3, 11, 11)).astype(np.float32)
Y_HW, X_HW = np.mgrid[-5:6, -5:6]
GREY, ORANGE_BLUE = np.array([1, 1, 1]), np.array([1, 0, -1])


def gabor(wavelength: float, angle: float, colours_C: np.ndarray, width: float = 2.5) -> np.ndarray:
    """A grating under a Gaussian window, as figure 3 has them: C x H x W, wavelength in pixels."""
    along_HW = X_HW * np.cos(angle) + Y_HW * np.sin(angle)
    window_HW = np.exp(-(X_HW**2 + Y_HW**2) / (2 * width**2))
    wave_HW = np.cos(2 * np.pi * along_HW / wavelength + 1)
    return np.asarray(colours_C[:, None, None] * (wave_HW * window_HW))


def test_a_network_at_its_start_is_noise_by_every_measure() -> None:
    for start in (StartConfig(), StartConfig(rule="he", gain=0.6, bias=0.0)):
        weights_MCHW = AlexNet(10, start=start).weight_and_bias("conv1")[0].detach().numpy()
        assert correlation(weights_MCHW, weights_MCHW) == pytest.approx(1)
        assert smoothness(weights_MCHW).mean() == pytest.approx(20 / 120, abs=0.02)
        assert smoothness(weights_MCHW).max() < 0.35
        assert colour_share(weights_MCHW).mean() == pytest.approx(2 / 3, abs=0.02)
        assert specialization(colour_share(weights_MCHW)).p > 0.05


def test_edges_gratings_and_blobs_are_smooth_and_kernels_under_noise_are_between() -> None:
    """Wavelengths as in figure 3: five pixels and more."""
    learned_MCHW = np.stack(
        [
            gabor(wavelength, angle, colours_C)
            for wavelength in (5, 6, 8, 11, 20)
            for angle in np.linspace(0, np.pi, 6)
            for colours_C in (GREY, ORANGE_BLUE)
        ]
    )
    assert smoothness(learned_MCHW).min() > 0.6
    noise_MCHW = NOISE_MCHW[: len(learned_MCHW)] / np.std(NOISE_MCHW)
    equal_MCHW = learned_MCHW / learned_MCHW.std((1, 2, 3), keepdims=True) + noise_MCHW
    assert 0.4 < np.median(smoothness(equal_MCHW)) < 0.65
    assert smoothness(gabor(2.5, 0.3, GREY)[None])[0] < 0.1


def test_smoothness_is_that_of_sums_of_waves() -> None:
    """cos at 2 / 11 cycles per pixel lies below a quarter, at (2, 2) / 11 above: Parseval by hand."""
    below_HW = np.cos(2 * np.pi * 2 * X_HW / 11)
    above_HW = np.cos(2 * np.pi * 2 * (X_HW + Y_HW) / 11)
    kernel_HW = 3 * below_HW + 4 * above_HW
    assert smoothness(np.stack([kernel_HW] * 3)[None])[0] == pytest.approx(9 / 25)
    assert smoothness(np.stack([below_HW] * 3)[None])[0] == pytest.approx(1)


def test_noise_on_a_coloured_ground_is_noise() -> None:
    ground_C = np.array([0.1, 0.0, -0.05])[:, None, None]
    assert smoothness(NOISE_MCHW + ground_C) == pytest.approx(smoothness(NOISE_MCHW), rel=1e-4)
    assert correlation(NOISE_MCHW + ground_C, NOISE_MCHW) == pytest.approx(1)
    assert colour_share(NOISE_MCHW + ground_C).min() > 0.7


def test_correlation_is_scipys_where_no_colour_has_a_mean() -> None:
    start_MCHW = np.random.default_rng(1).normal(0.3, 1, NOISE_MCHW.shape)
    now_MCHW = 50 * NOISE_MCHW + np.linspace(0, 2, 96)[:, None, None, None] * start_MCHW
    found_M = correlation(now_MCHW, start_MCHW)
    for found, now_CHW, start_CHW in zip(found_M, now_MCHW, start_MCHW, strict=True):
        pair = ((one - one.mean((1, 2), keepdims=True)).ravel() for one in (now_CHW, start_CHW))
        assert found == pytest.approx(stats.pearsonr(*pair)[0])


def test_colour_share_of_grey_opposed_and_mixed_kernels() -> None:
    """Colours (3, 1, -1) are (1, 1, 1) and (2, 0, -2): 8 parts of 11 are coloured."""
    kernels_MCHW = np.stack(
        [gabor(6, 0, GREY), gabor(6, 0, ORANGE_BLUE), gabor(6, 0, np.array([3, 1, -1]))]
    )
    assert colour_share(kernels_MCHW) == pytest.approx([0, 1, 8 / 11])


def test_kernels_of_zeros_have_nothing_of_anything() -> None:
    zeros_MCHW = np.zeros((2, 3, 11, 11), np.float32)
    for found_M in (
        correlation(zeros_MCHW, NOISE_MCHW[:2]),
        smoothness(zeros_MCHW),
        colour_share(zeros_MCHW),
    ):
        assert found_M.tolist() == [0, 0]


def test_specialization_is_found_where_it_is_and_has_scipys_p() -> None:
    rng = np.random.default_rng(2)
    share_M = rng.uniform(size=96)
    columns = share_M[:48], share_M[48:]
    oracle = stats.permutation_test(
        columns, lambda a, b: a.mean() - b.mean(), n_resamples=20_000, vectorized=False, rng=rng
    )
    found = specialization(share_M)
    assert found.difference == pytest.approx(abs(oracle.statistic))
    assert found.p == pytest.approx(oracle.pvalue, abs=0.02)
    assert specialization(share_M[::-1]).difference == pytest.approx(found.difference)
    one_coloured_M = np.concatenate([rng.uniform(0.5, 1, 48), rng.uniform(0, 0.5, 48)])
    assert specialization(one_coloured_M).p == 1 / 10_001
    assert specialization(np.array([1.0, 0.0])).p == 1  # both deals are as far apart
