"""Philox 4x32-10 and the loops that draw with it, compiled: what `alexnet.base.randomness` stands on.

A module of its own, for the compiler takes longer to load than most programs that draw nothing run.
"""

from __future__ import annotations

import numpy as np
from numba import njit


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
def words(seed, purpose, time, indices_N, out_N4):  # type: ignore[no-untyped-def]
    low = np.uint64(0xFFFFFFFF)
    k0, k1 = np.uint64(seed) & low, np.uint64(seed) >> np.uint64(32)
    for n in range(indices_N.size):
        index = np.uint64(indices_N[n])
        w0, w1, w2, w3 = philox(index & low, index >> np.uint64(32), time, purpose, k0, k1)
        out_N4[n, 0], out_N4[n, 1], out_N4[n, 2], out_N4[n, 3] = w0, w1, w2, w3


@njit(cache=True, nogil=True)
def bernoulli(limit, seed, purpose, time, lane, first, out):  # type: ignore[no-untyped-def]
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
