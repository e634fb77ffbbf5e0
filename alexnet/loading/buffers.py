"""Memory for batches that is used again instead of fetched anew: fresh pages cost more than cutting."""

from __future__ import annotations

import math
import weakref

import numpy as np

ALIGNMENT = 64  # bytes: a line of a cache, and the longest vector that is stored past it


def aligned(shape: tuple[int, ...]) -> np.ndarray:
    """A new float32 array that begins at a multiple of ALIGNMENT, filled with anything."""
    size = 4 * math.prod(shape)
    memory = np.empty(size + ALIGNMENT, np.uint8)
    first = -memory.ctypes.data % ALIGNMENT
    return memory[first : first + size].view(np.float32).reshape(shape)


class Buffers:
    """Arrays of one shape and type, each over memory that an earlier one may have used.

    An array is the taker's for as long as anything refers to it or to a part of it: a view, a tensor
    made of it, a graph that keeps that tensor. Only then does its memory serve the next one.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape, self._free = shape, list[np.ndarray]()

    def take(self) -> np.ndarray:
        """An `aligned` array of the shape, filled with anything."""
        try:
            memory = self._free.pop()
        except IndexError:
            memory = aligned((math.prod(self.shape),))
        # Through a memoryview, or NumPy would let parts of the array refer past it to the memory.
        array = np.frombuffer(memory.data, np.float32)
        weakref.finalize(array, self._free.append, memory).atexit = False
        return array.reshape(self.shape)
