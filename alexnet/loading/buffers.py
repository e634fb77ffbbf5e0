"""Memory for batches that is used again instead of fetched anew: fresh pages cost more than cutting."""

from __future__ import annotations

import math
import weakref

import numpy as np


class Buffers:
    """Arrays of one shape and type, each over memory that an earlier one may have used.

    An array is the taker's for as long as anything refers to it or to a part of it: a view, a tensor
    made of it, a graph that keeps that tensor. Only then does its memory serve the next one.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape, self._free = shape, list[np.ndarray]()

    def take(self) -> np.ndarray:
        """A float32 array of the shape, filled with anything."""
        try:
            memory = self._free.pop()
        except IndexError:
            memory = np.empty(math.prod(self.shape), np.float32)
        # Through a memoryview, or NumPy would let parts of the array refer past it to the memory.
        array = np.frombuffer(memory.data, np.float32)
        weakref.finalize(array, self._free.append, memory).atexit = False
        return array.reshape(self.shape)
