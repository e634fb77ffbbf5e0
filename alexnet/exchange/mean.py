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


def mean_image(given: str, convention: Convention) -> tuple[np.ndarray, str]:
    """The mean image that `given` says, float32 H x W x C in RGB, and a line on where it is from.

    `given` is a file (Caffe's binaryproto, cuda-convnet's batches.meta, statistics.safetensors), three
    values in the order blue, green, red, or "" for what is usual with the network.
    """
    side = convention.side
    if not given:
        return _usual(convention)
    if numbers := _THREE.fullmatch(given):
        try:
            blue, green, red = map(float, numbers.groups())
        except ValueError:
            raise UsageError(f"--mean {given!r} is no mean.", remedy=_NO_MEAN) from None
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
    return mean, f"Mean image: {path.name}."


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


def _as_ours(mean_C: np.ndarray, side: int, path: Path) -> np.ndarray:
    """Three maps of side x side numbers, or three numbers, as H x W x C."""
    if mean_C.size == 3:
        return _constant(mean_C.reshape(3).tolist(), side)
    if mean_C.shape[0] != 3 or mean_C.size != 3 * side * side:
        raise _wrong(mean_C.shape, side, path)
    mean_CHW = mean_C.reshape(3, side, side)
    return np.array(mean_CHW.transpose(1, 2, 0), np.float32, order="C")


def _wrong(shape: Sequence[int], side: int, path: Path) -> IncompatibleError:
    return IncompatibleError(
        f"The mean image is {in_words(shape)}; the network needs 3 x {side} x {side}.",
        where=path,
        remedy=_NO_MEAN,
    )
