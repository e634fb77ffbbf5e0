"""The network's kernels for processors: compiled by Numba at first use, float32, channels-last."""

from __future__ import annotations

import numba
import torch


def threads() -> int:
    """As many threads as PyTorch uses, from now on also for the kernels here."""
    most: int = numba.config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]
    count = min(torch.get_num_threads(), most)
    numba.set_num_threads(count)
    return count
