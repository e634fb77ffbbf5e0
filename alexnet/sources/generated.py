"""builtin:digits and synthetic:NxK: images that need no file. N images, H height, W width."""

from __future__ import annotations

import colorsys
import re
from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image

from alexnet.base.errors import UsageError
from alexnet.sources.base import LabelledImage, Source, as_ppm, identity_of, split_by_content

SIDE = 64  # pixels of a digit or a synthetic image
SEED = 2012
NOISE = 40  # standard deviation of a synthetic pixel, of 255


def open_digits(spec: str, validation_share: float) -> Source:
    """The 1,797 handwritten digits that scikit-learn installs, 8x8 enlarged to 64x64."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    grey_NHW = (digits.images * (255 / digits.images.max())).astype(np.uint8)

    def images() -> Iterator[LabelledImage]:
        for n, (grey_HW, label) in enumerate(zip(grey_NHW, digits.target, strict=True)):
            image = Image.fromarray(grey_HW).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
            data = as_ppm(np.asarray(image.convert("RGB")))
            split = split_by_content(data, validation_share)
            yield LabelledImage(split, f"{label}/{n:04d}", int(label), data)

    return _generated(spec, "scikit-learn", [str(n) for n in range(10)], len(grey_NHW), images)


def open_synthetic(spec: str, validation_share: float) -> Source:
    """N images of K classes that a network can tell apart: stripes, each class at its own angle
    and hue, anywhere in the image and under noise. `spec` is "synthetic:NxK"."""
    match = re.fullmatch(r"synthetic:(\d+)x(\d+)", spec)
    if not match or not 0 < int(match[2]) <= int(match[1]):
        raise UsageError(
            f"{spec!r} is not synthetic:NxK.",
            remedy="N images of K classes, at least one of each: synthetic:1000x10.",
        )
    count, kinds = int(match[1]), int(match[2])
    digits = len(str(kinds - 1))

    def images() -> Iterator[LabelledImage]:
        for n in range(count):
            label = n % kinds
            data = as_ppm(_stripes(n, label, kinds))
            split = split_by_content(data, validation_share)
            yield LabelledImage(split, f"class{label:0{digits}d}/{n:06d}", label, data)

    names = [f"class{label:0{digits}d}" for label in range(kinds)]
    return _generated(spec, "made by arithmetic", names, count, images)


def _stripes(number: int, label: int, kinds: int) -> np.ndarray:
    """Image `number`, a function of its number alone: uint8 (SIDE, SIDE, 3)."""
    from alexnet.base.randomness import Purpose, normals, uniforms

    phase, width, light, _ = uniforms(SEED, Purpose.SYNTHETIC, 0, np.array([number]))[0]
    angle = np.pi * label / kinds
    x_HW, y_HW = np.meshgrid(np.arange(SIDE), np.arange(SIDE))
    across_HW = x_HW * np.cos(angle) + y_HW * np.sin(angle)
    wave_HW = np.sin(2 * np.pi * (across_HW / (8 + 8 * width) + phase))
    hue_3 = np.array(colorsys.hsv_to_rgb(label / kinds, 0.6, 1.0))
    address_N = np.arange(SIDE * SIDE) + number * SIDE * SIDE
    noise_HW3 = normals(SEED, Purpose.SYNTHETIC, 1, address_N)[:, :3].reshape(SIDE, SIDE, 3)
    pixels_HW3: np.ndarray = (
        110 + 40 * light + 70 * wave_HW[:, :, None]
    ) * hue_3 + NOISE * noise_HW3
    return pixels_HW3.round().clip(0, 255).astype(np.uint8)


def _generated(
    spec: str,
    found: str,
    classes: list[str],
    count: int,
    images: Callable[[], Iterator[LabelledImage]],
) -> Source:
    return Source(
        spec=spec,
        found=found,
        classes=tuple(classes),
        titles=tuple(classes),
        splits=("train", "val"),
        count=count,
        identity=identity_of([spec, count, SIDE, SEED, NOISE]),
        images=images,
    )
