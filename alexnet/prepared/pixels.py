"""The one path from an image file's bytes to 256x256 pixels: training, evaluation, prediction.

Legend: H height, W width, C the three colours red, green, blue; all pixels uint8.

The written rule for colours: grey is repeated three times; palettes are looked up; 16-bit values
keep their high byte; CMYK and YCCK become (255 - ink)(255 - black) / 255, after undoing Adobe's
inversion where the file has Adobe's marker; transparency is laid over white; colour profiles are
not applied. Only the first frame counts. An image lies as it is stored: a rotation in EXIF is seen
and counted, but not carried out (TIFF and HEIC have one of their own, which is). What decides no
pixels (text, profiles, EXIF) may be broken.

A PNG's transparent colour (tRNS) is compared with the samples as they are stored, of 1 to 16 bits. A
transparent pixel is white; of any other, a sample s of b < 16 bits becomes s * 255 // (2^b - 1).
"""

from __future__ import annotations

import io
from dataclasses import replace
from typing import IO

import numpy as np
import simplejpeg
from PIL import Image, PngImagePlugin

from alexnet import paper
from alexnet.conventions import CONVENTIONS
from alexnet.prepared import jpeg, png
from alexnet.prepared.exif import is_turned
from alexnet.prepared.kinds import Rejected as Rejected
from alexnet.prepared.kinds import sniff as sniff
from alexnet.prepared.resample import central_square
from alexnet.prepared.with_pillow import (
    DECODE_SIDE,
    STRIP,
    Examined,
    check_size,
    decode_with_pillow,
    examine_image,
    reason_of,
    rejecting,
    webp_chunk,
)
from alexnet.prepared.with_pillow import MIN_SIDE as MIN_SIDE

SIZE = paper.SIDE
SIDES = sorted({one.side for one in CONVENTIONS.values()})  # that networks read, in pixels
FILTER = "bicubic, antialiased"
RULE = "shorter side to {0}, then the central {0}x{0}, in one resampling"
COLOUR_RULE = (
    "RGB; grey repeated; 16 bits to their high byte; CMYK by (255-ink)(255-black)/255; "
    "transparency over white; no colour profile; no EXIF; first frame"
)
TURNED = "EXIF rotation, not applied"  # what such images are counted as
ODD_SAMPLING = "unusual JPEG sampling"
MAX_ASPECT = 10.0


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
    if file := _unread_png(image):  # it has more to say than what Pillow makes of it
        at = file.tell()
        file.seek(0)
        data = file.read()
        file.seek(at)
        return examine(data).rgb_HWC
    with rejecting(image.format or "image"):
        return examine_image(image).rgb_HWC


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
    if kind == "JPEG":
        return _decode_jpeg(data)
    if kind == "PNG":
        return _decode_png(data)
    found = decode_with_pillow(data, kind)
    return _counted(found, kind == "WEBP" and is_turned(webp_chunk(data, b"EXIF")))


def _counted(found: Examined, turned: bool) -> Examined:
    return replace(found, kinds=(*found.kinds, TURNED)) if turned else found


def _decode_jpeg(data: bytes) -> Examined:
    header = jpeg.read_header(data)
    if header is None:
        raise Rejected("damaged", "no readable JPEG header")
    width, height = header.width, header.height
    check_size(width, height)
    if header.bits != 8:
        raise Rejected("unsupported", f"a JPEG of {header.bits} bits")
    if header.colours == 4:
        found = _decode_unusual_jpeg(data, header)
    else:
        kinds: tuple[str, ...] = ("grey",) if header.colours == 1 else ()
        try:
            found = Examined(_decompress(data), width, height, kinds)
        except ValueError:  # for what decides no pixels, perhaps
            found = _decode_faulty_jpeg(data, header, kinds)
    return _counted(found, is_turned(header.exif))


def _decompress(data: bytes, strict: bool = True) -> np.ndarray:
    rgb_HWC: np.ndarray = simplejpeg.decode_jpeg(
        data, min_height=DECODE_SIDE, min_width=DECODE_SIDE, min_factor=2, strict=strict
    )
    return rgb_HWC


def _decode_faulty_jpeg(data: bytes, header: jpeg.Header, kinds: tuple[str, ...]) -> Examined:
    """A JPEG that libjpeg-turbo warns of: what is in its pixels decides."""
    bare = jpeg.without_metadata(data)
    try:
        return Examined(_decompress(bare), header.width, header.height, kinds)
    except ValueError as error:
        if "subsampling" in str(error):  # it has names for the usual kinds only
            found = _decode_unusual_jpeg(data, header)
            return replace(found, kinds=(*found.kinds, ODD_SAMPLING))
        if reason_of(error) == "truncated" or jpeg.END_MARK not in bare:
            raise Rejected("truncated", str(error)) from None
    try:  # libjpeg only warned: accept what it makes of it, and count it
        rgb_HWC = _decompress(bare, strict=False)
    except ValueError as error:
        raise Rejected("damaged", str(error)) from None
    return Examined(rgb_HWC, header.width, header.height, (*kinds, "damaged JPEG"))


def _decode_unusual_jpeg(data: bytes, header: jpeg.Header) -> Examined:
    """Sampling factors or colours that only Pillow decodes, which does not say what is missing."""
    bare = jpeg.without_metadata(data)
    longer = jpeg.lengthened(bare)
    if longer is None:
        raise Rejected("truncated", "the JPEG ends before its end mark")
    found = decode_with_pillow(bare, "JPEG")
    # Arithmetic coding may leave out bits at an end; they are zero.
    if not header.is_arithmetic:
        again = decode_with_pillow(longer, "JPEG")
        if not np.array_equal(found.rgb_HWC, again.rgb_HWC):
            raise Rejected("truncated", "the JPEG has fewer pixels than its header says")
    return replace(found, width=header.width, height=header.height)


def _decode_png(data: bytes) -> Examined:
    parts = png.take_apart(data)
    found = decode_with_pillow(parts.bare, "PNG")
    if parts.clear:
        low_HWC = None
        if parts.bits == 16:
            low_HWC = _low_bytes(parts.bare)
        _whiten(found.rgb_HWC, low_HWC, parts)
        found = replace(found, kinds=("transparent",))
    return _counted(found, is_turned(parts.exif))


def _low_bytes(data: bytes) -> np.ndarray:
    """Of a PNG of 16 bits the bytes that are cut off: uint8, H x W x 1 or 3."""
    with rejecting("PNG"), Image.open(io.BytesIO(data), formats=["PNG"]) as image:
        if image.mode == "RGB":  # the second byte is the high one to a reader that takes it so
            image.tile = [image.tile[0]._replace(args="RGB;16L")]
            return np.asarray(image)
        return (np.asarray(image) & 255).astype(np.uint8)[:, :, None]


def _whiten(rgb_HWC: np.ndarray, low_HWC: np.ndarray | None, parts: png.Parts) -> None:
    """Make the pixels white whose samples, as they were stored, are all those of the clear colour."""
    bits = parts.bits
    high_C = [key >> 8 if bits == 16 else key * 255 // ((1 << bits) - 1) for key in parts.clear]
    rows = max(1, STRIP // rgb_HWC.shape[1])
    for top in range(0, len(rgb_HWC), rows):
        strip_HWC = rgb_HWC[top : top + rows]
        is_clear_HW = np.ones(strip_HWC.shape[:2], bool)
        for colour, (key, high) in enumerate(zip(parts.clear, high_C, strict=True)):
            is_clear_HW &= strip_HWC[:, :, colour] == high
            if low_HWC is not None:
                is_clear_HW &= low_HWC[top : top + rows, :, colour] == key & 255
        strip_HWC[is_clear_HW] = 255


def _unread_png(image: Image.Image) -> IO[bytes] | None:
    """The file of an opened PNG whose pixels are still to be read, at its first frame."""
    if isinstance(image, PngImagePlugin.PngImageFile) and image.tile and image.tell() == 0:
        return image.fp
    return None
