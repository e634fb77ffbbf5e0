"""Image files: found by the names that people type, decoded once, in batches ahead of the network.

Shape letters: B images of a batch, V views, H x W pixels, C colours.
"""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Generator, Iterable, Mapping, Sequence, Set
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from threading import Lock
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from PIL import Image

from alexnet import paper
from alexnet.base import ranks
from alexnet.base.errors import DataError, UsageError
from alexnet.base.names import kind_of_no_image, listed
from alexnet.base.walk import Walk, walk
from alexnet.loading.crops import cut_views
from alexnet.prepared.pixels import MIN_SIDE, SIZE, Rejected, decode_image, prepare_image, to_square


@runtime_checkable
class Arraylike(Protocol):
    """What NumPy makes an array of: tensors of PyTorch, JAX and TensorFlow."""

    def __array__(self) -> np.ndarray: ...


# A file, its bytes, an opened Pillow image, or uint8 pixels H x W x 3 or 3 x H x W.
ImageLike = str | Path | bytes | Image.Image | np.ndarray | Arraylike

READ = "JPEG, PNG, WebP, GIF, BMP, TIFF and PPM are read; HEIC after: python -m pip install pillow-heif"
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
    """`image_batches` of batches of images by number."""
    return image_batches(([images[n] for n in batch] for batch in batches), mean_HWC, views, crop)


def image_batches(
    batches: Iterable[Sequence[ImageLike]],
    mean_HWC: np.ndarray,
    views: int,
    crop: int = paper.CROP,
) -> Generator[Views]:
    """The 1 or 10 views of batches of images; each is decoded once, by all cores.

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
            jobs = [pool.submit(cut, image, x_BVHWC[n]) for n, image in enumerate(batch)]
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
    if isinstance(image, Arraylike) and not isinstance(image, str):  # NumPy's texts are both
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
    return "Not an image file." if path.exists() else "There is no such file."


class ImageFiles(NamedTuple):
    """Files that may be images, and how many others lie beside them: {".mov": 2}."""

    paths: list[str]
    ignored: Counter[str]

    @property
    def told(self) -> str:
        """What to say of the others; empty where there are none."""
        kinds = ", ".join(f"{kind} {count:,}" for kind, count in sorted(self.ignored.items()))
        return f"ignored, no images by their names: {kinds}" if kinds else ""


def image_files(names: Sequence[str]) -> ImageFiles:
    """The files named, and those in the folders named in the order of their paths, part by part.

    In folders, hidden files and those that are no images by their names are left out. Links to folders
    are followed, but for those to a folder that they lie in. Raises DataError for a folder that cannot
    be read.
    """
    found, ignored = [], Counter[str]()
    for name in names:
        if not os.path.isdir(name):
            found.append(name)
            continue
        for path in sorted(path for path, _ in walk(name, Walk())):
            if kind := kind_of_no_image(path[-1]):
                ignored[kind] += 1
            else:
                found.append(os.path.join(name, *path))
    return ImageFiles(found, ignored)


def several(images: ImageLike | Iterable[ImageLike]) -> list[ImageLike]:
    """Images one by one: those of a list, a generator, an array N x H x W x 3 or N x 3 x H x W, a folder.

    Raises UsageError for what has no order, DataError where files of a list are not there.
    """
    if isinstance(images, str | Path):
        folder = os.path.isdir(images)
        return [*image_files([os.fspath(images)]).paths] if folder else [images]
    if isinstance(images, bytes | Image.Image):
        return [images]
    if isinstance(images, Arraylike):
        array = _as_array(images)
        names = array.ndim == 1 and array.dtype.kind in "OU"
        return array.tolist() if names else [*array] if array.ndim == 4 else [array]
    if not isinstance(images, Iterable) or isinstance(images, Mapping | Set):
        remedy = "Give a list, whose order is that of the answers."
        raise _not_pixels(
            f"a {type(images).__name__}", remedy if isinstance(images, Iterable) else ""
        )
    found = [*images]
    _require_files(found)
    return found


def _require_files(images: Sequence[ImageLike]) -> None:
    paths = [image for image in images if isinstance(image, str | Path)]
    missing = [path for path in paths if not os.path.exists(path)]
    if missing and len(images) > 1:
        raise DataError(
            f"{len(missing):,} of {len(images):,} images are not there.",
            where=listed([str(path) for path in missing], 3),
            remedy="Leave them out: [path for path in images if os.path.exists(path)]",
        )


def _as_array(image: Arraylike) -> np.ndarray:
    """A tensor, wherever it lies, as an array."""
    try:
        return np.asarray(image.detach().cpu() if hasattr(image, "detach") else image)
    except (TypeError, ValueError, RuntimeError) as error:  # of a kind that NumPy does not have
        raise _not_pixels(f"a {type(image).__name__}: {error}", "Convert: image.byte()") from None


def _checked(image: Arraylike) -> np.ndarray:
    pixels = _as_array(image)
    came = f"{pixels.dtype} {' x '.join(map(str, pixels.shape))}"
    if pixels.dtype != np.uint8:
        raise _not_pixels(*_other_numbers(pixels, came, not isinstance(image, np.ndarray)))
    if pixels.ndim == 4:
        raise _not_pixels(came, "Give several images as a list: list(pixels).")
    if pixels.ndim == 3 and pixels.shape[0] == 3 and pixels.shape[2] != 3:
        pixels = pixels.transpose(1, 2, 0)
    if pixels.ndim == 2:
        raise _not_pixels(came, "Repeat the grey values: np.stack([pixels] * 3, axis=-1).")
    if pixels.ndim == 3 and 1 in (pixels.shape[0], pixels.shape[2]):
        raise _not_pixels(
            came, "Repeat the grey values: np.stack([pixels.squeeze()] * 3, axis=-1)."
        )
    if pixels.ndim == 3 and pixels.shape[2] == 4:
        raise _not_pixels(came, "Let Pillow say what the fourth is: Image.fromarray(pixels).")
    if pixels.ndim != 3 or pixels.shape[2] != 3 or min(pixels.shape[:2]) < MIN_SIDE:
        raise _not_pixels(came, f"H and W are at least {MIN_SIDE}.")
    return np.ascontiguousarray(pixels)


def _other_numbers(pixels: np.ndarray, came: str, tensor: bool) -> tuple[str, str]:
    """What came instead of bytes, and how to make bytes of it."""
    to_bytes = ".byte()" if tensor else ".astype('uint8')"
    remedy = f"Scale to 0-255, then convert: pixels{to_bytes}."
    if pixels.size and np.issubdtype(pixels.dtype, np.number):
        low, high = pixels.min(), pixels.max()
        came += f", values {low:g} to {high:g}"
        if low < 0:
            remedy = f"Undo the normalization: (255 * (pixels * std + mean)).round(){to_bytes}."
        elif high <= 1 and np.issubdtype(pixels.dtype, np.floating):
            remedy = f"Scale to 0-255: (255 * pixels).round(){to_bytes}."
    return came, remedy


def _not_pixels(came: str, remedy: str) -> UsageError:
    return UsageError(
        f"Expected uint8 H x W x 3 (red, green, blue, 0-255), a path, bytes or a Pillow image; "
        f"got {came}.",
        remedy=remedy,
    )
