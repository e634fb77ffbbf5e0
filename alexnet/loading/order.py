"""Which images a step trains on: epochs follow each other without a gap, every batch is full.

The images of all epochs form one endless sequence; step s trains on places s*B ... s*B + B - 1 of
it. An epoch is a random order of all images, so each is used exactly once per epoch, and a batch
at the border takes the last of one epoch and the first of the next.

A set larger than memory is read from the disk in every epoch. Shuffled in `blocks`, its images are
cut into runs of 32 neighbours; an epoch takes the runs in random order, 256 at a time, and mixes the
8,192 images of those. So the disk reads runs of 6 MB (raw), not single images, and memory needs
to hold three such windows. The classes of a batch are nearly as mixed as in a full shuffle, even where
a set is stored class by class.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np

from alexnet.base.randomness import Purpose, permutation

BLOCK = 32  # neighbouring images that are read together
WINDOW = 256 * BLOCK  # images that are mixed

Shuffle = Literal["full", "blocks"]


@dataclass(frozen=True)
class Order:
    """The sequence of `count` images in batches of `batch`, shuffled by `seed`."""

    count: int
    batch: int
    seed: int
    shuffle: Shuffle = "full"

    def steps(self, epochs: float) -> int:
        """Steps that cover `epochs` passes over the images (the last one may reach further)."""
        return max(1, -(-round(epochs * self.count) // self.batch))

    def epochs_done(self, step: int) -> int:
        """Whole epochs covered by the first `step` steps."""
        return step * self.batch // self.count

    def of_step(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """The epoch and the index of each image of a step: int64, B each."""
        places = np.arange(step * self.batch, (step + 1) * self.batch)
        epochs = places // self.count
        indices = np.empty_like(places)
        for epoch in np.unique(epochs):
            here = epochs == epoch
            order = _epoch_order(self.seed, int(epoch), self.count, self.shuffle)
            indices[here] = order[places[here] - epoch * self.count]
        return epochs, indices

    def window(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """The runs of a window of the whole sequence: first image and end of each, int64.

        Windows are counted from the first epoch on; the last of an epoch may be smaller.
        """
        epoch, here = divmod(number, self.windows_in_epoch)
        blocks = _block_order(self.seed, epoch, self.count)
        first = BLOCK * blocks[here * WINDOW // BLOCK : (here + 1) * WINDOW // BLOCK]
        return first, np.minimum(first + BLOCK, self.count)

    @property
    def windows_in_epoch(self) -> int:
        """How many windows an epoch has."""
        return -(-self.count // WINDOW)

    def window_of_step(self, step: int) -> int:
        """The window that a step's last image is in (some images earlier where a run is short)."""
        epoch, place = divmod((step + 1) * self.batch - 1, self.count)
        return epoch * self.windows_in_epoch + place // WINDOW


@lru_cache(maxsize=2)
def _epoch_order(seed: int, epoch: int, count: int, shuffle: Shuffle) -> np.ndarray:
    if shuffle == "full":
        return permutation(seed, Purpose.ORDER, epoch, count)
    first = BLOCK * _block_order(seed, epoch, count)
    sequence = (first[:, None] + np.arange(BLOCK)).reshape(-1)
    windows = np.arange(sequence.size) // WINDOW
    exists = sequence < count  # the last run may be short
    sequence, windows = sequence[exists], windows[exists]
    rank = np.empty(count, np.int64)
    rank[permutation(seed, Purpose.ORDER, epoch, count)] = np.arange(count)
    return sequence[np.lexsort((rank[sequence], windows))]


@lru_cache(maxsize=4)
def _block_order(seed: int, epoch: int, count: int) -> np.ndarray:
    return permutation(seed, Purpose.BLOCKS, epoch, -(-count // BLOCK))
