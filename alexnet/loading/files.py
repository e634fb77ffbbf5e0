"""Image files: found by the names that people type, decoded once, in batches ahead of the network.

Shape letters: B images of a batch, V views, H x W pixels, C colours.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from threading import Lock
from typing import NamedTuple

import numpy as np
from PIL import Image

from alexnet import paper
from alexnet.base import ranks
from alexnet.base.errors import DataError, UsageError
from alexnet.base.names import is_hidden, printable
from alexnet.loading.crops import cut_views
from alexnet.prepared.pixels import MIN_SIDE, SIZE, Rejected, decode_image, prepare_image, to_square

# A file, its bytes, an opened Pillow image, or uint8 pixels H x W x 3.
ImageLike = str | Path | bytes | Image.Image | np.ndarray

READ = "JPEG, PNG, WebP, GIF, BMP, TIFF and PPM are read."
_AHEAD = 1  # batches that are decoded while the network is at work


class Views(NamedTuple):
    """A batch of images: what is wrong with each, if anything, and the views of the others.

    `x_NHWC` is float32, one image's V views after the other's: pixels minus the mean.
    """

    faults: tuple[DataError | None, ...]
    x_NHWC: np.ndarray


def file_batches(
    images: Sequence[ImageLike],
    mean_HWC: np.ndarray,
    views: int,
    batches: Sequence[range],
    crop: int = paper.CROP,
) -> Generator[Views]:
    """The 1 or 10 views of batches of images, by number; each is decoded once, by all cores.

    The next batch is begun before the caller is given one. An image that cannot be used is data, not an
    end; raises UsageError for pixels of another shape, type or range. Close it if it is left early.
    """
    # An opened image may be there twice, and Pillow does not read it twice at once.
    reading = Lock()

    def cut(image: ImageLike, out_VHWC: np.ndarray) -> DataError | None:
        try:
            with reading if isinstance(image, Image.Image) else nullcontext():
                pixels_HWC = pixels_of(image, len(mean_HWC))
        except DataError as error:
            return error
        cut_views(pixels_HWC, mean_HWC, views, crop, out_VHWC)
        return None

    def finished(x_BVHWC: np.ndarray, jobs: list[Future[DataError | None]]) -> Views:
        faults = tuple(job.result() for job in jobs)
        if any(faults):
            x_BVHWC = x_BVHWC[[fault is None for fault in faults]]
        return Views(faults, x_BVHWC.reshape(-1, crop, crop, 3))

    pool = ThreadPoolExecutor(ranks.cores(), thread_name_prefix="images")
    waiting: deque[tuple[np.ndarray, list[Future[DataError | None]]]] = deque()
    try:
        for batch in batches:
            x_BVHWC = np.empty((len(batch), views, crop, crop, 3), np.float32)
            jobs = [pool.submit(cut, images[n], x_BVHWC[place]) for place, n in enumerate(batch)]
            waiting.append((x_BVHWC, jobs))
            if len(waiting) > _AHEAD:
                yield finished(*waiting.popleft())
        while waiting:
            yield finished(*waiting.popleft())
    finally:
        pool.shutdown(cancel_futures=True)


def pixels_of(image: ImageLike, side: int = SIZE) -> np.ndarray:
    """Any kind of image as the network's source pixels: uint8, side x side x 3.

    Raises Rejected, with the file's name, or UsageError for unusable arrays.
    """
    if isinstance(image, bytes):
        return prepare_image(image, side)
    if isinstance(image, Image.Image):
        return to_square(decode_image(image), side=side)
    if isinstance(image, np.ndarray):
        return to_square(_checked(image), side=side)
    if not isinstance(image, str | Path):
        raise _not_pixels(f"a {type(image).__name__}", "")
    path = Path(image)
    if not path.is_file():  # not a pipe or a device either: reading one may never end
        raise DataError(_no_file(path), where=path)
    try:
        return prepare_image(path.read_bytes(), side)
    except Rejected as error:
        error.where = str(path)
        raise
    except OSError as error:
        raise DataError(f"Cannot read: {error.strerror}.", where=path) from None


def _no_file(path: Path) -> str:
    if path.is_dir() and path.is_symlink():
        return "A link to a folder, which is not followed."
    return "Not an image file." if path.exists() else "There is no such file."


def image_files(names: Sequence[str]) -> list[str]:
    """The files named, and all in the folders named in the order of their paths, part by part; hidden
    ones are left out.

    Links to folders inside are not followed: they stand among the files, where they are no images.
    Raises DataError for a folder that cannot be read.
    """
    return [file for name in names for file in (_below(name) if os.path.isdir(name) else [name])]


def _below(root: str) -> list[str]:
    found: list[tuple[str, ...]] = []
    stack: list[tuple[str, ...]] = [()]
    while stack:
        folder = stack.pop()
        for entry in _entries(os.path.join(root, *folder)):
            if not is_hidden(entry.name):
                inner = entry.is_dir(follow_symlinks=False)
                (stack if inner else found).append((*folder, entry.name))
    return [os.path.join(root, *path) for path in sorted(found)]


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        raise DataError(
            f"Cannot read the folder: {error.strerror}.",
            where=printable(folder),
            remedy="Change its permissions, or move it elsewhere.",
        ) from error


def _checked(pixels: np.ndarray) -> np.ndarray:
    came = f"{pixels.dtype} {' x '.join(map(str, pixels.shape))}"
    if pixels.dtype != np.uint8:
        if pixels.size and np.issubdtype(pixels.dtype, np.number):
            came += f", values {pixels.min():g} to {pixels.max():g}"
        raise _not_pixels(came, "Scale to 0-255, then convert: pixels.astype('uint8').")
    if pixels.ndim == 4:
        raise _not_pixels(came, "Give several images as a list: list(pixels).")
    if pixels.ndim == 3 and pixels.shape[0] == 3 and pixels.shape[2] != 3:
        raise _not_pixels(came, "Put the colours last: pixels.transpose(1, 2, 0).")
    if pixels.ndim == 2:
        raise _not_pixels(came, "Repeat the grey values: np.stack([pixels] * 3, axis=-1).")
    if pixels.ndim != 3 or pixels.shape[2] != 3 or min(pixels.shape[:2]) < MIN_SIDE:
        raise _not_pixels(came, f"H and W are at least {MIN_SIDE}.")
    return np.ascontiguousarray(pixels)


def _not_pixels(came: str, remedy: str) -> UsageError:
    return UsageError(
        f"Expected uint8 H x W x 3 (red, green, blue, 0-255), a path, bytes or a Pillow image; "
        f"got {came}.",
        remedy=remedy,
    )
