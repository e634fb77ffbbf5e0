"""Which pictures a step trains on: epochs follow each other without a gap, every batch is full.

The pictures of all epochs form one endless sequence; step s trains on places s*B ... s*B + B - 1 of
it. An epoch is a random order of all pictures, so each is used exactly once per epoch, and a batch
at the border takes the last of one epoch and the first of the next.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from alexnet.randomness import Purpose, permutation


@dataclass(frozen=True)
class Order:
    """The sequence of `count` pictures in batches of `batch`, shuffled by `seed`."""

    count: int
    batch: int
    seed: int

    def steps(self, epochs: float) -> int:
        """Steps that cover `epochs` passes over the pictures (the last one may reach further)."""
        return max(1, -(-round(epochs * self.count) // self.batch))

    def epochs_done(self, step: int) -> int:
        """Whole epochs covered by the first `step` steps."""
        return step * self.batch // self.count

    def of_step(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """The epoch and the index of each picture of a step: int64, B each."""
        places = np.arange(step * self.batch, (step + 1) * self.batch)
        epochs = places // self.count
        indices = np.empty_like(places)
        for epoch in np.unique(epochs):
            here = epochs == epoch
            order = _epoch_order(self.seed, int(epoch), self.count)
            indices[here] = order[places[here] - epoch * self.count]
        return epochs, indices


@lru_cache(maxsize=2)
def _epoch_order(seed: int, epoch: int, count: int) -> np.ndarray:
    return permutation(seed, Purpose.ORDER, epoch, count)
