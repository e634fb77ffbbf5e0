"""Images that ask for far more than they are: of memory, of time, of other programs."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable

import numpy as np
from PIL import Image
from torture.mutate import PNG


def chunk(name: bytes, content: bytes) -> bytes:
    """A chunk of a PNG file."""
    return struct.pack(">I", len(content)) + name + content + struct.pack(
        ">I", zlib.crc32(name + content)
    )  # fmt: skip


def png(width: int, height: int, *more: bytes, bits: int = 8, colour: int = 2) -> bytes:
    """A black PNG, whole where it has as many rows as it says; `more` chunks before the pixels."""
    row = 1 + width * bits // 8 * {0: 1, 2: 3, 6: 4}[colour]
    packer, packed = zlib.compressobj(1), []
    for _ in range(min(height, 8000)):
        packed.append(packer.compress(bytes(row)))
    content = b"".join([*packed, packer.flush()])
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    chunks = [chunk(b"IHDR", header), *more, chunk(b"IDAT", content), chunk(b"IEND", b"")]
    return PNG + b"".join(chunks)


def tiff(width: int, height: int, *more: tuple[int, int, int, int], compression: int = 1) -> bytes:
    """A TIFF of a few bytes that says it is so large, with `more` entries (tag, kind, count, value)."""
    entries = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, compression),
               (262, 3, 1, 1), (273, 4, 1, 8), (277, 3, 1, 1), (278, 4, 1, height),
               (279, 4, 1, 100), *more]  # fmt: skip
    body = bytes(2**20)
    table = b"".join(struct.pack("<HHII", *entry) for entry in sorted(entries))
    return (
        b"II*\0" + struct.pack("<I", 8 + len(body)) + body
        + struct.pack("<H", len(entries)) + table + bytes(4)
    )  # fmt: skip


def webp(width: int, height: int) -> bytes:
    """A WebP whose canvas is said to be so large."""
    file = io.BytesIO()
    Image.new("RGB", (40, 40)).save(file, "WEBP")
    sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    frames = file.getvalue()[12:]
    content = b"WEBPVP8X" + struct.pack("<II", 10, 0) + sides + frames
    return b"RIFF" + struct.pack("<I", len(content)) + content


def jpeg(width: int, height: int, scans: int = 0) -> bytes:
    """A JPEG that says it is so large; or one that is, with its last scan repeated."""
    file = io.BytesIO()
    side = (width, height) if scans else (64, 64)
    Image.new("RGB", side, (90, 50, 10)).save(file, "JPEG", progressive=bool(scans))
    data = file.getvalue()
    if scans:
        last = data.rindex(b"\xff\xda")
        return data[:-2] + data[last:-2] * scans + data[-2:]
    at = max(data.find(b"\xff\xc0"), data.find(b"\xff\xc2"))
    return data[: at + 5] + struct.pack(">HH", height, width) + data[at + 9 :]


def gif(screen: int, frame: int) -> bytes:
    """A GIF whose screen and first frame are squares of these sides."""
    return (
        b"GIF89a" + struct.pack("<HHBBB", screen, screen, 0x80, 0, 0) + bytes(6)
        + b"," + struct.pack("<HHHHB", 0, 0, frame, frame, 0) + b"\x02\x02\x44\x01\x00;"
    )  # fmt: skip


def bmp(width: int, height: int) -> bytes:
    """A BMP of a header and 100 bytes."""
    return (
        b"BM"
        + struct.pack(
            "<IHHIIiiHHIIiiII", 154, 0, 0, 54, 40, width, height, 1, 24, 0, 100, 0, 0, 0, 0
        )
        + bytes(100)
    )


def _saved(image: Image.Image, kind: str) -> bytes:
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


_TEXT = zlib.compress(bytes(2**27), 9)
_POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 50 50\n(canary) (w) file closefile\n"
USED, NOT, UNREAD, LARGE = "", "not an image", "unsupported", "too large"
DAMAGED = "damaged|truncated"

# What it is, how it is made, and the reasons it may be rejected with.
BOMBS: dict[str, tuple[Callable[[], bytes], str]] = {
    "png of 50,000 x 50,000": (lambda: png(50_000, 50_000), LARGE),
    "png of 2^31 x 2^31": (lambda: png(1, 1).replace(bytes(3) + b"\1" + bytes(3) + b"\1",
                                                     b"\x7f\xff\xff\xff" * 2, 1), LARGE + "|damaged"),
    "png of 16 bits, 64 million pixels": (lambda: png(8000, 8000, bits=16, colour=0), USED),
    "png of 48 bits, 64 million pixels": (lambda: png(8000, 8000, bits=16), USED),
    "png of 48 bits with a transparent colour, 64 million pixels": (
        lambda: png(8000, 8000, chunk(b"tRNS", bytes(6)), bits=16), USED),
    "png with transparency, 64 million pixels": (lambda: png(8000, 8000, colour=6), USED),
    "png with 128 MB of text": (
        lambda: png(40, 40, chunk(b"zTXt", b"a\0\0" + _TEXT)), USED),
    "png with 4 GB of text": (
        lambda: png(40, 40, *[chunk(b"zTXt", b"%d\0\0" % n + _TEXT) for n in range(32)]), USED),
    "png with 128 MB of translated text": (
        lambda: png(40, 40, chunk(b"iTXt", b"a\0\1\0\0\0" + _TEXT)), USED),
    "png with a colour profile of 128 MB": (
        lambda: png(40, 40, chunk(b"iCCP", b"a\0\0" + _TEXT)), USED),
    "png with 100,000 chunks": (
        lambda: png(40, 40, chunk(b"abCd", b"x") * 100_000), "|damaged"),
    "jpeg of 65,000 x 65,000": (lambda: jpeg(65_000, 65_000), LARGE),
    "jpeg of 64 million pixels in 70 bytes": (lambda: jpeg(8000, 8000), "|damaged|truncated"),
    "jpeg with 3,000 scans": (lambda: jpeg(400, 400, 3000), "|damaged|too slow"),
    "jpeg of 16 million pixels with 1,000 scans": (
        lambda: jpeg(4000, 4000, 1000), "|damaged|too slow"),
    "gif of 65,535 x 65,535": (lambda: gif(65_535, 65_535), LARGE),
    "gif with a frame larger than its screen": (lambda: gif(20, 65_535), LARGE),
    "gif of 64 million pixels in 40 bytes": (lambda: gif(8000, 8000), "|damaged|truncated"),
    "tiff of 100,000 x 100,000": (lambda: tiff(100_000, 100_000), LARGE),
    "tiff of 2^32 x 2^32": (lambda: tiff(2**32 - 1, 2**32 - 1), LARGE),
    "tiff of 64 million pixels in 1 MB, packed": (
        lambda: tiff(8000, 8000, compression=8), DAMAGED),
    "tiff with 4,000 entries of 1 MB each": (
        lambda: tiff(40, 40, *[(1000 + n, 7, 2**20, 8) for n in range(4000)]), "|damaged|too large"),
    "tiff with an entry of 4 GB": (
        lambda: tiff(40, 40, (700, 7, 2**32 - 1, 8)), "|damaged|truncated"),
    "webp of 16,000 x 16,000": (lambda: webp(16_000, 16_000), LARGE),
    "webp of 16 million x 16 million": (lambda: webp(2**24, 2**24), LARGE),
    "webp with a canvas of 64 million pixels": (lambda: webp(8000, 8000), "|damaged"),
    "bmp of 2 billion pixels": (lambda: bmp(45_000, 45_000), LARGE),
    "bmp upside down": (lambda: bmp(8000, -8000), DAMAGED),
    "bmp with a negative width": (lambda: bmp(-8000, 8000), "too small|too large|damaged"),
    "ppm of a million x a million": (lambda: b"P6 1000000 1000000 255\n" + bytes(99), LARGE),
    "ppm with numbers of a million digits": (
        lambda: b"P6 " + b"9" * 10**6 + b" 9 255\n" + bytes(99), "damaged"),
    "ppm with 10 MB of comment": (
        lambda: b"P6 #" + b"x" * 10**7 + b"\n40 40 255\n" + bytes(4800), "|damaged|too slow"),
    "PostScript": (lambda: _POSTSCRIPT, NOT),
    "Photoshop": (lambda: b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", 3, 40, 40, 8, 3)
                  + bytes(6000), UNREAD),
    "SVG": (lambda: b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/>",
            NOT),
    "XML with a billion laughs": (
        lambda: b"<?xml version='1.0'?><!DOCTYPE a [<!ENTITY b 'ha'>]><a>&b;</a>", NOT),
    "an icon": (lambda: _saved(Image.new("RGB", (64, 64)), "ICO"), UNREAD),
    "JPEG 2000": (lambda: b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(200), UNREAD),
    "a PDF": (lambda: b"%PDF-1.7\n" + bytes(200), NOT),
    "a NumPy array": (lambda: b"\x93NUMPY\1\0" + np.zeros(99).tobytes(), NOT),
}  # fmt: skip
