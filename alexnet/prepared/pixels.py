"""The one path from an image file's bytes to 256x256 pixels: training, evaluation, prediction.

Legend: H height, W width, C the three colours red, green, blue; all pixels uint8.

The written rule for colours: grey is repeated three times; palettes are looked up; 16-bit values
keep their high byte; CMYK and YCCK become (255 - ink)(255 - black) / 255, after undoing Adobe's
inversion where the file has Adobe's marker; transparency is laid over white; colour profiles are
not applied. Only the first frame counts. EXIF is not read, so an image lies as it is stored.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import simplejpeg
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
from alexnet.base.errors import DataError
from alexnet.conventions import CONVENTIONS
from alexnet.prepared.resample import central_square

SIZE = paper.SIDE
SIDES = sorted({one.side for one in CONVENTIONS.values()})  # that networks read, in pixels
FILTER = "bicubic, antialiased"
RULE = "shorter side to {0}, then the central {0}x{0}, in one resampling"
COLOUR_RULE = (
    "RGB; grey repeated; 16 bits to their high byte; CMYK by (255-ink)(255-black)/255; "
    "transparency over white; no colour profile; no EXIF; first frame"
)
MAX_PIXELS = 64 * 10**6
MIN_SIDE = 16
MAX_ASPECT = 10.0
DECODE_SIDE = 2 * SIZE  # a large JPEG is decoded at the smallest scale that keeps this shorter side
_STRIP = 2**22  # pixels converted at a time, so that a large image is not in memory three times

_MAGIC = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"GIF8": "GIF",
    b"BM": "BMP",
    b"II*\x00": "TIFF",
    b"MM\x00*": "TIFF",
    b"P5": "PPM",
    b"P6": "PPM",
}


class Rejected(DataError):
    """An image that cannot be used: `reason` is a stable word or two, `detail` a sentence."""

    def __init__(self, reason: str, detail: str = "") -> None:
        what = f"The image cannot be used: {reason}"
        super().__init__(f"{what} ({detail})." if detail else f"{what}.")
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True)
class Examined:
    """A decoded image: its pixels, the size it is stored in, and what had to be converted."""

    rgb_HWC: np.ndarray
    width: int
    height: int
    kinds: tuple[str, ...]


def prepare_image(data: bytes, side: int = SIZE) -> np.ndarray:
    """An image file's bytes as a square of pixels: uint8 (side, side, 3); raises Rejected."""
    return to_square(decode(data), side=side)


def decode(data: bytes) -> np.ndarray:
    """An image file's bytes as pixels: uint8 (H, W, 3); raises Rejected.

    A JPEG far larger than 256 is decoded at a half, a quarter or an eighth of its size, as long as
    the shorter side stays at least 512.
    """
    return examine(data).rgb_HWC


def decode_image(image: Image.Image) -> np.ndarray:
    """The pixels of an opened Pillow image, by the same rule: uint8 (H, W, 3); raises Rejected."""
    with _rejecting(image.format or "image"):
        return _examine_image(image).rgb_HWC


def to_square(
    rgb_HWC: np.ndarray, out_HWC: np.ndarray | None = None, side: int = SIZE
) -> np.ndarray:
    """Shorter side to `side`, then the central square (paper, section 2): uint8 (side, side, 3).

    Both steps are one resampling of the central square, so the longer side is never rounded. The
    result is written into `out_HWC` if that is given, whose side then is the one that counts.
    """
    if out_HWC is None:
        out_HWC = np.empty((side, side, 3), np.uint8)
    if rgb_HWC.shape == out_HWC.shape:
        out_HWC[:] = rgb_HWC
    else:
        central_square(rgb_HWC, out_HWC)
    return out_HWC


def is_extreme(width: int, height: int) -> bool:
    """Whether the longer side is more than ten times the shorter: accepted, but worth a look."""
    return max(width, height) > MAX_ASPECT * min(width, height)


def examine(data: bytes) -> Examined:
    """Decode by the first bytes, never by the name; raises Rejected."""
    kind = sniff(data)
    return _decode_jpeg(data) if kind == "JPEG" else _decode_with_pillow(data, kind)


def sniff(data: bytes) -> str:
    """The format that the first bytes tell: one of an allow-list; raises Rejected."""
    if not data:
        raise Rejected("empty", "the file has no bytes")
    for magic, kind in _MAGIC.items():
        if data.startswith(magic):
            return kind
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if data.lstrip()[:1] == b"<":
        raise Rejected("not an image", "it begins like a page of HTML or XML")
    raise Rejected("not an image", f"it begins with {data[:8]!r}")


def _decode_jpeg(data: bytes) -> Examined:
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data, strict=False)
    except (ValueError, KeyError):  # KeyError: a kind of colours it has no name for
        raise Rejected("damaged", "no readable JPEG header") from None
    _check_size(width, height)
    if colours in ("CMYK", "YCCK"):
        return _decode_with_pillow(_without_metadata(data), "JPEG")
    kinds: tuple[str, ...] = ("grey",) if colours == "Gray" else ()
    scaled = {"min_height": DECODE_SIDE, "min_width": DECODE_SIDE, "min_factor": 2}
    try:
        rgb_HWC = simplejpeg.decode_jpeg(data, **scaled)
    except ValueError as error:
        if _reason(error) == "truncated":
            raise Rejected("truncated", str(error)) from None
        try:  # libjpeg only warned: accept what it makes of it, and count it
            rgb_HWC = simplejpeg.decode_jpeg(data, strict=False, **scaled)
        except ValueError:
            raise Rejected("damaged", str(error)) from None
        kinds += ("damaged JPEG",)
    return Examined(rgb_HWC, width, height, kinds)


def _decode_with_pillow(data: bytes, kind: str) -> Examined:
    if kind == "WEBP":  # Pillow makes room for the whole canvas before it tells the size
        _check_size(*_webp_size(data))
    with _rejecting(kind), Image.open(io.BytesIO(data), formats=[kind]) as image:
        return _examine_image(image)


def _examine_image(image: Image.Image) -> Examined:
    _check_size(*image.size)
    image.load()
    width, height = image.size
    rgb_HWC = np.empty((height, width, 3), np.uint8)
    kinds: tuple[str, ...] = ()
    rows = max(1, _STRIP // width)
    for top in range(0, height, rows):
        box = (0, top, width, min(top + rows, height))
        kinds, rgb = _to_rgb(image.crop(box) if rows < height else image, image.format)
        rgb_HWC[top : top + rows] = np.asarray(rgb)
    return Examined(rgb_HWC, width, height, kinds)


def _without_metadata(jpeg: bytes) -> bytes:
    """A JPEG without its EXIF, XMP and further images (APP1, APP2), which Pillow would parse."""
    kept, at = [jpeg[:2]], 2
    while jpeg[at : at + 1] == b"\xff":
        marker, length = jpeg[at + 1 : at + 2], int.from_bytes(jpeg[at + 2 : at + 4], "big")
        if marker == b"\xff":  # padding
            at += 1
        elif marker == b"\xda" or length < 2:  # pixels, or nothing that can be walked through
            break
        else:
            if marker not in (b"\xe1", b"\xe2"):
                kept.append(jpeg[at : at + 2 + length])
            at += 2 + length
    return b"".join([*kept, jpeg[at:]])


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


@contextmanager
def _rejecting(kind: str) -> Iterator[None]:
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
        raise Rejected(_reason(error), f"{type(error).__name__}: {error}") from None


def _to_rgb(image: Image.Image, stored_as: str | None) -> tuple[tuple[str, ...], Image.Image]:
    """What was converted, and the image in mode RGB, by the rule at the top of this file."""
    mode = image.mode
    if mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        over = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return ("transparent",), Image.alpha_composite(white, over).convert("RGB")
    if mode.startswith("I"):
        high = np.asarray(image) >> 8
        if high.min() < 0 or high.max() > 255:
            raise Rejected("unsupported", "values do not fit into 16 bits")
        return ("16-bit",), Image.fromarray(high.astype(np.uint8)).convert("RGB")
    if mode == "CMYK" and stored_as == "JPEG" and "adobe" not in image.info:
        image = ImageChops.invert(image)  # Pillow takes every file for one of Adobe's
    kinds = {"1": "1-bit", "L": "grey", "P": "palette", "CMYK": "CMYK", "YCbCr": "YCbCr", "RGB": ""}
    if mode not in kinds:
        raise Rejected("unsupported", f"pixels of mode {mode}")
    return ((kinds[mode],) if kinds[mode] else ()), image.convert("RGB")


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise Rejected("too large", f"{width}x{height} pixels; the limit is {MAX_PIXELS:,}")
    if min(width, height) < MIN_SIDE:
        raise Rejected("too small", f"{width}x{height} pixels; the shorter side needs {MIN_SIDE}")


def _reason(error: Exception) -> str:
    text = str(error).lower()
    cut = any(
        word in text
        for word in ("premature end of jpeg", "truncated", "end of data", "end of file")
    )
    return "truncated" if cut else "damaged"
