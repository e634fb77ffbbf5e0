"""Images that Pillow decodes, by the written rule of pixels.py; whatever it raises becomes Rejected.

Legend: H height, W width, C the three colours red, green, blue; all pixels uint8.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from PIL import (  # each reader by its name: to look for one, Pillow would import them all
    BmpImagePlugin,  # noqa: F401
    GifImagePlugin,  # noqa: F401
    Image,
    ImageChops,
    JpegImagePlugin,  # noqa: F401
    PngImagePlugin,  # noqa: F401
    PpmImagePlugin,  # noqa: F401
    TiffImagePlugin,  # noqa: F401
    UnidentifiedImageError,
    WebPImagePlugin,  # noqa: F401
)

from alexnet import paper
from alexnet.prepared.kinds import Rejected

MAX_PIXELS = 64 * 10**6
MIN_SIDE = 16
DECODE_SIDE = 2 * paper.SIDE  # a large JPEG is decoded at the smallest scale that keeps it
STRIP = 2**22  # pixels converted at a time, so that a large image is not in memory three times


@dataclass(frozen=True)
class Examined:
    """A decoded image: its pixels, the size it is stored in, and what had to be converted."""

    rgb_HWC: np.ndarray
    width: int
    height: int
    kinds: tuple[str, ...]


def decode_with_pillow(data: bytes, kind: str) -> Examined:
    """An image of a format that Pillow knows under this name; raises Rejected."""
    if kind == "WEBP":  # Pillow makes room for the whole canvas before it tells the size
        check_size(*_webp_size(data))
    if kind == "HEIF":
        from pillow_heif import register_heif_opener

        register_heif_opener()
    with rejecting(kind), Image.open(io.BytesIO(data), formats=[kind]) as image:
        if kind == "JPEG":
            image.draft(None, _decoded_size(*image.size))
        return examine_image(image)


def _decoded_size(width: int, height: int) -> tuple[int, int]:
    """What a JPEG is decoded at: a half, a quarter or an eighth, if the shorter side stays 512."""
    part = next((n for n in (8, 4, 2) if -(-min(width, height) // n) >= DECODE_SIDE), 1)
    return width // part, height // part


def examine_image(image: Image.Image) -> Examined:
    """The pixels of an opened image; raises Rejected."""
    check_size(*image.size)
    image.load()
    width, height = image.size
    rgb_HWC = np.empty((height, width, 3), np.uint8)
    kinds: tuple[str, ...] = ()
    rows = max(1, STRIP // width)
    for top in range(0, height, rows):
        box = (0, top, width, min(top + rows, height))
        kinds, rgb = _to_rgb(image.crop(box) if rows < height else image, image.format)
        rgb_HWC[top : top + rows] = np.asarray(rgb)
    return Examined(rgb_HWC, width, height, kinds)


def _webp_size(data: bytes) -> tuple[int, int]:
    """Width and height from the first chunk of a WebP file; raises Rejected where there is none."""
    chunk, numbers = data[12:16], data[20:30]
    if len(numbers) == 10:
        if chunk == b"VP8X":
            sides = numbers[4:7], numbers[7:10]
            return int.from_bytes(sides[0], "little") + 1, int.from_bytes(sides[1], "little") + 1
        if chunk == b"VP8 ":
            both = int.from_bytes(numbers[6:10], "little")
            return both & 0x3FFF, both >> 16 & 0x3FFF
        if chunk == b"VP8L":
            both = int.from_bytes(numbers[1:5], "little")
            return (both & 0x3FFF) + 1, (both >> 14 & 0x3FFF) + 1
    raise Rejected("damaged", "no readable WEBP header")


def webp_chunk(data: bytes, name: bytes) -> bytes:
    """The first chunk of this name in a WebP file, or nothing."""
    at = 12
    while at + 8 <= len(data):
        end = at + 8 + int.from_bytes(data[at + 4 : at + 8], "little")
        if data[at : at + 4] == name:
            return data[at + 8 : end]
        at = end + end % 2
    return b""


@contextmanager
def rejecting(kind: str) -> Iterator[None]:
    """Whatever Pillow raises on bad bytes becomes Rejected; its warnings are dropped."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (Rejected, MemoryError):
        raise
    except Image.DecompressionBombError as error:
        raise Rejected("too large", str(error)) from None
    except UnidentifiedImageError:
        raise Rejected("damaged", f"no readable {kind} header") from None
    except Exception as error:  # a decoder of hostile bytes may raise anything
        said = " ".join(str(error).split())
        raise Rejected(reason_of(error), f"{type(error).__name__}: {said}") from None


def _to_rgb(image: Image.Image, stored_as: str | None) -> tuple[tuple[str, ...], Image.Image]:
    """What was converted, and the image in mode RGB, by the rule at the top of pixels.py."""
    mode, clear = image.mode, image.info.get("transparency")
    if mode.startswith("I"):
        values = np.asarray(image)
        high = values >> 8
        if high.min() < 0 or high.max() > 255:
            raise Rejected("unsupported", "values do not fit into 16 bits")
        if isinstance(clear, int):
            high[values == clear] = 255
        kind = "16-bit" if clear is None else "transparent"
        return (kind,), Image.fromarray(high.astype(np.uint8)).convert("RGB")
    if isinstance(clear, tuple) and max(clear) > 255:
        raise Rejected("unsupported", "16 bits, opened and cut to 8; give the file's name or bytes")
    if mode in ("LA", "La", "PA", "RGBA", "RGBa") or clear is not None:
        over = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return ("transparent",), Image.alpha_composite(white, over).convert("RGB")
    if mode == "CMYK" and stored_as == "JPEG" and "adobe" not in image.info:
        image = ImageChops.invert(image)  # Pillow takes every file for one of Adobe's
    kinds = {"1": "1-bit", "L": "grey", "P": "palette", "CMYK": "CMYK", "YCbCr": "YCbCr", "RGB": ""}
    if mode not in kinds:
        raise Rejected("unsupported", f"pixels of mode {mode}")
    return ((kinds[mode],) if kinds[mode] else ()), image.convert("RGB")


def check_size(width: int, height: int) -> None:
    """Raise Rejected for an image with too many pixels, or a side that is too short."""
    if width * height > MAX_PIXELS:
        raise Rejected("too large", f"{width}x{height} pixels; the limit is {MAX_PIXELS:,}")
    if min(width, height) < MIN_SIDE:
        raise Rejected("too small", f"{width}x{height} pixels; the shorter side needs {MIN_SIDE}")


def reason_of(error: Exception) -> str:
    """ "truncated" where a decoder says that bytes are missing, else "damaged"."""
    text = str(error).lower()
    cut = any(
        word in text
        for word in ("premature end of jpeg", "truncated", "end of data", "end of file")
    )
    return "truncated" if cut else "damaged"
