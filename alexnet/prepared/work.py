"""What worker processes do: look at images, or turn a batch of them into a shard.

Legend: N images, H height, W width, C colours.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from alexnet.base.files import sha256_of
from alexnet.prepared import pixels, shards
from alexnet.prepared.pixels import Rejected
from alexnet.prepared.shards import Form
from alexnet.prepared.sums import Summing, Sums

IMAGE_SECONDS = 5.0  # of CPU time, so that a suspended preparation goes on unharmed


@dataclass(frozen=True, slots=True)
class ImageOutcome:
    """What was seen of one image: its stored size and conversions, or why it was rejected."""

    width: int = 0
    height: int = 0
    kinds: tuple[str, ...] = ()
    reason: str = ""
    detail: str = ""


class Stored(NamedTuple):
    """An image that was prepared before: image `n` of a shard, and what was seen of it then."""

    path: Path
    n: int
    outcome: ImageOutcome


TOO_LARGE = ImageOutcome(reason="too large", detail="not enough memory to decode it")


@dataclass(frozen=True, slots=True)
class Built:
    """A written shard, and the outcome of each image that was given. No file without images."""

    outcomes: list[ImageOutcome]
    bytes: int
    sha256: str
    sums: Sums | None


def look(contents: list[bytes], time: float = 1.0) -> list[ImageOutcome]:
    """Decode images and say what was seen; `time` is the share of `IMAGE_SECONDS` that each has."""
    return [_examine(data, time)[0] for data in contents]


def build_shard(
    path: Path,
    form: Form,
    contents: list[bytes],
    labels: list[int],
    keys: list[str],
    known: dict[int, ImageOutcome],
    with_sums: bool,
    stored: Mapping[int, Stored] | None = None,
) -> Built:
    """Prepare a batch and write it; positions in `known` are rejected already and not touched.

    Those in `stored` are copied from where they lie; nothing is given of their contents.
    """
    outcomes: list[ImageOutcome] = []
    kept: list[int] = []
    jpegs: list[bytes] = []
    sums = Summing(form.side) if with_sums else None
    room_NHWC = _room(len(contents) if form.storage == "raw" else 1, form)
    for n, data in enumerate(contents):
        pixels_HWC = room_NHWC[len(kept) if form.storage == "raw" else 0]
        before = stored.get(n) if stored else None
        if before:
            outcomes.append(before.outcome)
            jpeg = _copy(before, form, pixels_HWC)
        else:
            outcome, rgb_HWC = (known[n], None) if n in known else _examine(data)
            outcomes.append(outcome)
            if rgb_HWC is None:
                continue
            pixels.to_square(rgb_HWC, pixels_HWC)
            jpeg = shards.encode_jpeg(pixels_HWC) if form.storage == "jpeg" else b""
        if jpeg:
            jpegs.append(jpeg)
            if sums:  # of what will be read
                shards.decode_jpeg(jpeg, pixels_HWC)
        if sums:
            sums.add(pixels_HWC)
        kept.append(n)
    size, digest = 0, ""
    if kept:
        images = room_NHWC[: len(kept)] if form.storage == "raw" else jpegs
        size, digest = shards.write(
            path, images, [labels[n] for n in kept], [keys[n] for n in kept]
        )
    return Built(outcomes, size, digest, sums.total() if sums else None)


_opened: list[shards.Shard] = []


def _copy(stored: Stored, form: Form, out_HWC: np.ndarray) -> bytes:
    """A stored image's pixels into `out_HWC`, or its JPEG returned; the last shard stays open."""
    if not _opened or _opened[0].path != stored.path:
        _opened[:] = [shards.Shard.open(stored.path, side=form.side)]
    if form.storage == "jpeg":
        return bytes(_opened[0].images[stored.n].as_buffer())
    out_HWC[:] = _opened[0].pixels(stored.n)
    return b""


_rooms: list[np.ndarray] = []


def _room(images: int, form: Form) -> np.ndarray:
    """Memory for so many images, the same from shard to shard: fresh memory costs time."""
    if not _rooms or len(_rooms[0]) < images or _rooms[0].shape[1:] != form.shape:
        _rooms[:] = [np.empty((images, *form.shape), np.uint8)]
    return _rooms[0]


def inspect_shard(path: Path, form: Form, digest: str, with_sums: bool) -> tuple[bool, Sums | None]:
    """Whether a shard that was written before still has this SHA-256; if so its sums."""
    try:
        whole = sha256_of(path) == digest
    except OSError:
        return False, None
    if not whole or not with_sums:
        return whole, None
    shard, sums = shards.Shard.open(path, side=form.side), Summing(form.side)
    for n in range(len(shard)):
        sums.add(shard.pixels(n))
    return True, sums.total()


def _examine(data: bytes, time: float = 1.0) -> tuple[ImageOutcome, np.ndarray | None]:
    _alarm(time * IMAGE_SECONDS)  # ends what hangs
    try:
        examined = pixels.examine(data)
        outcome = ImageOutcome(examined.width, examined.height, examined.kinds)
        return outcome, examined.rgb_HWC
    except Rejected as error:
        return ImageOutcome(reason=error.reason, detail=error.detail), None
    except MemoryError:
        return TOO_LARGE, None
    finally:
        _alarm(0)


def _alarm(seconds: float) -> None:
    """SIGPROF ends this process after so much CPU time, or never (0); Windows has no such thing."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_PROF, seconds)
