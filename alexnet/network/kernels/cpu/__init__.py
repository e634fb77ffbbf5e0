"""The network's kernels for processors: compiled by Numba at first use, float32, channels-last."""

from __future__ import annotations

import numba
import torch


def threads() -> int:
    """As many threads as PyTorch uses, from now on also for the kernels here.

    When Numba begins its threads, it sets OpenMP's number for everybody: PyTorch gets its own back.
    """
    wanted, most = torch.get_num_threads(), int(numba.config.NUMBA_NUM_THREADS)  # type: ignore[attr-defined]
    numba.set_num_threads(min(wanted, most))
    if torch.get_num_threads() != wanted:
        torch.set_num_threads(wanted)
    return min(wanted, most)
