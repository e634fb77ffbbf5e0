"""Addressed randomness: every draw is a function of where it is used, never of what came before.

The generator is Philox 4x32-10 (Salmon et al. 2011): a counter of four 32-bit words and a key of two
give four random words. The key is the seed; the counter is the address (purpose, epoch or step, image).
Order, crops, reflections, colour and dropout therefore do not depend on workers, on the number of
devices, or on where a run was stopped.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class Purpose(IntEnum):
    """What a draw is for: no two purposes ever share a random number."""

    ORDER = 1
    CROP = 2
    COLOUR = 3
    DROPOUT = 4
    WEIGHTS = 5
    SYNTHETIC = 6
    BLOCKS = 7
    CODES = 8


def words(seed: int, purpose: Purpose, time: int, indices_N: np.ndarray) -> np.ndarray:
    """Four random 32-bit words for each index: uint32, N x 4.

    `time` is the epoch or step (below 2^32); `indices_N` are non-negative, below 2^64.
    """
    from alexnet.base import philox

    indices_N = np.ascontiguousarray(indices_N, dtype=np.uint64)
    out_N4 = np.empty((indices_N.size, 4), dtype=np.uint32)
    philox.words(np.uint64(seed), np.uint64(purpose), np.uint64(time), indices_N, out_N4)
    return out_N4


def uniforms(seed: int, purpose: Purpose, time: int, indices_N: np.ndarray) -> np.ndarray:
    """Four uniform numbers in (0, 1) for each index: float64, N x 4."""
    return (words(seed, purpose, time, indices_N) + 0.5) * 2.0**-32


def normals(seed: int, purpose: Purpose, time: int, indices_N: np.ndarray) -> np.ndarray:
    """Four standard normal numbers for each index, by Box and Muller: float64, N x 4."""
    u_N4 = uniforms(seed, purpose, time, indices_N)
    radius_N2 = np.sqrt(-2 * np.log(u_N4[:, 0::2]))
    angle_N2 = 2 * np.pi * u_N4[:, 1::2]
    return np.concatenate([radius_N2 * np.cos(angle_N2), radius_N2 * np.sin(angle_N2)], axis=1)


def permutation(seed: int, purpose: Purpose, time: int, count: int) -> np.ndarray:
    """A random order of `count` things: int64, N."""
    w_N4 = words(seed, purpose, time, np.arange(count)).astype(np.uint64)
    return np.argsort(w_N4[:, 0] << np.uint64(32) | w_N4[:, 1], kind="stable")


def stream(seed: int, purpose: Purpose, name: str) -> np.random.Generator:
    """A long sequence of its own for one named thing (a layer's first weights): NumPy's Philox."""
    return np.random.Generator(
        np.random.Philox(np.random.SeedSequence([seed, purpose, *name.encode()]))
    )


def bernoulli(
    shape: tuple[int, ...],
    chance: float,
    seed: int,
    purpose: Purpose,
    time: int,
    lane: int = 0,
    first: int = 0,
) -> np.ndarray:
    """Ones with probability `chance`, zeros otherwise: float32 of `shape`.

    `lane` keeps several fields of one step apart (below 2^24); `first` is the number of the first
    element in the whole field, so that a part of it can be drawn alone.
    """
    from alexnet.base import philox

    out = np.empty(shape, dtype=np.float32)
    limit = np.uint64(round(chance * 2**32))
    philox.bernoulli(
        limit,
        np.uint64(seed),
        np.uint64(purpose),
        np.uint64(time),
        np.uint64(lane),
        np.int64(first),
        out.reshape(-1),
    )
    return out
