"""A trained network with its classes and preprocessing: images in, labels or activations out.

Images take the same path as training's: `prepared.pixels`, then `loading.crops` with the mean
image that is stored with the weights.

Shape letters: N images, V views, K classes, H x W pixels, C colours or maps.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple, overload

import numpy as np

from alexnet import paper
from alexnet.base import ranks
from alexnet.base.errors import DataError, UsageError
from alexnet.evaluation.probabilities import average_over_views
from alexnet.evaluation.scores import most_probable
from alexnet.loading.files import ImageLike, Views, file_batches, several
from alexnet.loading.views import batches, require_views, turns
from alexnet.models import ModelCard
from alexnet.models.activations import named_activations
from alexnet.models.find import find_model
from alexnet.network import AlexNet
from alexnet.network.alexnet import as_batch


class Prediction(NamedTuple):
    """A class, the name people read, and its probability (0 to 1)."""

    label: str
    title: str
    probability: float


class Classifier:
    """A network and what it needs to be used rightly; made by `load`."""

    def __init__(self, network: AlexNet, card: ModelCard) -> None:
        self.network = network
        self.card = card

    def __repr__(self) -> str:
        first = ", ".join(self.card.titles[:3]) + (", ..." if len(self.classes) > 3 else "")
        device = next(self.network.parameters()).device
        name = self.network.convention.name
        return f"Classifier({name}: {len(self.classes):,} classes ({first}), on {device})"

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes in the order of the output layer."""
        return self.card.classes

    @overload
    def predict(  # type: ignore[overload-overlap]  # text is a sequence of texts
        self, images: ImageLike, top: int = paper.TOP, views: int = paper.VIEWS
    ) -> list[Prediction]: ...
    @overload
    def predict(
        self, images: Iterable[ImageLike], top: int = paper.TOP, views: int = paper.VIEWS
    ) -> list[list[Prediction]]: ...
    def predict(
        self,
        images: ImageLike | Iterable[ImageLike],
        top: int = paper.TOP,
        views: int = paper.VIEWS,
    ) -> list[Prediction] | list[list[Prediction]]:
        """The `top` most probable classes of one image, or a list of them for several.

        `views` is 1 (the centre) or 10 (section 4.1). Raises DataError for a file that is no usable
        image, or a folder; UsageError for pixels of another shape, type or range.
        """
        if getattr(images, "ndim", 0) == 1:  # an array of names
            images = several(images)
        if isinstance(images, ImageLike):
            _require_one(images)
            return self.predict([images], top, views)[0]
        _require_top(top)
        require_views(views)
        return [
            answer
            for x_NHWC in self._views(images, views)
            for answer in self._most_probable(x_NHWC, top, views)
        ]

    def probabilities(
        self, images: ImageLike | Iterable[ImageLike], views: int = paper.VIEWS
    ) -> np.ndarray:
        """The probability of every class: float64, N x K.

        Several images are a list, an array of four dimensions, or a folder: those below it, in the order
        of their paths (`loading.files.image_files`).
        """
        require_views(views)
        found = [
            average_over_views(self.network, as_batch(x_NHWC), views)
            for x_NHWC in self._views(images, views)
        ]
        return np.concatenate([np.empty((0, len(self.classes))), *found])

    def answers(
        self, files: Sequence[str], top: int = paper.TOP, views: int = paper.VIEWS
    ) -> Iterator[tuple[str, list[Prediction] | DataError]]:
        """Each file with what `predict` says of it, or with why it cannot be used, in their order.

        Several processes (`ranks.joined`) take batches in turn; all get all answers.
        """
        _require_top(top)
        require_views(views)
        mine = turns(len(files), views)
        with closing(self._batches(files, views, mine)) as found:
            for batch, (faults, x_NHWC) in zip(mine, found, strict=True):
                good = iter(self._most_probable(x_NHWC, top, views))
                answers = [fault or next(good) for fault in faults]
                named = zip([files[n] for n in batch], answers, strict=True)
                yield from ranks.gathered([*named])

    @overload
    def features(  # type: ignore[overload-overlap]
        self, images: ImageLike | Iterable[ImageLike], layers: str, views: int = 1
    ) -> np.ndarray: ...
    @overload
    def features(
        self, images: ImageLike | Iterable[ImageLike], layers: Sequence[str], views: int = 1
    ) -> dict[str, np.ndarray]: ...
    def features(
        self, images: ImageLike | Iterable[ImageLike], layers: str | Sequence[str], views: int = 1
    ) -> np.ndarray | dict[str, np.ndarray]:
        """The named activations of images: float32, N x U or N x C x H x W; of several names, a
        dictionary.

        They are those of the central view (`views` 1) or the average over ten; several images are given
        as to `probabilities`. Raises UsageError with
        the nearest name where there is no such activation.
        """
        if isinstance(layers, str):
            return self.features(images, [layers], views)[layers]
        images = several(images)
        if not images or not layers:
            raise UsageError(f"There is no {'image' if layers else 'layer'} to take features of.")
        require_views(views)
        found = [
            named_activations(self.network, as_batch(x_NHWC), layers, views)
            for x_NHWC in self._views(images, views)
        ]
        return {name: np.concatenate([batch[name] for batch in found]) for name in layers}

    def save_pretrained(self, folder: str | Path, force: bool = False) -> None:
        """Write a model folder, which Hugging Face's tools understand too.

        Raises UsageError where there is one already, unless it is to be replaced (`force`).
        """
        self.network.save_pretrained(folder, self.card, force)

    def _views(self, images: ImageLike | Iterable[ImageLike], views: int) -> Iterator[np.ndarray]:
        """The views of batches of images; raises DataError for the first that cannot be used."""
        listed = several(images)
        with closing(self._batches(listed, views, batches(len(listed), views))) as found:
            for faults, x_NHWC in found:
                if broken := next(filter(None, faults), None):
                    if len(listed) > 1 and not broken.remedy:
                        broken.remedy = "Leave it out, or use model.answers(files), which goes on."
                    raise broken
                yield x_NHWC

    def _batches(
        self, images: Sequence[ImageLike], views: int, numbers: Sequence[range]
    ) -> Generator[Views]:
        crop = self.network.convention.crop
        return file_batches(images, self.card.mean_HWC, views, numbers, crop)

    def _most_probable(self, x_NHWC: np.ndarray, top: int, views: int) -> list[list[Prediction]]:
        """The most probable classes of each image, from its views."""
        if not len(x_NHWC):
            return []
        probs_NK = average_over_views(self.network, as_batch(x_NHWC), views)
        return [
            [Prediction(self.classes[k], self.card.titles[k], float(probs_K[k])) for k in order_K]
            for probs_K, order_K in zip(probs_NK, most_probable(probs_NK, top), strict=True)
        ]


def load(model: str | Path, device: str = "cpu") -> Classifier:
    """The classifier of a run, a model folder, or a `.safetensors` file beside its config.json.

    Raises UsageError with the nearest run names where there is no such model.
    """
    network, card = find_model(model).load()
    return Classifier(network.to(device), card)


def _require_one(image: ImageLike) -> None:
    """Raise DataError for a folder, whose images would have a list of answers each."""
    if isinstance(image, str | Path) and os.path.isdir(image):
        raise DataError(
            "This is a folder; predict takes an image or a list of them.",
            where=image,
            remedy="A list of its images: "
            f"model.predict(alexnet.loading.files.image_files([{os.fspath(image)!r}]).paths)",
        )


def _require_top(top: int) -> None:
    if top < 1:
        raise UsageError(f"top is {top}; ask for at least one class.")
