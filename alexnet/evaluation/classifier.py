"""A trained network with its classes and preprocessing: images in, labels or activations out.

Images take the same path as training's: `prepared.pixels`, then `loading.crops` with the mean
image that is stored with the weights.

Shape letters: N images, V views, K classes, H x W pixels, C colours or maps.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, overload

import numpy as np
from PIL import Image

from alexnet import paper
from alexnet.base.errors import DataError, UsageError
from alexnet.evaluation.activations import named_activations
from alexnet.evaluation.predictions import average_over_views
from alexnet.evaluation.scores import most_probable
from alexnet.loading.crops import cut_views
from alexnet.models import ModelCard, load_model
from alexnet.models.find import find_model
from alexnet.network import AlexNet
from alexnet.network.alexnet import as_batch
from alexnet.prepared import Rejected, prepare_image
from alexnet.prepared.pixels import MIN_SIDE, SIZE, decode_image, to_square

# A file, its bytes, an opened Pillow image, or uint8 pixels H x W x 3.
ImageLike = str | Path | bytes | Image.Image | np.ndarray

_IMAGES_AT_ONCE = 8


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
        self, images: Sequence[ImageLike], top: int = paper.TOP, views: int = paper.VIEWS
    ) -> list[list[Prediction]]: ...
    def predict(
        self,
        images: ImageLike | Sequence[ImageLike],
        top: int = paper.TOP,
        views: int = paper.VIEWS,
    ) -> list[Prediction] | list[list[Prediction]]:
        """The `top` most probable classes of one image, or a list of them for several.

        `views` is 1 (the centre) or 10 (section 4.1). Raises Rejected for a file that is no usable
        image, UsageError for pixels of another shape, type or range.
        """
        if isinstance(images, ImageLike):
            return self.predict([images], top, views)[0]
        if top < 1:
            raise UsageError(f"top is {top}; ask for at least one class.")
        probs_NK = self.probabilities(images, views)
        return [
            [Prediction(self.classes[k], self.card.titles[k], float(probs_K[k])) for k in order_K]
            for probs_K, order_K in zip(probs_NK, most_probable(probs_NK, top), strict=True)
        ]

    def probabilities(self, images: Sequence[ImageLike], views: int = paper.VIEWS) -> np.ndarray:
        """The probability of every class: float64, N x K."""
        _require_views(views)
        batches = [
            average_over_views(self.network, x_NHWC, views) for x_NHWC in self._views(images, views)
        ]
        return np.concatenate([np.empty((0, len(self.classes))), *batches])

    @overload
    def features(  # type: ignore[overload-overlap]
        self, images: ImageLike | Sequence[ImageLike], layers: str, views: int = 1
    ) -> np.ndarray: ...
    @overload
    def features(
        self, images: ImageLike | Sequence[ImageLike], layers: Sequence[str], views: int = 1
    ) -> dict[str, np.ndarray]: ...
    def features(
        self, images: ImageLike | Sequence[ImageLike], layers: str | Sequence[str], views: int = 1
    ) -> np.ndarray | dict[str, np.ndarray]:
        """The named activations of images: float32, N x U or N x C x H x W; of several names, a
        dictionary.

        They are those of the central view (`views` 1) or the average over ten. Raises UsageError with
        the nearest name where there is no such activation.
        """
        if isinstance(layers, str):
            return self.features(images, [layers], views)[layers]
        images = [images] if isinstance(images, ImageLike) else images
        if not images or not layers:
            raise UsageError(f"There is no {'image' if layers else 'layer'} to take features of.")
        _require_views(views)
        batches = [
            named_activations(self.network, as_batch(x_NHWC), layers, views)
            for x_NHWC in self._views(images, views)
        ]
        return {name: np.concatenate([batch[name] for batch in batches]) for name in layers}

    def save_pretrained(self, folder: str | Path, force: bool = False) -> None:
        """Write a model folder, which Hugging Face's tools understand too.

        Raises UsageError where there is one already, unless it is to be replaced (`force`).
        """
        self.network.save_pretrained(folder, self.card, force)

    def _views(self, images: Sequence[ImageLike], views: int) -> Iterator[np.ndarray]:
        about = self.network.convention
        for first in range(0, len(images), _IMAGES_AT_ONCE):
            group = images[first : first + _IMAGES_AT_ONCE]
            yield np.concatenate(
                [
                    cut_views(pixels_of(image, about.side), self.card.mean_HWC, views, about.crop)
                    for image in group
                ]
            )


def load(model: str | Path, device: str = "cpu") -> Classifier:
    """The classifier of a run, a model folder, or a `.safetensors` file beside its config.json.

    Raises UsageError with the nearest run names where there is no such model.
    """
    network, card = load_model(find_model(model).folder)
    return Classifier(network.to(device), card)


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
        what = "Not an image file." if path.exists() else "There is no such file."
        raise DataError(what, where=path)
    try:
        return prepare_image(path.read_bytes(), side)
    except Rejected as error:
        error.where = str(path)
        raise
    except OSError as error:
        raise DataError(f"Cannot read: {error.strerror}.", where=path) from None


def _require_views(views: int) -> None:
    if views not in (1, paper.VIEWS):
        raise UsageError(f"views is {views}; expected 1 or {paper.VIEWS}.")


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
