"""What a source is: class names in order, and images streamed in an order that never changes."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

DEFAULT_VALIDATION_SHARE = 0.1
MAX_FILE_BYTES = 256 * 2**20  # no image is larger; a file that claims to be is not read
_BITS_64 = 2**64 - 1


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


def stamp_of(status: os.stat_result) -> tuple[int, int, int, int]:
    """What the system knows of a file without reading it: bytes, times of its last modification and
    change in ns since 1970, its number (inode). Each is cut to 64 bits: times before 1970 are negative.

    The time of change moves with contents, name and owner, and no program sets it to another.
    """
    size, modified, changed = status.st_size, status.st_mtime_ns, status.st_ctime_ns
    return size, modified & _BITS_64, changed & _BITS_64, status.st_ino & _BITS_64


@dataclass(frozen=True)
class Files:
    """The files that images are read from: `paths` below the folder `root`, or () for `root` itself.

    `stamps_N4` (uint64) has a `stamp_of` each, from before it was read; the first was taken at the time
    `listed_at` (ns since 1970) or later. No paths where whoever opened the source has read all of them.
    """

    root: Path
    paths: Sequence[tuple[str, ...]] = ()
    stamps_N4: np.ndarray = field(
        default_factory=lambda: np.zeros((0, 4), np.uint64), compare=False
    )
    listed_at: int = field(default_factory=time.time_ns)


class Listed(NamedTuple):
    """An image that is a whole file, not read yet; `split` is "" where its bytes decide."""

    split: str
    key: str
    label: int
    path: Path
    fault: Fault | None = None


@dataclass(frozen=True)
class Source:
    """Labelled images under one name.

    `images()` may be called again and again and gives the same images in the same order;
    `count` is how many it will give. `identity` changes when a file is added, removed or resized; what
    else may change are the contents of `files`. Where each image is one of those, `listed()` gives them
    unread in the same order, and of those that come without a split about `validation_share` are "val".
    `ignored` counts what is no image by its name (`.DS_Store`), `warnings` are sentences for
    people, and `truncated` names the place where an archive breaks off, if it does. `has_splits` is
    false where the images come without splits, and their content parts them. Where that is known without
    reading, `counts` has the number of images of each split, and `images_of` reads one of them alone; ""
    is for those that come without a split.
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
    validation_share: float = DEFAULT_VALIDATION_SHARE
    files: Files | None = None
    listed: Callable[[], Iterator[Listed]] | None = None
    has_splits: bool = True
    counts: Mapping[str, int] = field(default_factory=dict)
    images_of: Callable[[str], Iterator[LabelledImage]] | None = None


def read_file(path: Path) -> tuple[bytes, Fault | None]:
    """(bytes, None) or (b"", fault): a file may vanish or be locked between listing and reading."""
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        return b"", Fault("unreadable", error.strerror or "")
    return (data, None) if len(data) <= MAX_FILE_BYTES else (b"", Fault("too large", "it grew"))


def read_listed(listed: Iterable[Listed], validation_share: float) -> Iterator[LabelledImage]:
    """Images that are whole files, read; those without a split are divided by their bytes."""
    for one in listed:
        data, fault = read_file(one.path) if one.fault is None else (b"", one.fault)
        split = one.split or ("train" if fault else split_by_content(data, validation_share))
        yield LabelledImage(split, one.key, one.label, data, fault)


def split_by_content(data: bytes, share: float) -> str:
    """ "val" for about `share` of all images, chosen by their bytes: stable under renaming."""
    return split_by_digest(hashlib.sha256(data).digest(), share)


def split_by_digest(digest: bytes, share: float) -> str:
    """The same, by the SHA-256 of an image's bytes."""
    fraction = int.from_bytes(digest[:8], "big") / 2**64
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
