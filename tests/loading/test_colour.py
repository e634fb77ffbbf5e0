"""Colour noise (section 4.1)."""

import numpy as np

from alexnet.loading.colour import colour_shifts
from alexnet.loading.crops import View
from alexnet.loading.cutting import cut

# Orthonormal components that are not the axes, and ImageNet's deviations.
VECTORS = np.linalg.qr(np.array([[1.0, 2, 0], [1, -1, 3], [1, 0, -2]]))[0]
DEVIATIONS = np.array([121.8, 37.1, 19.7])


def test_strength_is_a_tenth_of_the_standard_deviations() -> None:
    shifts = colour_shifts(0, 0, np.arange(40_000), VECTORS, DEVIATIONS, 0.1)
    along = shifts @ VECTORS
    error = 5 / (2 * 40_000) ** 0.5
    np.testing.assert_allclose(along.std(axis=0), 0.1 * DEVIATIONS, rtol=error)
    assert abs(np.corrcoef(along.T) - np.eye(3)).max() < 5 / 40_000**0.5


def test_the_shift_is_added_and_nothing_else(image: np.ndarray, mean: np.ndarray) -> None:
    plain, shifted = np.empty((2, 224, 224, 3), np.float32)
    view, shift = View(5, 9, True), np.array([12.0, -3.0, 0.5], np.float32)
    cut(image, mean, view, plain)
    cut(image, mean, view, shifted, shift)
    np.testing.assert_allclose(shifted - plain, np.broadcast_to(shift, plain.shape), atol=3e-5)


def test_an_image_keeps_its_colour_wherever_it_is_drawn() -> None:
    together = colour_shifts(4, 2, np.arange(50), VECTORS, DEVIATIONS, 0.1)
    alone = colour_shifts(4, 2, np.array([31]), VECTORS, DEVIATIONS, 0.1)
    np.testing.assert_array_equal(alone[0], together[31])
    assert not np.allclose(together, colour_shifts(4, 3, np.arange(50), VECTORS, DEVIATIONS, 0.1))
    assert not colour_shifts(4, 2, np.arange(5), VECTORS, DEVIATIONS, 0.0).any()
