"""Images cut on the GPU: whole ones go there as bytes, and one kernel makes the network's input.

A prepared set that fits stays on the device. Of another, each batch's images are copied into pinned
memory by threads and transferred on a stream of their own, while the network works on the batches
before. Which crop, reflection and colour an image gets is drawn as for the CPU (`alexnet.loading`):
both cut the same views.

Shape letters: N images of a set, S images of a slot, B views of a batch, H x W pixels, C colours.
A row of `cuts_B8` describes one view: which image, top, left, reflected, label (int32), and what is
added to its red, green and blue (float32, the same bits).
"""

# mypy: disable-error-code="no-untyped-def,untyped-decorator"

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import triton
import triton.language as tl
from torch import Tensor

from alexnet import paper
from alexnet.loading.crops import View, views
from alexnet.loading.loader import Batch, Loader
from alexnet.prepared import Split

_IMAGE, _TOP, _LEFT, _REFLECTED, _LABEL, _SHIFT = range(6)  # columns; the shift has three
_RESIDENT_SHARE = 0.5  # of the device's free memory that a set may take to stay there
_SLOTS = 4  # batches between the disk and the network
_THREADS = 3
_CHUNK = 512  # images read at once into a set that stays
PER_PROGRAM = 1024  # numbers; 147 programs make a view


@triton.jit
def _cut(images, mean, cuts, out, SIDE: tl.constexpr, CROP: tl.constexpr, BLOCK: tl.constexpr):
    """out = (image - mean) + shift of one view, of which this program writes BLOCK numbers."""
    view = tl.program_id(0).to(tl.int64)
    cut = cuts + view * 8
    image = tl.load(cut).to(tl.int64)
    top, left, reflected = tl.load(cut + 1), tl.load(cut + 2), tl.load(cut + 3)
    number = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = number < CROP * CROP * 3
    y, x, colour = number // (CROP * 3), number // 3 % CROP, number % 3
    x = tl.where(reflected != 0, CROP - 1 - x, x)
    place = ((top + y) * SIDE + left + x) * 3 + colour
    pixel = tl.load(images + image * (SIDE * SIDE * 3) + place, mask=inside, other=0)
    average = tl.load(mean + place, mask=inside, other=0.0)
    shift = tl.load(cut + 5 + colour, mask=inside, other=0).to(tl.float32, bitcast=True)
    value = (pixel.to(tl.float32) - average) + shift
    target = out + view * (CROP * CROP * 3) + number
    tl.store(target, value.to(out.dtype.element_ty), mask=inside)


def cut_views(images_NHWC: Tensor, mean_HWC: Tensor, cuts_B8: Tensor, x_BCHW: Tensor) -> None:
    """Write the views of (image - mean) + shift into `x_BCHW`, which is channels-last in memory.

    `images_NHWC` are uint8, as large as the mean; x is of any floating type, B x 3 x crop x crop.
    """
    crop = x_BCHW.shape[2]
    assert x_BCHW.is_contiguous(memory_format=torch.channels_last)
    assert x_BCHW.shape == (len(cuts_B8), 3, crop, crop)
    programs = (len(cuts_B8), triton.cdiv(crop**2 * 3, PER_PROGRAM))
    with torch.cuda.device_of(x_BCHW):
        _cut[programs](
            *(images_NHWC, mean_HWC, cuts_B8, x_BCHW.permute(0, 2, 3, 1)),
            SIDE=len(mean_HWC),
            CROP=crop,
            BLOCK=PER_PROGRAM,
        )


def describe_cuts(
    images_B: np.ndarray,
    views_B: Sequence[View] | np.ndarray,
    labels_B: np.ndarray,
    shifts_B3: np.ndarray,
) -> np.ndarray:
    """The rows of `cuts_B8`: int32, B x 8."""
    cuts_B8 = np.empty((len(images_B), 8), np.int32)
    cuts_B8[:, _IMAGE] = images_B
    cuts_B8[:, [_TOP, _LEFT, _REFLECTED]] = views_B
    cuts_B8[:, _LABEL] = labels_B
    cuts_B8[:, _SHIFT:] = shifts_B3.astype(np.float32).view(np.int32)
    return cuts_B8


@dataclass(frozen=True)
class DeviceBatch:
    """The images of one step on the device, yet to be cut.

    Good until the next batch is asked for; `epochs_B` and `indices_B` say which use of which image
    each one is.
    """

    step: int
    epochs_B: np.ndarray
    indices_B: np.ndarray
    images_NHWC: Tensor
    mean_HWC: Tensor
    cuts_B8: Tensor
    divisors_B: np.ndarray | None  # of the images after their colour noise, where they have any

    def cut_into(self, x_BCHW: Tensor) -> None:
        """Write the network's input, B x 3 x crop x crop."""
        cut_views(self.images_NHWC, self.mean_HWC, self.cuts_B8, x_BCHW)
        if self.divisors_B is not None:
            x_BCHW /= torch.from_numpy(self.divisors_B).to(x_BCHW.device)[:, None, None, None]

    @property
    def labels_B(self) -> Tensor:
        """The correct classes: int64, B."""
        return self.cuts_B8[:, _LABEL].long()


class DeviceLoader:
    """The batches of a `Loader`, cut on `device`: the same views of the same images.

    `resident` says whether the whole split stays on the device; by default it does where it takes no
    more than half of the memory that is free there.
    """

    def __init__(
        self, loader: Loader, device: torch.device | str, resident: bool | None = None
    ) -> None:
        self.loader, self.order, self.keys = loader, loader.order, loader.keys
        self.device = torch.device(device)
        self.waited = 0.0
        self.mean_HWC = torch.from_numpy(loader.statistics.mean_HWC).to(self.device)
        if resident is None:
            split = loader.split
            resident = _fits(len(split) * split.side**2 * 3, self.device)
        self.images_NHWC = _all_images(loader.split, self.device) if resident else None

    def make(self, step: int) -> Batch:
        """The same batch, made on the CPU."""
        return self.loader.make(step)

    def batches(self, first: int, last: int) -> Iterator[DeviceBatch]:
        """The batches of steps first ... last - 1, each begun before it is asked for."""
        B = self.loader.size
        room = 0 if self.images_NHWC is not None else B
        ring = _Ring(room, B, self.loader.split.side, self.device)

        def job(step: int) -> Callable[[_Slot], tuple[int, np.ndarray, np.ndarray]]:
            return lambda slot: (step, *self._fill(slot, step))

        for slot, (step, epochs_B, indices_B), waited in ring.run(map(job, range(first, last))):
            self.waited += waited
            images = slot.images if self.images_NHWC is None else self.images_NHWC
            divisors_B = self.loader.divisors(epochs_B)
            yield DeviceBatch(
                step, epochs_B, indices_B, images, self.mean_HWC, slot.cuts, divisors_B
            )

    def _fill(self, slot: _Slot, step: int) -> tuple[np.ndarray, np.ndarray]:
        epochs_B, indices_B = self.loader.of_step(step)
        for place in range(len(slot.host_images)):
            slot.host_images[place] = self.loader.split.pixels(int(indices_B[place]))
        resident = self.images_NHWC is not None
        images_B = indices_B if resident else np.arange(len(indices_B))
        views_B3, shifts_B3 = self.loader.draws(step, epochs_B, indices_B)
        labels_B = self.loader.split.labels[indices_B]
        slot.host_cuts[:] = describe_cuts(images_B, views_B3, labels_B, shifts_B3)
        return epochs_B, indices_B


def device_view_batches(
    split: Split, mean_HWC: np.ndarray, count: int, batches: Sequence[range],
    device: torch.device | str, dtype: torch.dtype, crop: int = paper.CROP,
) -> Iterator[Tensor]:  # fmt: skip
    """The 1 or 10 evaluation views of batches of a split, cut on `device`: S*V x 3 x crop x crop each.

    `batches` are the images of each, `crop` is the side of a view.
    """
    device = torch.device(device)
    mean, several = torch.from_numpy(mean_HWC).to(device), views(count, split.side - crop)
    most = max(map(len, batches), default=0)
    ring = _Ring(most, most * count, split.side, device)

    def job(batch: range) -> Callable[[_Slot], int]:
        def fill(slot: _Slot) -> int:
            here = len(batch)
            for place, index in enumerate(batch):
                slot.host_images[place] = split.pixels(index)
            images_B = np.repeat(np.arange(here), count)
            labels_B, shifts_B3 = np.zeros(len(images_B)), np.zeros((len(images_B), 3))
            rows = describe_cuts(images_B, several * here, labels_B, shifts_B3)
            slot.host_cuts[: len(rows)] = rows
            return len(rows)

        return fill

    for slot, rows, _ in ring.run(map(job, batches)):
        shape = (rows, 3, crop, crop)
        x_BCHW = torch.empty(shape, dtype=dtype, device=device, memory_format=torch.channels_last)
        cut_views(slot.images, mean, slot.cuts[:rows], x_BCHW)
        yield x_BCHW


class _Slot:
    """Room for one batch, in pinned memory and on the device; on a CPU both are the same."""

    def __init__(self, images: int, cuts: int, side: int, device: torch.device) -> None:
        on_gpu = device.type == "cuda"
        shape = (images, side, side, 3)
        self._pinned_images = torch.empty(shape, dtype=torch.uint8, pin_memory=on_gpu)
        self._pinned_cuts = torch.empty((cuts, 8), dtype=torch.int32, pin_memory=on_gpu)
        self.host_images: np.ndarray = self._pinned_images.numpy()
        self.host_cuts: np.ndarray = self._pinned_cuts.numpy()
        self.images = self._pinned_images.to(device)
        self.cuts = self._pinned_cuts.to(device)
        if on_gpu:
            self.arrived, self.read = torch.cuda.Event(), torch.cuda.Event()

    def transfer(self) -> None:
        """Copy to the device, in the order of the current stream, without waiting for it."""
        self.images.copy_(self._pinned_images, non_blocking=True)
        self.cuts.copy_(self._pinned_cuts, non_blocking=True)


class _Ring:
    """Slots that are filled by threads, transferred on their own stream, read, and filled again."""

    def __init__(self, images: int, cuts: int, side: int, device: torch.device) -> None:
        self.device = device
        self.stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self.slots = [_Slot(images, cuts, side, device) for _ in range(_SLOTS)]

    def run(self, jobs: Iterable[Callable[[_Slot], Any]]) -> Iterator[tuple[_Slot, Any, float]]:
        """Each job's slot, what it returned, and the seconds waited for it, in order.

        The consumer's work on a slot has to be on its current stream before it asks for the next.
        """
        numbered = enumerate(jobs)
        waiting: deque[tuple[_Slot, Future[Any]]] = deque()
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="loader") as pool:
            while True:
                # One slot fewer than there are: the last one yielded may still be read.
                while len(waiting) < _SLOTS - 1 and (following := next(numbered, None)):
                    slot = self.slots[following[0] % _SLOTS]
                    waiting.append((slot, pool.submit(self._send, slot, following[1])))
                if not waiting:
                    return
                begun = time.perf_counter()
                slot, future = waiting.popleft()
                found = future.result()
                waited = time.perf_counter() - begun
                if self.stream:
                    torch.cuda.current_stream(self.device).wait_event(slot.arrived)
                yield slot, found, waited
                if self.stream:
                    slot.read.record(torch.cuda.current_stream(self.device))

    def _send(self, slot: _Slot, job: Callable[[_Slot], Any]) -> Any:
        """Fill the slot and begin its transfer; runs in a thread."""
        if self.stream is None:
            return job(slot)
        slot.arrived.synchronize()  # the transfer before has left the pinned memory
        found = job(slot)
        with torch.cuda.stream(self.stream):
            self.stream.wait_event(slot.read)
            slot.transfer()
            slot.arrived.record(self.stream)
        return found


def _fits(size: int, device: torch.device) -> bool:
    """Whether so many bytes of images may stay on the device."""
    if device.type != "cuda":
        return False
    free, _ = torch.cuda.mem_get_info(device)
    return size <= _RESIDENT_SHARE * free


def _all_images(split: Split, device: torch.device) -> Tensor:
    """A whole split on the device: uint8, N x side x side x 3."""
    images_NHWC = torch.empty(
        (len(split), split.side, split.side, 3), dtype=torch.uint8, device=device
    )
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="loader") as pool:
        for first in range(0, len(split), _CHUNK):
            numbers = range(first, min(first + _CHUNK, len(split)))
            several = np.stack(list(pool.map(split.pixels, numbers)))
            images_NHWC[first : first + len(several)].copy_(torch.from_numpy(several))
    return images_NHWC
