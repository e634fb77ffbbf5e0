"""One file of prepared images: Apache Arrow IPC with the columns image, label and key.

Legend: N images, H height, W width, C colours.
"""

from __future__ import annotations

import hashlib
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import pyarrow as pa
import simplejpeg

from alexnet.base.errors import DataError
from alexnet.base.files import Writer, Written, write_atomically
from alexnet.prepared.pages import Advice, advise
from alexnet.prepared.pixels import SIDES, SIZE


class Form(NamedTuple):
    """How images are stored: "raw" pixels or "jpeg", and their side in pixels."""

    storage: str = "raw"
    side: int = SIZE

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of an image's pixels."""
        return self.side, self.side, 3

    @property
    def raw_bytes(self) -> int:
        """Of an image's pixels."""
        return math.prod(self.shape)


JPEG_QUALITY = 95
# What goes into a shard, whichever is reached first: so many images (100 and 40 MB of pixels), or
# files of so many bytes, since they are in memory together while the shard is made.
IMAGES = {"raw": 512, "jpeg": 1024}
SOURCE_BYTES = 64 * 2**20
_JPEG = Form("jpeg")


def encode_jpeg(rgb_HWC: np.ndarray) -> bytes:
    """Pixels as they are stored to save space: a JPEG of quality 95 with full colour."""
    return bytes(simplejpeg.encode_jpeg(rgb_HWC, quality=JPEG_QUALITY, colorsubsampling="444"))


def decode_jpeg(stored: bytes | np.ndarray, room_HWC: np.ndarray) -> np.ndarray:
    """A stored JPEG's pixels in `room_HWC`, whose size they have to have.

    Raises ValueError for a damaged one.
    """
    # Never without memory of our own: a damaged header may ask for 12 GB of it.
    rgb_HWC = cast(np.ndarray, simplejpeg.decode_jpeg(stored, buffer=room_HWC))
    if rgb_HWC.shape != room_HWC.shape:
        raise ValueError(f"it has {rgb_HWC.shape[1]}x{rgb_HWC.shape[0]} pixels")
    return rgb_HWC


def room_for_decoded(images: int, side: int = SIZE) -> np.ndarray:
    """Memory to decode JPEGs into that are read at once: uint8 N x side x side x 3.

    Where rows begin at a multiple of 32 bytes, libjpeg-turbo writes them past the caches, which
    costs 5 % of decoding and the reading afterwards. These begin 16 bytes beside one.
    """
    size = images * side * side * 3
    memory = np.empty(size + 32, np.uint8)
    first = (16 - memory.ctypes.data) % 32
    return memory[first : first + size].reshape(images, side, side, 3)


def schema(form: Form) -> pa.Schema:
    """The columns of a shard."""
    image = pa.binary(form.raw_bytes) if form.storage == "raw" else pa.binary()
    columns = [("image", image), ("label", pa.int64()), ("key", pa.string())]
    return pa.schema([pa.field(name, kind, nullable=False) for name, kind in columns])


def write(
    path: Path, images: np.ndarray | list[bytes], labels: list[int], keys: list[str]
) -> Written:
    """Write one shard, whole or not at all.

    `images` are the raw pixels, uint8 N x side x side x 3, or a list of JPEGs.
    """
    columns = schema(Form("raw", images.shape[1]) if isinstance(images, np.ndarray) else _JPEG)
    if isinstance(images, np.ndarray):
        buffers = [None, pa.py_buffer(images)]
        image_N = pa.Array.from_buffers(columns.field("image").type, len(images), buffers)
    else:
        image_N = pa.array(images, columns.field("image").type)
    arrays = [image_N, pa.array(labels, pa.int64()), pa.array(keys, pa.string())]
    batch = pa.record_batch(arrays, schema=columns)

    def save(file: Writer) -> None:
        with pa.ipc.new_file(file, columns) as writer:
            writer.write_batch(batch)

    return write_atomically(path, save)


class Index(NamedTuple):
    """A shard without its images: they are the bytes first ... end - 1, all others have this SHA-256.

    The others are labels, keys, and where each thing lies: what a reader follows blindly.
    """

    first: int
    end: int
    sha256: str


def index_of(path: Path) -> Index:
    """The index of a shard that was just written; raises DataError where it is none."""
    whole = _map(path)
    images, _, _ = _columns(whole, path, None)
    first = images.buffers()[-1].address - whole.address
    end = first + images.buffers()[-1].size
    return Index(first, end, _index_sha256(whole, first, end))


@dataclass(frozen=True)
class Shard:
    """An open shard: memory-mapped, read without copying, safe to read from many threads."""

    path: Path
    labels_N: np.ndarray
    keys: pa.StringArray
    images: pa.Array
    raw_NHWC: np.ndarray | None  # None where images are stored as JPEG
    side: int  # of the images, in pixels

    @classmethod
    def open(
        cls,
        path: Path,
        size: int | None = None,
        index: Index | None = None,
        side: int = SIZE,
    ) -> Shard:
        """Map a shard of images of so many pixels; raises DataError where it is missing, cut, or none.

        `size` is checked before mapping: reading past the end of a cut file would kill the process.
        Everything but the images is compared with `index` before any of it is followed.
        """
        whole = _map(path, size)
        if index and _index_sha256(whole, index.first, index.end) != index.sha256:
            raise DataError(
                "The labels or keys of a shard are damaged.",
                where=path,
                remedy="`alexnet data verify` finds all damage. Prepare the set again.",
            )
        images, labels, keys = _columns(whole, path, side)
        raw_NHWC = None
        if images.type != pa.binary():
            flat = np.frombuffer(images.buffers()[1], np.uint8, len(images) * side * side * 3)
            raw_NHWC = flat.reshape(-1, side, side, 3)
        return cls(path, labels.to_numpy(), keys, images, raw_NHWC, side)

    def __len__(self) -> int:
        return len(self.labels_N)

    def advise(self, first: int, end: int, advice: Advice) -> None:
        """Advise the system about the images first ... end - 1."""
        if self.raw_NHWC is not None:
            each = self.raw_NHWC[0].nbytes
            address, start, stop = self.raw_NHWC.ctypes.data, first * each, end * each
        else:
            _, offsets, data = self.images.buffers()
            offsets_N = np.frombuffer(offsets, np.int32)
            address, start, stop = data.address, int(offsets_N[first]), int(offsets_N[end])
        advise(address + start, stop - start, advice)

    def pixels(self, n: int, out_HWC: np.ndarray | None = None) -> np.ndarray:
        """Image `n`: uint8 (side, side, 3), a view of the file where it is stored raw.

        A JPEG is decoded into `out_HWC` if that is given.
        """
        if self.raw_NHWC is not None:
            return cast(np.ndarray, self.raw_NHWC[n])
        try:
            stored = np.frombuffer(self.images[n].as_buffer(), np.uint8)
            if out_HWC is None:
                out_HWC = np.empty((self.side, self.side, 3), np.uint8)
            return decode_jpeg(stored, out_HWC)
        except ValueError as error:
            raise DataError(f"Image {n} of a shard is damaged: {error}.", where=self.path) from None


def _map(path: Path, size: int | None = None) -> pa.Buffer:
    try:
        found = os.path.getsize(path)
        if size is not None and found != size:
            raise DataError(
                f"A shard has {found:,} bytes instead of {size:,}.",
                where=path,
                remedy="It was cut or changed. Prepare the set again.",
            )
        return pa.memory_map(str(path)).read_buffer()
    except FileNotFoundError:
        raise DataError("A shard is missing.", where=path) from None
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"Not a readable shard: {error}.", where=path) from None


def _index_sha256(whole: pa.Buffer, first: int, end: int) -> str:
    digest, view = hashlib.sha256(), memoryview(whole)
    digest.update(view[:first])
    digest.update(view[end:])
    return digest.hexdigest()


def _columns(whole: pa.Buffer, path: Path, side: int | None) -> list[Any]:
    """The columns image, label and key: of the right types, and nothing in them points elsewhere."""
    try:
        reader = pa.ipc.open_file(whole)
        batches = [reader.get_batch(n) for n in range(reader.num_record_batches)]
        for batch in batches:
            batch.validate(full=True)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataError(f"Not a readable shard: {error}.", where=path) from None
    sides = SIDES if side is None else [side]
    kinds = [schema(Form(storage, one)) for storage in IMAGES for one in sides]
    if len(batches) != 1 or batches[0].schema not in kinds:
        raise DataError("Not a shard of prepared images.", where=path)
    if any(column.null_count for column in batches[0].columns):
        raise DataError("Not a shard of prepared images: some are null.", where=path)
    return list(batches[0].columns)
