"""The allocator, told to keep what it has, in large pages.

The activations of one step are hundreds of megabytes. By default the C library gives every large
buffer back to the system when it is freed and fetches it anew, page of 4 KiB by page, in the next step.
`alexnet benchmark train --against allocator` shows what it brings to tell it otherwise.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from alexnet.base.errors import AlexNetError, EnvironmentProblem
from alexnet.base.provenance import memory_bytes

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # from <malloc.h>
_NEVER = 2**31 - 1
_MADV_HUGEPAGE = 14  # from <sys/mman.h>
_LARGE_PAGE = 2 << 20  # bytes
# In what PyTorch says on a CPU and on a GPU.
_FULL = ("can't allocate memory", "not enough memory", "out of memory")
_SHOWN = 200  # characters of that


def keep_memory() -> bool:
    """Keep freed memory in this process for the next step; True where the C library can (glibc).

    Memory that the process does not use yet is asked for in large pages, of which a processor finds the
    addresses faster.
    """
    if not sys.platform.startswith("linux"):
        return False
    library = ctypes.CDLL(None)
    mallopt = getattr(library, "mallopt", None)
    if mallopt is None or not (mallopt(_M_MMAP_MAX, 0) and mallopt(_M_TRIM_THRESHOLD, _NEVER)):
        return False
    _prefer_large_pages(library)
    return True


@contextmanager
def memory_for(what: str, remedy: str) -> Iterator[None]:
    """Raise EnvironmentProblem where memory runs out inside, of the processor's or of a GPU's."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        told = " ".join(str(error).split())
        is_full = isinstance(error, MemoryError) or any(sign in told for sign in _FULL)
        if isinstance(error, AlexNetError) or not is_full:
            raise
        raise EnvironmentProblem(
            f"There is not enough memory for {what}.", where=told[:_SHOWN], remedy=remedy
        ) from None


def _prefer_large_pages(library: ctypes.CDLL) -> None:
    """Mark what the heap will grow into: it takes no memory before it is used."""
    size = memory_bytes() // 2
    library.malloc.restype, library.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    library.free.argtypes = [ctypes.c_void_p]
    library.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    start = library.malloc(size)
    if start is None:  # a limit on addresses; small pages then
        return
    first = -(-start // _LARGE_PAGE) * _LARGE_PAGE
    library.madvise(first, start + size - first, _MADV_HUGEPAGE)
    library.free(start)
