"""The matrices of minimal filtering, by exact arithmetic: A, B^T and G of `winograd`.

A polynomial is known by its values at enough points. Kernel and tile are evaluated at the same points
(and at infinity, where the highest coefficient counts), multiplied there, and their product is
interpolated; filtering is the transpose of that multiplication.
"""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache

import numpy as np

OUT = 4  # outputs of a tile in one dimension
# Points of evaluation, besides infinity, by kernel size: those with the smallest rounding errors.
POINTS = {3: (0.0, 1.0, -1.0, 2.0, -2.0), 5: (0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5)}


@lru_cache
def matrices(size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A (points x OUT), B^T (points x points) and G (points x size) for kernels of `size`, float64."""
    points = [Fraction(point) for point in POINTS[size]]
    count = len(points) + 1

    def powers(terms: int) -> list[list[Fraction]]:
        rows = [[point**term for term in range(terms)] for point in points]
        return [*rows, [Fraction(term == terms - 1) for term in range(terms)]]  # infinity

    a, g, b = powers(OUT), powers(size), _inverse(powers(count))
    b_t = [[b[row][point] for row in range(count)] for point in range(count)]
    for point in range(count):  # whole numbers in B^T, the fractions in G
        factor = Fraction(np.lcm.reduce([value.denominator for value in b_t[point]]))
        b_t[point] = [value * factor for value in b_t[point]]
        g[point] = [value / factor for value in g[point]]
    return tuple(np.array(rows, dtype=np.float64) for rows in (a, b_t, g))  # type: ignore[return-value]


def _inverse(rows: list[list[Fraction]]) -> list[list[Fraction]]:
    """Gauss and Jordan, exactly."""
    size = len(rows)
    left = [[*row, *(Fraction(i == j) for j in range(size))] for i, row in enumerate(rows)]
    for i in range(size):
        pivot = next(j for j in range(i, size) if left[j][i])
        left[i], left[pivot] = left[pivot], left[i]
        left[i] = [value / left[i][i] for value in left[i]]
        for j in range(size):
            if j != i:
                left[j] = [x - left[j][i] * y for x, y in zip(left[j], left[i], strict=True)]
    return [row[size:] for row in left]


@lru_cache
def kernel_matrix(size: int) -> np.ndarray:
    """G for both dimensions at once: P x size^2, float32."""
    _, _, g = matrices(size)
    return np.kron(g, g).astype(np.float32)
