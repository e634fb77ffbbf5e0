"""The allocator, told to keep what it has.

The activations of one step are hundreds of megabytes. By default the C library gives every large
buffer back to the system when it is freed and fetches it anew, page by page, in the next step.
"""

from __future__ import annotations

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # from <malloc.h>
_NEVER = 2**31 - 1


def keep_memory() -> bool:
    """Keep freed memory in this process for the next step; True where the C library can (glibc)."""
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(_M_MMAP_MAX, 0) and mallopt(_M_TRIM_THRESHOLD, _NEVER))
