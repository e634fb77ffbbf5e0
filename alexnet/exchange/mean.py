"""Mean images that other programs keep beside their weights.

Ours is side x side x 3, red, green, blue, on the scale 0-255; H x W pixels, C colours.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from alexnet import paper
from alexnet.base.errors import DataError, IncompatibleError, UsageError
from alexnet.conventions import TORCHVISION_MEANS, Convention
from alexnet.exchange import caffe
from alexnet.exchange.imported import is_finite
from alexnet.exchange.tensors import is_safetensors
from alexnet.formats.pickles import is_pickle, read_pickle
from alexnet.models.arrays import in_words, read_arrays

CAFFE_MEANS = (104.0, 117.0, 123.0)  # blue, green, red: ILSVRC-2012's, as Caffe's users write them
_THREE = re.compile(r"\s*([-+.\d]+)\s*,\s*([-+.\d]+)\s*,\s*([-+.\d]+)\s*")
_NO_MEAN = "Give three values, blue, green, red: --mean 104,117,123."
_NUMPY_MAGIC = b"\x93NUMPY"
_ZIP_MAGIC = b"PK\x03\x04"  # of an .npz


def mean_image(given: str, convention: Convention) -> tuple[np.ndarray, str]:
    """The mean image that `given` says, float32 H x W x C in RGB, and a line on where it is from.

    `given` is a file (Caffe's binaryproto, a NumPy array, cuda-convnet's batches.meta,
    statistics.safetensors), three values in the order blue, green, red, or "" for what is usual with the
    network. Raises UsageError for means between 0 and 1, DataError and IncompatibleError for files
    without a mean image of this network's side.
    """
    side = convention.side
    if not given:
        return _usual(convention)
    if numbers := _THREE.fullmatch(given):
        try:
            blue, green, red = map(float, numbers.groups())
        except ValueError:
            raise UsageError(f"--mean {given!r} is no mean.", remedy=_NO_MEAN) from None
        _require_our_scale(np.array([blue, green, red]), f"--mean {given}")
        return (
            _constant((red, green, blue), side),
            f"Mean: blue {blue:g}, green {green:g}, red {red:g} at every pixel.",
        )
    path = Path(given)
    if not path.is_file():
        raise UsageError("There is no such mean image.", where=given, remedy=_NO_MEAN)
    mean = _from_file(path, side)
    if not is_finite(mean):
        raise DataError("The mean image has numbers that are not finite.", where=path)
    _require_our_scale(mean.reshape(-1, 3)[:, ::-1], path)
    return mean, f"Mean image: {path.name}."


def _require_our_scale(mean_BGR: np.ndarray, where: object) -> None:
    """Refuse a mean of images from 0 to 1, rows of blue, green, red; zero subtracts nothing, and stays.

    The three values that torchvision subtracts are usually written red first.
    """
    if mean_BGR.min() < 0 or not 0 < mean_BGR.max() <= 1:
        return
    values = mean_BGR.reshape(-1, 3).mean(axis=0)
    if np.allclose(values, TORCHVISION_MEANS, atol=0.002):
        values = values[::-1]
    meant = ",".join(f"{paper.LARGEST_VALUE * one:.6g}" for one in values)
    raise UsageError(
        f"This is the mean of images from 0 to 1; the network's are from 0 to {paper.LARGEST_VALUE}.",
        where=where,
        remedy=f"Probably meant, blue, green, red: --mean {meant}",
    )


def _usual(convention: Convention) -> tuple[np.ndarray, str]:
    if convention.name == "onetower":
        red, green, blue = (paper.LARGEST_VALUE * one for one in TORCHVISION_MEANS)
        told = "torchvision's"
    else:
        blue, green, red = CAFFE_MEANS
        told = "ILSVRC-2012's, for want of another; see --mean"
    line = f"Mean: blue {blue:g}, green {green:g}, red {red:g} at every pixel ({told})."
    return _constant((red, green, blue), convention.side), line


def _constant(colours: Sequence[float], side: int) -> np.ndarray:
    mean_C = np.array(colours, np.float32)
    if not np.isfinite(mean_C).all():
        raise UsageError("The mean's values are too large.", remedy=_NO_MEAN)
    return np.broadcast_to(mean_C, (side, side, len(mean_C))).copy()


def _from_file(path: Path, side: int) -> np.ndarray:
    with open(path, "rb") as file:
        head = file.read(len(_NUMPY_MAGIC))
    if head == _NUMPY_MAGIC:
        return _as_ours(
            _numpy_array(path)[::-1], side, path
        )  # blue first, as Caffe's users have it
    if head.startswith(_ZIP_MAGIC):
        raise DataError(
            "It is an archive, maybe of several arrays; a mean image is one.",
            where=path,
            remedy="Save it alone, blue first: np.save('mean.npy', array)",
        )
    if is_pickle(path):
        found = read_pickle(path)
        mean = found.get("data_mean") if isinstance(found, dict) else None
        if not isinstance(mean, np.ndarray) or mean.dtype.kind != "f" or mean.size % 3:
            raise DataError("It has no mean image under data_mean.", where=path)
        return _as_ours(mean.reshape(3, -1), side, path)
    if is_safetensors(path):
        mean = read_arrays(path).get("mean", np.empty(0))
        if mean.shape != (side, side, 3) or mean.dtype != np.float32:
            raise _wrong(mean.shape, side, path)
        return mean
    return _as_ours(caffe.read_mean(path)[::-1], side, path)  # stored blue first


def _numpy_array(path: Path) -> np.ndarray:
    """The three maps or numbers of a `.npy` file; objects in it are never loaded."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # of a damaged header the library raises many kinds
        raise DataError(f"Not a NumPy array that can be read: {error}.", where=path) from None
    if array.dtype.kind not in "fiu":
        raise DataError(f"It holds no numbers, but {str(array.dtype)[:40]}.", where=path)
    shape = array.shape
    while len(shape) > 1 and shape[0] == 1:
        shape = shape[1:]
    if shape[:1] != (3,):
        raise DataError(
            f"It is {in_words(array.shape)}, not three maps or three numbers, blue, green, red.",
            where=path,
            remedy="For red, green, blue behind: np.save(FILE, mean.transpose(2, 0, 1)[::-1])",
        )
    return np.asarray(array).reshape(shape)


def _as_ours(mean_C: np.ndarray, side: int, path: Path) -> np.ndarray:
    """Three maps of side x side numbers, or three numbers, as H x W x C."""
    if mean_C.size == 3:
        return _constant(mean_C.reshape(3).tolist(), side)
    if mean_C.shape not in ((3, side, side), (3, side * side)):
        raise _wrong(mean_C.shape, side, path)
    mean_HWC = mean_C.reshape(3, side, side).transpose(1, 2, 0)
    with np.errstate(over="ignore"):  # what is too large for float32 is no finite number then
        return np.array(mean_HWC, np.float32, order="C")


def _wrong(shape: Sequence[int], side: int, path: Path) -> IncompatibleError:
    return IncompatibleError(
        f"The mean image is {in_words(shape)}; the network needs 3 x {side} x {side}.",
        where=path,
        remedy=_NO_MEAN,
    )
