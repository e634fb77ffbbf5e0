"""The images that activations are taken of, in order: files, or the split of a prepared set.

Shape letters: B images of a batch, V views, H x W pixels, C colours.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from alexnet.base.errors import DataError
from alexnet.base.names import printable
from alexnet.loading.files import file_batches, image_files
from alexnet.loading.views import split_views
from alexnet.network import AlexNet
from alexnet.network.alexnet import as_batch
from alexnet.prepared import PreparedDataset


class Inputs(NamedTuple):
    """A batch: why each of its images cannot be used, or None, and the views of the others.

    `x_NCHW` are the V views of one image after those of another.
    """

    faults: tuple[str | None, ...]
    x_NCHW: Tensor


# The batches whose images' numbers are given: for a network, its mean image, and V views.
Batches = Callable[[AlexNet, np.ndarray, int, Sequence[range]], Generator[Inputs]]


@dataclass(frozen=True)
class Stimuli:
    """Images by their `keys`, with those that will turn out broken; `source` says what they are of.

    `labels` are their classes by the keys, empty where they are not known.
    """

    keys: tuple[str, ...]
    batches: Batches
    source: Mapping[str, Any]
    labels: Mapping[str, str] = field(default_factory=dict)


def of_split(dataset: PreparedDataset, split: str) -> Stimuli:
    """The images of a split in its order; raises UsageError for a name that does not exist."""
    images = dataset.split(split)
    if len(images) == 0:
        raise DataError(f"The split {split!r} has no images.", where=dataset.folder)

    def cut(
        network: AlexNet, mean_HWC: np.ndarray, views: int, batches: Sequence[range]
    ) -> Generator[Inputs]:
        weights, crop = next(network.parameters()), network.convention.crop
        some = [batch for batch in batches if batch]
        with closing(split_views(images, mean_HWC, views, some, weights, crop)) as found:
            for batch in batches:
                x_NCHW = next(found) if batch else weights.new_empty(0)
                yield Inputs((None,) * len(batch), x_NCHW)

    keys = tuple(images.key(i) for i in range(len(images)))
    source = {"dataset": str(dataset.folder), "fingerprint": dataset.fingerprint, "split": split}
    classes = [dataset.classes[k] for k in images.labels.tolist()]
    return Stimuli(keys, cut, source, dict(zip(keys, classes, strict=True)))


def of_files(names: Sequence[str]) -> Stimuli:
    """Image files, and those in folders in the order of their paths.

    Links are followed, and files left out, as `image_files` does; what is left out is told in `source`.
    Keys are the paths inside a folder that is named alone, otherwise paths as they were typed. Where
    images of that folder lie in folders of their own, the names of these are the labels. Raises DataError
    for a folder that cannot be read.
    """
    root = names[0] if len(names) == 1 and os.path.isdir(names[0]) else ""
    found = image_files(names)
    files = found.paths

    def cut(
        network: AlexNet, mean_HWC: np.ndarray, views: int, batches: Sequence[range]
    ) -> Generator[Inputs]:
        crop = network.convention.crop
        with closing(file_batches(files, mean_HWC, views, batches, crop)) as found:
            for faults, x_NHWC in found:
                reasons = (fault.what if fault else None for fault in faults)
                yield Inputs(tuple(reasons), as_batch(x_NHWC))

    keys = tuple(printable(os.path.relpath(file, root) if root else file) for file in files)
    labels = {key: os.path.basename(os.path.dirname(key)) for key in keys if root}
    source: dict[str, Any] = {"files": [printable(name) for name in names]}
    if found.told:
        source["ignored"] = found.told
    return Stimuli(keys, cut, source, labels if any(labels.values()) else {})
