"""What pruning and quantizing left of a network's weights, layer by layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

_PALETTE = 256  # distinct values that are counted: more are not those of quantized weights
_SAMPLE = 2**20  # weights whose values are looked at together


class Sparsity(NamedTuple):
    """What pruning and quantizing left of a layer's weights."""

    zero: float  # the share of weights that are zero, 0-1
    values: int | None  # distinct values where they are at most 256, and fewer than the weights


def sparsity(arrays: Mapping[str, np.ndarray]) -> dict[str, Sparsity]:
    """How many weights of each layer are zero, and how many values they have; biases are not counted."""
    return {
        name.removesuffix(".weight"): Sparsity(
            float(1 - np.count_nonzero(array) / max(1, array.size)), _palette(array)
        )
        for name, array in arrays.items()
        if name.endswith(".weight")
    }


def is_sparse(layers: Mapping[str, Sparsity]) -> bool:
    """Whether any layer is worth telling of: over 1 % zeros, or at most 256 values."""
    return any(one.zero > 0.01 or one.values is not None for one in layers.values())


def _palette(array: np.ndarray) -> int | None:
    """How many distinct values there are, if they are few."""
    flat = array.reshape(-1)
    found = np.unique(flat[:_SAMPLE:64])  # enough to see that values are many
    for first in range(0, len(flat), _SAMPLE):
        if len(found) > _PALETTE:
            return None
        found = np.union1d(found, flat[first : first + _SAMPLE])
    return len(found) if len(found) <= min(_PALETTE, len(flat) - 1) else None
