"""Batches made ahead, in threads, while the network works on the batch before (section 4.1).

Shape letters: B pictures of a batch, V views of a picture, H x W pixels, C colours.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from alexnet import paper
from alexnet.config import AugmentationConfig
from alexnet.loading.colour import colour_shifts
from alexnet.loading.crops import cut, cut_views, random_views
from alexnet.loading.order import Order
from alexnet.prepared import Split, Statistics

_THREADS = 2  # one fills a batch in a hundredth of the time a CPU trains on it
_AHEAD = 2


@dataclass(frozen=True)
class Batch:
    """Pictures ready for the network: `x_BHWC` float32 minus the mean, `labels_B` int64.

    `epochs_B` and `indices_B` say which use of which picture each one is.
    """

    step: int
    x_BHWC: np.ndarray
    labels_B: np.ndarray
    epochs_B: np.ndarray
    indices_B: np.ndarray


class Loader:
    """The training split as batches, augmented as section 4.1 says.

    Every picture's crop, reflection and colour depend on (seed, epoch, index) alone. `waited` is how
    many seconds the caller of `batches` has spent waiting for them.
    """

    def __init__(
        self,
        split: Split,
        statistics: Statistics,
        augmentation: AugmentationConfig,
        batch: int,
        seed: int,
    ) -> None:
        self.split, self.statistics, self.augmentation = split, statistics, augmentation
        self.order = Order(len(split), batch, seed)
        self.waited = 0.0

    def batches(self, first: int, last: int) -> Iterator[Batch]:
        """The batches of steps first ... last - 1, each begun before it is asked for."""
        jobs = ((self.make, (step,)) for step in range(first, last))
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="loader") as pool:
            for batch, waited in _ahead(pool, jobs):
                self.waited += waited
                yield batch

    def make(self, step: int) -> Batch:
        """The batch of one step, computed here and now."""
        epochs_B, indices_B = self.order.of_step(step)
        x_BHWC = np.empty((len(indices_B), paper.CROP, paper.CROP, 3), np.float32)
        for epoch in np.unique(epochs_B):
            places = np.flatnonzero(epochs_B == epoch)
            self._fill(x_BHWC, places, int(epoch), indices_B[places])
        return Batch(step, x_BHWC, self.split.labels[indices_B], epochs_B, indices_B)

    def keys(self, batch: Batch) -> list[str]:
        """The names of a batch's pictures."""
        return [self.split.key(int(index)) for index in batch.indices_B]

    def _fill(self, x: np.ndarray, places: np.ndarray, epoch: int, indices: np.ndarray) -> None:
        seed, statistics = self.order.seed, self.statistics
        views = random_views(seed, epoch, indices, self.augmentation.reflections)
        shifts_N3 = colour_shifts(
            seed,
            epoch,
            indices,
            statistics.eigenvectors_33,
            statistics.deviations_3,
            self.augmentation.colour,
        )
        for place, index, view, shift_C in zip(places, indices, views, shifts_N3, strict=True):
            cut(self.split.pixels(int(index)), statistics.mean_HWC, view, x[place], shift_C)


def view_batches(
    split: Split, mean_HWC: np.ndarray, views: int, pictures: int
) -> Iterator[np.ndarray]:
    """The evaluation views of a whole split in order: float32, B*V x 224 x 224 x 3, made ahead.

    `pictures` is how many pictures each batch holds; the last one may hold fewer.
    """

    def make(first: int) -> np.ndarray:
        count = min(pictures, len(split) - first)
        out = np.empty((count, views, paper.CROP, paper.CROP, 3), np.float32)
        for place in range(count):
            cut_views(split.pixels(first + place), mean_HWC, views, out[place])
        return out.reshape(-1, paper.CROP, paper.CROP, 3)

    with ThreadPoolExecutor(_THREADS, thread_name_prefix="loader") as pool:
        jobs = ((make, (first,)) for first in range(0, len(split), pictures))
        for batch, _ in _ahead(pool, jobs):
            yield batch


def _ahead(
    pool: ThreadPoolExecutor, jobs: Iterable[tuple[Callable[..., Any], tuple[Any, ...]]]
) -> Iterator[tuple[Any, float]]:
    """Results of `jobs` in order, a few begun before they are asked for, with the seconds waited."""
    waiting: deque[Future[Any]] = deque()
    jobs = iter(jobs)
    while True:
        while len(waiting) < _AHEAD and (job := next(jobs, None)) is not None:
            waiting.append(pool.submit(job[0], *job[1]))
        if not waiting:
            return
        begun = time.perf_counter()
        result = waiting.popleft().result()
        yield result, time.perf_counter() - begun
