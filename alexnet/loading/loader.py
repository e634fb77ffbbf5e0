"""Batches made ahead, in threads, while the network works on the batch before (section 4.1).

Shape letters: B images of a batch, V views of an image, H x W pixels, C colours.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from alexnet import paper
from alexnet.base.errors import DataError
from alexnet.config import AugmentationConfig
from alexnet.loading.buffers import Buffers
from alexnet.loading.colour import colour_shifts
from alexnet.loading.crops import random_views, shared_views, views
from alexnet.loading.cutting import Cutter
from alexnet.loading.order import Order, Shuffle
from alexnet.prepared import Advice, Split, Statistics

_THREADS = 2  # batches begun at a time; the work on each is spread over all cores
_AHEAD = 2
_LEAST_SPREAD = 8.0  # of a colour, on the scale 0-255: images all alike prove nothing


@dataclass(frozen=True)
class Batch:
    """Images ready for the network: `x_BHWC` float32 minus the mean, `labels_B` int64.

    `epochs_B` and `indices_B` say which use of which image each one is. The pixels' memory serves
    another batch as soon as nothing refers to `x_BHWC` any more: no array, no tensor made of it.
    """

    step: int
    x_BHWC: np.ndarray
    labels_B: np.ndarray
    epochs_B: np.ndarray
    indices_B: np.ndarray


class Loader:
    """The training split as batches, augmented as section 4.1 says.

    Every image's crop, reflection and colour depend on (seed, epoch, index) alone. `part` says which
    of each step's images are made here, all by default; `crop` is their side in pixels. `waited` is how
    many seconds the caller of `batches` has spent waiting for them.
    """

    def __init__(
        self,
        split: Split,
        statistics: Statistics,
        augmentation: AugmentationConfig,
        batch: int,
        seed: int,
        shuffle: Shuffle = "full",
        part: slice = slice(None),
        crop: int = paper.CROP,
    ) -> None:
        self.split, self.statistics, self.augmentation = split, statistics, augmentation
        self.order = Order(len(split), batch, seed, shuffle)
        self.waited = 0.0
        self._window: int | None = None
        self._cutter = Cutter(split, statistics.mean_HWC)
        self._part, self.size = part, len(range(batch)[part])
        self._buffers = Buffers((self.size, 1, crop, crop, 3))
        self._room = split.side - crop

    def batches(self, first: int, last: int) -> Iterator[Batch]:
        """The batches of steps first ... last - 1, each begun before it is asked for."""
        jobs = ((self._make_ahead, (step,)) for step in range(first, last))
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="loader") as pool:
            for batch, waited in _ahead(pool, jobs):
                self.waited += waited
                yield batch

    def make(self, step: int) -> Batch:
        """The batch of one step, computed here and now."""
        epochs_B, indices_B = self.of_step(step)
        views_B3, shifts_B3 = self.draws(step, epochs_B, indices_B)
        x_BVHWC = self._buffers.take()
        self._cutter.cut(indices_B, views_B3[:, None], shifts_B3, x_BVHWC)
        if (divisors_B := self.divisors(epochs_B)) is not None:
            x_BVHWC /= divisors_B[:, None, None, None, None]
        return Batch(step, x_BVHWC[:, 0], self.split.labels[indices_B], epochs_B, indices_B)

    def of_step(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """The epoch and the index of each image that is made here: int64, B each."""
        epochs, indices = self.order.of_step(step)
        return epochs[self._part], indices[self._part]

    def _make_ahead(self, step: int) -> Batch:
        if self.order.shuffle == "blocks":
            self._advise(step)
        return self.make(step)

    def _advise(self, step: int) -> None:
        """On entering a window: read the next one ahead, and give up the one before the last."""
        now = self.order.window_of_step(step)
        if now == self._window:
            return
        is_first, self._window = self._window is None, now
        plans = [(now + 1, Advice.WILL_NEED), (now - 2, Advice.PAGE_OUT)]
        for window, advice in [(now, Advice.WILL_NEED)] * is_first + plans:
            if window >= 0:
                for first, end in zip(*self.order.window(window), strict=True):
                    self.split.advise(int(first), int(end), advice)

    def draws(
        self, step: int, epochs_B: np.ndarray, indices_B: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Where each image is cut, int64 B x 3 (`crops.View`), and its colour shift, float32 B x 3."""
        seed, statistics = self.order.seed, self.statistics
        views_B3 = np.empty((len(indices_B), 3), np.int64)
        shifts_B3 = np.empty((len(indices_B), 3), np.float32)
        for epoch in np.unique(epochs_B):
            here, indices = epochs_B == epoch, indices_B[epochs_B == epoch]
            views_B3[here] = random_views(
                seed, epoch, indices, self.augmentation.reflections, self._room
            )
            shifts_B3[here] = colour_shifts(
                seed,
                epoch,
                indices,
                statistics.eigenvectors_33,
                statistics.deviations_3,
                self.augmentation.colour_at(epoch),
            )
        if self.augmentation.crops == "shared":
            places_B = step * self.order.batch + np.arange(self.order.batch)[self._part]
            views_B3 = shared_views(seed, places_B, self.augmentation.reflections, self._room)
        elif self.augmentation.crops == "centre":
            views_B3[:, :2] = self._room // 2
        return views_B3, shifts_B3

    def divisors(self, epochs_B: np.ndarray) -> np.ndarray | None:
        """What each image is divided by after its colour noise: float32, B; None: nothing."""
        divisor = self.augmentation.colour_divisor
        if divisor == 1:
            return None
        noisy_B = [self.augmentation.colour_at(epoch) > 0 for epoch in epochs_B]
        return np.where(noisy_B, divisor, 1).astype(np.float32)

    def require_likeness(self, batch: Batch) -> None:
        """Raise DataError if a batch's colours are not those of the statistics that it is to have.

        Less the mean, a colour's mean is near 0: within six deviations of B images' mean, were each
        of one colour. And its spread is that of the set, within a factor of four.
        """
        principal_33 = self.statistics.eigenvectors_33 * self.statistics.deviations_3
        expected_C = np.maximum(np.sqrt((principal_33**2).sum(axis=1)), _LEAST_SPREAD)
        found_C = np.sqrt(np.square(batch.x_BHWC, dtype=np.float64).mean(axis=(0, 1, 2)))
        off_C = np.abs(batch.x_BHWC.mean(axis=(0, 1, 2), dtype=np.float64))
        near = off_C <= 6 * expected_C / np.sqrt(len(batch.x_BHWC))
        if not (near & (found_C >= expected_C / 4) & (found_C <= expected_C * 4)).all():
            raise DataError(
                f"The first images are not like the set's statistics: less the mean, red, green and "
                f"blue are {_listed(off_C)} off with a spread of {_listed(found_C)}; the set's spread is "
                f"{_listed(expected_C)}.",
                where=", ".join(self.keys(batch)[:4]) + ", ...",
                remedy="The statistics belong to other images: prepare the set again.",
            )

    def keys(self, batch: Batch) -> list[str]:
        """The names of a batch's images."""
        return [self.split.key(int(index)) for index in batch.indices_B]


def _listed(values_C: np.ndarray) -> str:
    return " / ".join(f"{value:.0f}" for value in values_C)


def view_batches(
    split: Split,
    mean_HWC: np.ndarray,
    count: int,
    batches: Sequence[range],
    crop: int = paper.CROP,
) -> Iterator[np.ndarray]:
    """The evaluation views of batches of a split: float32, B*V x crop x crop x 3, made ahead.

    `batches` are the images of each, `crop` is the side of a view. A batch's memory serves another as
    soon as nothing refers to it any more.
    """
    cutter = Cutter(split, mean_HWC)
    buffers = Buffers((max(map(len, batches), default=0), count, crop, crop, 3))
    views_1V3 = np.array([views(count, split.side - crop)], np.int64)

    def make(batch: range) -> np.ndarray:
        indices_B = np.array(batch)
        out = buffers.take()[: len(indices_B)]
        views_BV3 = np.repeat(views_1V3, len(indices_B), axis=0)
        cutter.cut(indices_B, views_BV3, np.zeros((len(indices_B), 3), np.float32), out)
        return out.reshape(-1, crop, crop, 3)

    with ThreadPoolExecutor(_THREADS, thread_name_prefix="loader") as pool:
        jobs = ((make, (batch,)) for batch in batches)
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
