"""The vectors of an index as one array of NumPy's, though they may lie in several files.

Legend: N rows, U numbers of a vector.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


class VectorArray:
    """The vectors of an index as NumPy reads them, memory-mapped: float32, N x U.

    Each of `parts` is an array that shares the file's memory; `array[n]` is a view of it,
    `array[first:end]` too where it lies in one part, `np.asarray(array)` a copy if there are several.
    """

    def __init__(self, parts: Sequence[np.ndarray], numbers: int) -> None:
        self.parts = tuple(parts)
        self._first = np.cumsum([0, *map(len, self.parts)])
        self.shape = (int(self._first[-1]), numbers)
        self.dtype = np.dtype(np.float32)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> np.ndarray:
        if isinstance(rows, slice):
            start, end, step = rows.indices(len(self))
            number = int(np.searchsorted(self._first, start, side="right")) - 1
            if step > 0 and start < end <= self._first[number + 1]:
                first = int(self._first[number])
                return self.parts[number][start - first : end - first : step]
            rows = np.arange(start, end, step)
        asked = np.asarray(rows)
        asked = np.flatnonzero(asked) if asked.dtype == np.bool_ else asked
        numbers = np.where(asked < 0, asked + len(self), asked)
        if asked.ndim == 0:
            if not 0 <= numbers < len(self):
                raise IndexError(f"row {rows} of {len(self)}")
            number = int(np.searchsorted(self._first, numbers, side="right")) - 1
            row: np.ndarray = self.parts[number][int(numbers) - int(self._first[number])]
            return row
        found = [self[int(n)] for n in numbers.ravel()]
        return np.array(found, np.float32).reshape(*asked.shape, self.shape[1])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if len(self.parts) == 1 and not copy:
            return self.parts[0].astype(dtype or np.float32, copy=False)
        if copy is False:
            raise ValueError("The vectors lie in several files: they cannot be one array uncopied.")
        empty = np.empty((0, self.shape[1]), np.float32)
        return np.concatenate([empty, *self.parts]).astype(dtype or np.float32, copy=False)


Vectors = np.ndarray | VectorArray
