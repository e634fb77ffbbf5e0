"""Which rows of an index have which keys.

Legend: N rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from alexnet.retrieval.parts import Part


class Known:
    """The keys that an index has."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self._keys = [part.key_bytes for part in parts]
        first = np.cumsum([0, *map(len, parts)])
        self._first = first
        begins_N = np.concatenate([np.empty(0, np.uint64), *map(_begins, self._keys)])
        self._order_N = np.argsort(begins_N, kind="stable")
        self._begins_N = begins_N[self._order_N]

    @cached_property
    def order_N(self) -> np.ndarray:
        """The rows in the order of their keys."""
        order_N, same = self._order_N.copy(), self._begins_N[1:] == self._begins_N[:-1]
        among = np.flatnonzero(np.append(same, False) | np.append(False, same))
        keys = np.concatenate([np.empty(0, "S64"), *self._keys])[order_N[among]]
        order_N[among] = order_N[among][np.argsort(keys, kind="stable")]
        return order_N

    @cached_property
    def ranks_N(self) -> np.ndarray:
        """At which place of that order each row stands: uint32."""
        ranks_N = np.empty(len(self.order_N), np.uint32)
        ranks_N[self.order_N] = np.arange(len(ranks_N), dtype=np.uint32)
        return ranks_N

    def row(self, key: str) -> int | None:
        """The row of a key, if there is one."""
        mine = key.encode()
        begin = _begins(np.array([mine], "S64"))[0]
        place = int(np.searchsorted(self._begins_N, begin))
        while place < len(self._begins_N) and self._begins_N[place] == begin:
            row = int(self._order_N[place])
            number = int(np.searchsorted(self._first, row, side="right")) - 1
            if self._keys[number][row - self._first[number]] == mine:
                return row
            place += 1
        return None


def _begins(keys_N: np.ndarray) -> np.ndarray:
    """The first eight letters of keys as numbers in the same order."""
    letters = np.ascontiguousarray(keys_N).view(np.uint8).reshape(len(keys_N), -1)[:, :8]
    begins: np.ndarray = np.ascontiguousarray(letters).view(">u8")[:, 0].astype(np.uint64)
    return begins
