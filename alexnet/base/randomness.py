"""Addressed randomness: every draw is a function of where it is used, never of what came before.

The generator is Philox 4x32-10 (Salmon et al. 2011): a counter of four 32-bit words and a key of two
give four random words. The key is the seed; the counter is the address (purpose, epoch or step, image).
Order, crops, reflections, colour and dropout therefore do not depend on workers, on the number of
devices, or on where a run was stopped.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numba import njit


class Purpose(IntEnum):
    """What a draw is for: no two purposes ever share a random number."""

    ORDER = 1
    CROP = 2
    COLOUR = 3
    DROPOUT = 4
    WEIGHTS = 5
    SYNTHETIC = 6
    BLOCKS = 7


@njit(cache=True, inline="always")
def philox(c0, c1, c2, c3, k0, k1):  # type: ignore[no-untyped-def]
    """Philox 4x32-10 of one counter and key; all arguments and results are uint32 values in uint64."""
    low = np.uint64(0xFFFFFFFF)
    shift = np.uint64(32)
    c0, c1, c2, c3 = np.uint64(c0), np.uint64(c1), np.uint64(c2), np.uint64(c3)
    k0, k1 = np.uint64(k0), np.uint64(k1)
    for _ in range(10):
        a = np.uint64(0xD2511F53) * c0
        b = np.uint64(0xCD9E8D57) * c2
        c0, c1, c2, c3 = (b >> shift) ^ c1 ^ k0, b & low, (a >> shift) ^ c3 ^ k1, a & low
        k0 = (k0 + np.uint64(0x9E3779B9)) & low
        k1 = (k1 + np.uint64(0xBB67AE85)) & low
    return c0, c1, c2, c3


@njit(cache=True, nogil=True)
def _words(seed, purpose, time, indices_N, out_N4):  # type: ignore[no-untyped-def]
    low = np.uint64(0xFFFFFFFF)
    k0, k1 = np.uint64(seed) & low, np.uint64(seed) >> np.uint64(32)
    for n in range(indices_N.size):
        index = np.uint64(indices_N[n])
        w0, w1, w2, w3 = philox(index & low, index >> np.uint64(32), time, purpose, k0, k1)
        out_N4[n, 0], out_N4[n, 1], out_N4[n, 2], out_N4[n, 3] = w0, w1, w2, w3


def words(seed: int, purpose: Purpose, time: int, indices_N: np.ndarray) -> np.ndarray:
    """Four random 32-bit words for each index: uint32, N x 4.

    `time` is the epoch or step (below 2^32); `indices_N` are non-negative, below 2^64.
    """
    indices_N = np.ascontiguousarray(indices_N, dtype=np.uint64)
    out_N4 = np.empty((indices_N.size, 4), dtype=np.uint32)
    _words(np.uint64(seed), np.uint64(purpose), np.uint64(time), indices_N, out_N4)
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


@njit(cache=True, nogil=True)
def _bernoulli(limit, seed, purpose, time, lane, first, out):  # type: ignore[no-untyped-def]
    low, shift = np.uint64(0xFFFFFFFF), np.uint64(32)
    k0, k1 = np.uint64(seed) & low, np.uint64(seed) >> shift
    w = (np.uint64(0), np.uint64(0), np.uint64(0), np.uint64(0))
    for i in range(out.size):
        place = first + i
        if i == 0 or place % 4 == 0:
            block = np.uint64(place // 4)
            w = philox(
                block & low,
                (block >> shift) | (np.uint64(lane) << np.uint64(8)),
                time,
                purpose,
                k0,
                k1,
            )
        out[i] = 1.0 if w[place % 4] < limit else 0.0


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
    out = np.empty(shape, dtype=np.float32)
    limit = np.uint64(round(chance * 2**32))
    _bernoulli(
        limit,
        np.uint64(seed),
        np.uint64(purpose),
        np.uint64(time),
        np.uint64(lane),
        np.int64(first),
        out.reshape(-1),
    )
    return out
