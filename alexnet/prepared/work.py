"""What worker processes do: look at pictures, or turn a batch of them into a shard.

Legend: N pictures, H height, W width, C colours.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from alexnet.files import sha256_of
from alexnet.prepared import pixels, shards
from alexnet.prepared.pixels import Rejected

PICTURE_SECONDS = 10.0
_BLOCK = 8  # pictures at a time in float64


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was seen of one picture: its stored size and conversions, or why it was rejected."""

    width: int = 0
    height: int = 0
    kinds: tuple[str, ...] = ()
    reason: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Sums:
    """Exact integer sums over pictures: addition in any order gives the same bits."""

    pictures: int
    pixels_HWC: np.ndarray  # int64: the sum over pictures
    products_CC: (
        np.ndarray
    )  # int64: the sum over pictures and pixels of the products of two colours

    @classmethod
    def zero(cls) -> Sums:
        """Of no pictures."""
        return cls(0, np.zeros((pixels.SIZE, pixels.SIZE, 3), np.int64), np.zeros((3, 3), np.int64))

    def __add__(self, other: Sums) -> Sums:
        return Sums(
            self.pictures + other.pictures,
            self.pixels_HWC + other.pixels_HWC,
            self.products_CC + other.products_CC,
        )


@dataclass(frozen=True, slots=True)
class Built:
    """A written shard, and the outcome of each picture that was given. No file without pictures."""

    outcomes: list[Outcome]
    bytes: int
    sha256: str
    sums: Sums | None


def look(contents: list[bytes]) -> list[Outcome]:
    """Decode pictures and say what was seen."""
    return [_examine(data)[0] for data in contents]


def build_shard(
    path: Path,
    storage: str,
    contents: list[bytes],
    labels: list[int],
    keys: list[str],
    known: dict[int, Outcome],
    with_sums: bool,
) -> Built:
    """Prepare a batch and write it; positions in `known` are rejected already and not touched."""
    outcomes, images, kept = [], [], []
    sums = _Summing() if with_sums else None
    for n, data in enumerate(contents):
        outcome, rgb_HWC = (known[n], None) if n in known else _examine(data)
        outcomes.append(outcome)
        if rgb_HWC is not None:
            stored = shards.encode(pixels.to_256(rgb_HWC), storage)
            images.append(stored)
            kept.append(n)
            if sums:
                sums.add(shards.decode(stored, storage))
    size, digest = 0, ""
    if images:
        kept_labels, kept_keys = [labels[n] for n in kept], [keys[n] for n in kept]
        size, digest = shards.write(path, storage, images, kept_labels, kept_keys)
    return Built(outcomes, size, digest, sums.total() if sums else None)


def inspect_shard(path: Path, digest: str, with_sums: bool) -> tuple[bool, Sums | None]:
    """Whether a shard that was written before still has this SHA-256; if so its sums."""
    try:
        whole = sha256_of(path) == digest
    except OSError:
        return False, None
    if not whole or not with_sums:
        return whole, None
    shard, sums = shards.Shard.open(path), _Summing()
    for n in range(len(shard)):
        sums.add(shard.pixels(n))
    return True, sums.total()


def _examine(data: bytes) -> tuple[Outcome, np.ndarray | None]:
    signal.setitimer(signal.ITIMER_REAL, PICTURE_SECONDS)  # SIGALRM ends a process that hangs
    try:
        examined = pixels.examine(data)
        outcome = Outcome(examined.width, examined.height, examined.kinds)
        return outcome, examined.rgb_HWC
    except Rejected as error:
        return Outcome(reason=error.reason, detail=error.detail), None
    except MemoryError:
        return Outcome(reason="too large", detail="not enough memory to decode it"), None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


class _Summing:
    """Adds pictures up in small blocks, exactly: no product or sum comes near 2^53."""

    def __init__(self) -> None:
        self._block: list[np.ndarray] = []
        self._count = 0
        self._pixels_HWC, self._products_CC = Sums.zero().pixels_HWC, Sums.zero().products_CC

    def add(self, rgb_HWC: np.ndarray) -> None:
        self._block.append(rgb_HWC)
        if len(self._block) == _BLOCK:
            self._empty()

    def total(self) -> Sums:
        if self._block:
            self._empty()
        return Sums(self._count, self._pixels_HWC, self._products_CC)

    def _empty(self) -> None:
        block_NHWC = np.stack(self._block)
        self._pixels_HWC += block_NHWC.sum(axis=0, dtype=np.uint32)
        planes_CN = np.ascontiguousarray(block_NHWC.reshape(-1, 3).T).astype(np.float64)
        for i, j in np.ndindex(3, 3):
            self._products_CC[i, j] += int(planes_CN[i] @ planes_CN[j])
        self._count += len(self._block)
        self._block.clear()
