"""Advice to the system about mapped files: what is read soon, and what is not read again soon."""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Callable
from enum import IntEnum
from functools import cache
from typing import cast


class Advice(IntEnum):
    """The system's numbers; the last is Linux's alone."""

    RANDOM = 1  # nothing beside what is asked for will be needed
    WILL_NEED = 3  # begin to read it now
    LEAVE = 4  # this process does not need it in memory, but others may
    PAGE_OUT = 21  # its memory may serve others


def advise(address: int, length: int, advice: Advice) -> None:
    """Advise about `length` mapped bytes. A system that knows no such advice goes on without."""
    if not hasattr(mmap.mmap, "madvise"):
        return
    start = address // mmap.PAGESIZE * mmap.PAGESIZE
    size = ctypes.c_size_t(address + length - start)
    _madvise()(ctypes.c_void_p(start), size, int(advice))


@cache
def _madvise() -> Callable[[ctypes.c_void_p, ctypes.c_size_t, int], int]:
    return cast(Callable[..., int], ctypes.CDLL(None).madvise)
