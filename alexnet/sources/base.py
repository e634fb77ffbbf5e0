"""What a source is: class names in order, and images streamed in an order that never changes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

DEFAULT_VALIDATION_SHARE = 0.1
MAX_FILE_BYTES = 256 * 2**20  # no image is larger; a file that claims to be is not read


class Fault(NamedTuple):
    """Why the bytes of a file could not be had: "unreadable", "Permission denied"."""

    reason: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class LabelledImage:
    """One labelled file: its bytes as they lie on disk, not decoded; none where it has a fault."""

    split: str
    key: str
    label: int
    data: bytes
    fault: Fault | None = None


@dataclass(frozen=True)
class Source:
    """Labelled images under one name.

    `images()` may be called again and again and gives the same images in the same order;
    `count` is how many it will give. `identity` changes when a file is added, removed or resized.
    `ignored` counts what is no image by its name (`.DS_Store`), `warnings` are sentences for
    people, and `truncated` names the place where an archive breaks off, if it does.
    """

    spec: str
    found: str
    classes: tuple[str, ...]
    titles: tuple[str, ...]
    splits: tuple[str, ...]
    count: int
    identity: str
    images: Callable[[], Iterator[LabelledImage]]
    ignored: Mapping[str, int] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    truncated: str = ""


def split_by_content(data: bytes, share: float) -> str:
    """ "val" for about `share` of all images, chosen by their bytes: stable under renaming."""
    fraction = int.from_bytes(hashlib.sha256(data).digest()[:8], "big") / 2**64
    return "val" if fraction < share else "train"


def identity_of(parts: Iterable[object]) -> str:
    """A SHA-256 over a listing, in hexadecimal."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(repr(part).encode("utf-8", "surrogateescape") + b"\n")
    return digest.hexdigest()


def as_ppm(pixels_HWC: np.ndarray) -> bytes:
    """uint8 pixels (height, width, 3) as the bytes of a PPM file: lossless, nothing to compress."""
    height, width, _ = pixels_HWC.shape
    return b"P6 %d %d 255\n" % (width, height) + np.ascontiguousarray(pixels_HWC).tobytes()
