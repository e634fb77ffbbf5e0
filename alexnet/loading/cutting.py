"""The kernel that cuts views: whole batches in one call, without Python's lock.

A row of a view is one run of neighbouring numbers: (pixel - mean) + shift. For a reflected view only
the bytes of the row are turned around; its means come from a mirrored copy of the mean image. The
innermost step is written in LLVM's own terms, since Numba has no word for a store past the caches.

Legend: N images, V views of each, H x W pixels, C colours.
"""

# mypy: disable-error-code="no-untyped-def,no-untyped-call,call-arg,attr-defined,unreachable"

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
from llvmlite import ir
from numba import carray, njit, types
from numba.extending import intrinsic

from alexnet.base.ranks import cores
from alexnet.loading.buffers import ALIGNMENT, aligned
from alexnet.loading.crops import View
from alexnet.prepared import Split
from alexnet.prepared.shards import room_for_decoded

_DECODED = 4  # JPEGs at a time: few enough to be still in a cache when they are cut
_RUN = 16  # pixels of a row at a time: with three colours, whole vectors on every processor


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
    """Write the views of (image - mean) + shift into `out_NVHWC`, float32.

    `addresses_N` (uint64) say where in memory the images lie, uint8 and as large as the mean: whoever
    calls keeps them there. `views_NV3` (int64) are top, left, reflected; `shifts_N3` are float32.
    Written at once where `out_NVHWC` is `aligned`, else by way of memory that is.
    """
    assert len(addresses_N) == len(views_NV3) == len(shifts_N3) == len(out_NVHWC)
    crop, side = out_NVHWC.shape[2], means_2HWC.shape[1]
    assert out_NVHWC.shape[2:] == (crop, crop, 3) and out_NVHWC.dtype == np.float32
    edge = side - crop
    assert views_NV3.size == 0 or (views_NV3.min() >= 0 and views_NV3[..., :2].max() <= edge)
    if crop % _RUN:
        _cut_any(addresses_N, means_2HWC, views_NV3, shifts_N3, out_NVHWC)
    elif out_NVHWC.flags.c_contiguous and out_NVHWC.ctypes.data % ALIGNMENT == 0:
        _cut_all(addresses_N, means_2HWC, views_NV3, shifts_N3, out_NVHWC)
    else:
        straight_NVHWC = aligned(out_NVHWC.shape)
        _cut_all(addresses_N, means_2HWC, views_NV3, shifts_N3, straight_NVHWC)
        out_NVHWC[...] = straight_NVHWC


def cut(
    image_HWC: np.ndarray,
    mean_HWC: np.ndarray,
    view: View,
    out_HWC: np.ndarray,
    shift_C: np.ndarray | None = None,
) -> None:
    """Write the view of one (image - mean) + shift into `out_HWC`: float32, crop x crop x 3."""
    image_HWC = np.ascontiguousarray(image_HWC)
    assert image_HWC.dtype == np.uint8 and image_HWC.shape == mean_HWC.shape
    addresses_1 = np.array([image_HWC.ctypes.data], np.uint64)
    shifts_13 = np.zeros((1, 3), np.float32) if shift_C is None else shift_C[None]
    views_113 = np.array([[view]], np.int64)
    cut_all(addresses_1, with_mirror(mean_HWC), views_113, shifts_13, out_HWC[None, None])


class Cutter:
    """Cuts views of a split's images in all cores; JPEGs are decoded some at a time."""

    def __init__(self, split: Split, mean_HWC: np.ndarray) -> None:
        self.split, self.means_2HWC = split, with_mirror(mean_HWC)
        self._parts = cores()
        self._threads = ThreadPoolExecutor(self._parts, thread_name_prefix="cutter")
        self._own = threading.local()

    def cut(
        self,
        indices_N: np.ndarray,
        views_NV3: np.ndarray,
        shifts_N3: np.ndarray,
        out_NVHWC: np.ndarray,
    ) -> None:
        """Write the views of the images `indices_N`, as `cut_all` does."""
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
            self._own.pixels = room_for_decoded(_DECODED, self.split.side)
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


_ADDRESS = types.uint64
_FLOATS = ir.VectorType(ir.FloatType(), _RUN * 3)
_BYTES = ir.VectorType(ir.IntType(8), _RUN * 3)
_FROM_RIGHT = [3 * x + c for x in reversed(range(_RUN)) for c in range(3)]


def _writes_run(mirrored: bool) -> Callable[..., None]:
    """An intrinsic that makes one run of a view; all it is given are addresses.

    The numbers go past the caches: the view is read much later, and what is in the caches, the pixels,
    the mean and a decoder's own, is needed at once.
    """

    def load(builder, address, kind, align):
        value = builder.load(builder.inttoptr(address, kind.as_pointer()))
        value.align = align
        return value

    def build(context, builder, signature, addresses):
        pixels, means, shift, out = addresses
        run = load(builder, pixels, _BYTES, 1)
        if mirrored:
            places = ir.Constant(ir.VectorType(ir.IntType(32), _RUN * 3), _FROM_RIGHT)
            run = builder.shuffle_vector(run, run, places)
        centred = builder.fsub(builder.uitofp(run, _FLOATS), load(builder, means, _FLOATS, 4))
        coloured = builder.fadd(centred, load(builder, shift, _FLOATS, 4))
        store = builder.store(coloured, builder.inttoptr(out, _FLOATS.as_pointer()))
        store.align = ALIGNMENT
        once = builder.module.add_metadata([ir.IntType(32)(1)])
        store.set_metadata("nontemporal", once)
        return context.get_dummy_value()

    @intrinsic
    def write_run(typingctx, pixels, means, shift, out):
        return types.void(_ADDRESS, _ADDRESS, _ADDRESS, _ADDRESS), build

    return write_run


_write_run, _write_mirrored_run = _writes_run(False), _writes_run(True)


@intrinsic
def _all_written(typingctx):
    """What went past the caches is in memory before anybody is told that it is there."""

    def build(context, builder, signature, arguments):
        builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.void(), build


@njit(cache=True, nogil=True)
def _cut_all(addresses_N, means_2HWC, views_NV3, shifts_N3, out_NVHWC):
    N, V, H, W, _ = out_NVHWC.shape
    _, side, _, _ = means_2HWC.shape
    shift = np.empty(_RUN * 3, np.float32)
    out, mean, colour = out_NVHWC.ctypes.data, means_2HWC.ctypes.data, shift.ctypes.data
    for n in range(N):
        for i in range(_RUN * 3):
            shift[i] = shifts_N3[n, i % 3]
        for v in range(V):
            top, left, reflected = views_NV3[n, v]
            for y in range(top, top + H):
                row = addresses_N[n] + np.uint64((y * side + left) * 3)
                if reflected:
                    means = mean + np.uint64(((side + y) * side + side - W - left) * 12)
                    for x in range(0, W, _RUN):
                        _write_mirrored_run(row + np.uint64((W - _RUN - x) * 3), means, colour, out)
                        means += np.uint64(_RUN * 12)
                        out += np.uint64(_RUN * 12)
                else:
                    means = mean + np.uint64((y * side + left) * 12)
                    for x in range(0, W, _RUN):
                        _write_run(row + np.uint64(x * 3), means, colour, out)
                        means += np.uint64(_RUN * 12)
                        out += np.uint64(_RUN * 12)
    _all_written()


@njit(cache=True, nogil=True)
def _cut_any(addresses_N, means_2HWC, views_NV3, shifts_N3, out_NVHWC):
    """The same for crops whose rows are not whole runs."""
    N, V, H, W, C = out_NVHWC.shape
    _, side, _, _ = means_2HWC.shape
    for n in range(N):
        image_HWC = carray(_bytes_at(addresses_N[n]), (side, side, C))
        for v in range(V):
            top, left, reflected = views_NV3[n, v]
            for y in range(H):
                for x in range(W):
                    column = left + W - 1 - x if reflected else left + x
                    for c in range(C):
                        pixel = np.float32(image_HWC[top + y, column, c])
                        centred = pixel - means_2HWC[0, top + y, column, c]
                        out_NVHWC[n, v, y, x, c] = centred + shifts_N3[n, c]


@intrinsic
def _bytes_at(typingctx, address):
    """An address as a pointer to bytes."""

    def build(context, builder, signature, arguments):
        return builder.inttoptr(arguments[0], ir.IntType(8).as_pointer())

    return types.CPointer(types.uint8)(_ADDRESS), build
