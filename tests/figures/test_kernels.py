"""Figure 3: where each kernel stands, and how visible it is."""

from __future__ import annotations

import numpy as np

from alexnet.figures.kernels import first_layer_kernels


def test_kernels_stand_in_two_halves_of_three_rows_of_sixteen() -> None:
    weights_MCHW = np.zeros((96, 3, 11, 11), np.float32)
    weights_MCHW[0, 0, 2, 3] = 0.02  # the first kernel of the first column: one red pixel
    weights_MCHW[47, 1] = -1.0  # the last of the first column: no green
    weights_MCHW[48, 2, 10, 10] = 5.0  # the first of the second column: blue in its last corner
    image = first_layer_kernels(weights_MCHW)
    assert image.shape == (6 * 66 + 4 * 4 + 20, 16 * 66 + 15 * 4, 4)
    assert image[2 * 6, 3 * 6].tolist() == [255, 128, 128, 255]
    assert image[2 * 6 - 1, 3 * 6].tolist() == [128, 128, 128, 255]
    assert image[2 * 70 + 30, 15 * 70 + 30].tolist() == [128, 0, 128, 255]
    below = 3 * 66 + 2 * 4 + 20
    assert image[below + 65, 65].tolist() == [128, 128, 255, 255]
    assert image[below + 65, 66, 3] == 0  # the gaps are transparent
    assert (image[below - 20 : below, :, 3] == 0).all()


def test_a_weak_kernel_is_as_visible_as_a_strong_one() -> None:
    weights_MCHW = np.random.default_rng(0).normal(size=(96, 3, 11, 11)).astype(np.float32)
    scale_M111 = np.logspace(-6, 3, 96).reshape(-1, 1, 1, 1)
    scaled = first_layer_kernels((weights_MCHW * scale_M111).astype(np.float32))
    assert np.abs(scaled.astype(int) - first_layer_kernels(weights_MCHW)).max() <= 1
