"""The kernel that cuts views: whole batches in one call, without Python's lock.

A row of a view is one run of neighbouring numbers: (pixel - mean) + shift. For a reflected view only
the bytes of the row are turned around; its means come from a mirrored copy of the mean image.

Legend: N pictures, V views of each, H x W pixels, C colours.
"""

# mypy: disable-error-code="no-untyped-def,call-arg,attr-defined"
# mypy: no-warn-unreachable

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
from numba import carray, njit, types
from numba.extending import intrinsic

from alexnet import paper
from alexnet.prepared import Split
from alexnet.prepared.workers import usable_cores

_DECODED = 16  # JPEGs at a time: few enough to be still in a cache when they are cut


def with_mirror(mean_HWC: np.ndarray) -> np.ndarray:
    """The mean image and its reflection: float32, 2 x H x W x C."""
    return np.stack([mean_HWC, mean_HWC[:, ::-1]]).astype(np.float32, copy=False)


def cut_all(
    addresses_N: np.ndarray,
    means_2HWC: np.ndarray,
    views_NV3: np.ndarray,
    shifts_N3: np.ndarray,
    out_NVHWC: np.ndarray,
) -> None:
    """Write the views of (picture - mean) + shift into `out_NVHWC`, float32.

    `addresses_N` (uint64) say where in memory the pictures lie, uint8 256 x 256 x 3 each: whoever
    calls keeps them there. `views_NV3` (int64) are top, left, reflected; `shifts_N3` are float32.
    """
    assert len(addresses_N) == len(views_NV3) == len(shifts_N3) == len(out_NVHWC)
    edge = paper.SIDE - paper.CROP
    assert views_NV3.size == 0 or (views_NV3.min() >= 0 and views_NV3[..., :2].max() <= edge)
    _cut_all(addresses_N, means_2HWC, views_NV3, shifts_N3, out_NVHWC)


class Cutter:
    """Cuts views of a split's pictures in all cores; JPEGs are decoded some at a time."""

    def __init__(self, split: Split, mean_HWC: np.ndarray) -> None:
        self.split, self.means_2HWC = split, with_mirror(mean_HWC)
        self._parts = usable_cores()
        self._threads = ThreadPoolExecutor(self._parts, thread_name_prefix="cutter")
        self._own = threading.local()

    def cut(
        self,
        indices_N: np.ndarray,
        views_NV3: np.ndarray,
        shifts_N3: np.ndarray,
        out_NVHWC: np.ndarray,
    ) -> None:
        """Write the views of the pictures `indices_N`, as `cut_all` does."""
        borders = np.linspace(0, len(indices_N), self._parts + 1).astype(int)
        cut = self._cut_raw if self.split.is_raw else self._cut_jpegs
        futures = [
            self._threads.submit(
                cut,
                indices_N[first:last],
                views_NV3[first:last],
                shifts_N3[first:last],
                out_NVHWC[first:last],
            )
            for first, last in pairwise(borders)
            if first < last
        ]
        for future in futures:
            future.result()

    def _cut_raw(
        self, indices_N: np.ndarray, views: np.ndarray, shifts: np.ndarray, out: np.ndarray
    ) -> None:
        cut_all(self.split.addresses(indices_N), self.means_2HWC, views, shifts, out)

    def _cut_jpegs(
        self, indices_N: np.ndarray, views: np.ndarray, shifts: np.ndarray, out: np.ndarray
    ) -> None:
        if not hasattr(self._own, "pixels"):
            self._own.pixels = np.empty((_DECODED, paper.SIDE, paper.SIDE, 3), np.uint8)
        pixels_NHWC = self._own.pixels
        places = np.arange(_DECODED, dtype=np.uint64) * np.uint64(pixels_NHWC[0].nbytes)
        addresses_N = np.uint64(pixels_NHWC.ctypes.data) + places
        for first in range(0, len(indices_N), _DECODED):
            some = slice(first, first + _DECODED)
            numbers = indices_N[some].tolist()
            for n, index in enumerate(numbers):
                self.split.pixels(index, pixels_NHWC[n])
            here = addresses_N[: len(numbers)]
            cut_all(here, self.means_2HWC, views[some], shifts[some], out[some])


@intrinsic
def _pointer(typingctx, address):
    """An address as a pointer to bytes."""

    def build(context, builder, signature, arguments):
        return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

    return types.CPointer(types.uint8)(types.uint64), build


@njit(cache=True, nogil=True)
def _cut_all(addresses_N, means_2HWC, views_NV3, shifts_N3, out_NVHWC):
    N, V, H, W, _ = out_NVHWC.shape
    _, side, _, _ = means_2HWC.shape
    turned = np.empty(W * 3, np.uint8)
    shift = np.empty(W * 3, np.float32)
    for n in range(N):
        image = carray(_pointer(addresses_N[n]), (side, side * 3))
        for x in range(W):
            shift[3 * x] = shifts_N3[n, 0]
            shift[3 * x + 1] = shifts_N3[n, 1]
            shift[3 * x + 2] = shifts_N3[n, 2]
        for v in range(V):
            top, left, reflected = views_NV3[n, v]
            mean = means_2HWC[reflected].reshape(side, side * 3)
            at = 3 * (side - W - left if reflected else left)
            for y in range(H):
                row = image[top + y, left * 3 : (left + W) * 3]
                if reflected:
                    _turn(row, turned)
                    row = turned
                means = mean[top + y, at : at + W * 3]
                out = out_NVHWC[n, v, y].reshape(W * 3)
                for i in range(W * 3):
                    out[i] = (np.float32(row[i]) - means[i]) + shift[i]


@njit(inline="always")
def _turn(row, turned):
    """The pixels of a row from right to left. Unsigned places need no check and become vectors."""
    one, two = np.uint64(1), np.uint64(2)
    for x in range(row.size // 3):
        to, here = np.uint64(3 * x), np.uint64(row.size - 3 - 3 * x)
        turned[to] = row[here]
        turned[to + one] = row[here + one]
        turned[to + two] = row[here + two]
