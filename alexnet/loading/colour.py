"""Colour noise along the principal components of the training set's RGB values (section 4.1)."""

from __future__ import annotations

import numpy as np

from alexnet.base.randomness import Purpose, normals


def colour_shifts(
    seed: int,
    epoch: int,
    indices_N: np.ndarray,
    eigenvectors_33: np.ndarray,
    deviations_3: np.ndarray,
    strength: float,
) -> np.ndarray:
    """What is added to every pixel of each image in this epoch: float32, N x 3, 0-255 scale.

    The sum over the components (columns of `eigenvectors_33`) of component * deviation * alpha with
    alpha ~ N(0, strength^2). `deviations_3` are standard deviations: the paper says eigenvalue, which
    on this scale would drown the image, and the original program takes the square roots.
    """
    alphas_N3 = normals(seed, Purpose.COLOUR, epoch, indices_N)[:, :3] * strength
    shifts_N3: np.ndarray = (alphas_N3 * deviations_3) @ eigenvectors_33.T
    return shifts_N3.astype(np.float32)
