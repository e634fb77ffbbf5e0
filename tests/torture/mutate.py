"""Damage to image files, each kind of it from a number alone: the same number, the same bytes.

Files are damaged where it hurts: at the ends of their segments and chunks, in their lengths and names,
with checksums made right again so that a decoder looks further.
"""

from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

PNG = b"\x89PNG\r\n\x1a\n"


class Mutated(NamedTuple):
    """A damaged file, with a name that tells its number, format and damage."""

    name: str
    data: bytes


def mutated(number: int) -> Mutated:
    """Damaged file `number`."""
    chance = random.Random(f"image {number}")
    formats, ways = sorted(FORMATS), sorted(MUTATORS)
    kind = formats[number % len(formats)]
    way = ways[number // len(formats) % len(ways)]
    data = original(kind, chance.randrange(4))
    for _ in range(chance.choice((1, 1, 2, 4))):
        data = MUTATORS[way](data, chance)
    if data.startswith(PNG) and chance.random() < 0.7:
        data = _with_right_checksums(data)
    ending = chance.choice(("jpg", "png", "JPEG", "gif", "tif", "img", "eps"))  # which mean nothing
    return Mutated(f"{number:05d}-{kind}-{way}.{ending}", data)


# --- Files that are whole -------------------------------------------------------------------------


@cache
def original(kind: str, variant: int) -> bytes:
    """A small whole file of a format: four images, each of another size."""
    rng = np.random.default_rng([sorted(FORMATS).index(kind), variant])
    small = rng.integers(0, 256, (6, 6, 3), np.uint8)
    size = ((40, 40), (64, 48), (150, 101), (300, 225))[variant]
    image = Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)
    file = io.BytesIO()
    FORMATS[kind](image, file)
    return file.getvalue()


def _saver(kind: str, mode: str = "RGB", **options: Any) -> Callable[[Image.Image, Any], None]:
    def save(image: Image.Image, file: Any) -> None:
        if mode in ("LA", "RGBA"):
            image.putalpha(image.convert("L"))
        if mode == "I;16":
            grey = np.asarray(image.convert("L"), np.uint16) * 257
            Image.fromarray(grey).save(file, kind, **options)
        else:
            image.convert(mode).save(file, kind, **options)

    return save


def _frames(kind: str) -> Callable[[Image.Image, Any], None]:
    def save(image: Image.Image, file: Any) -> None:
        turned = [image.transpose(Image.Transpose.ROTATE_180), image.convert("L").convert("RGB")]
        image.save(file, kind, save_all=True, append_images=turned)

    return save


def _exif() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112], exif[0x010E], exif[0x8769] = 6, "a description", {0x9003: "2012:12:03"}
    return exif


FORMATS: dict[str, Callable[[Image.Image, Any], None]] = {
    "jpeg": _saver("JPEG", exif=_exif()),
    "jpeg_progressive": _saver("JPEG", progressive=True, subsampling=0),
    "jpeg_restarts": _saver("JPEG", restart_marker_blocks=3),
    "jpeg_cmyk": _saver("JPEG", "CMYK", exif=_exif(), comment=b"ink"),
    "jpeg_grey": _saver("JPEG", "L"),
    "png": _saver("PNG"),
    "png_rgba": _saver("PNG", "RGBA", exif=_exif()),
    "png_palette": _saver("PNG", "P", bits=4),
    "png_16": _saver("PNG", "I;16"),
    "gif": _saver("GIF", "P"),
    "gif_frames": _frames("GIF"),
    "bmp": _saver("BMP"),
    "bmp_palette": _saver("BMP", "P"),
    "tiff": _saver("TIFF"),
    "tiff_lzw": _saver("TIFF", "RGBA", compression="tiff_lzw"),
    "tiff_jpeg": _saver("TIFF", compression="jpeg"),
    "tiff_fax": _saver("TIFF", "1", compression="group4"),
    "tiff_frames": _frames("TIFF"),
    "webp": _saver("WEBP", quality=80, exif=_exif()),
    "webp_lossless": _saver("WEBP", "RGBA", lossless=True),
    "webp_frames": _frames("WEBP"),
    "ppm": _saver("PPM"),
    "pgm_16": _saver("PPM", "I;16"),
}


# --- Where a file can be taken apart --------------------------------------------------------------


class Part(NamedTuple):
    """A segment or chunk: bytes start ... end, and its length field as (place, struct format)."""

    start: int
    end: int
    length: tuple[int, str]


def parts(data: bytes, chance: random.Random) -> list[Part]:
    """JPEG segments, PNG and RIFF chunks, TIFF entries; anywhere else pieces by chance."""
    found: list[Part] = []
    if data.startswith(b"\xff\xd8"):
        at = 2
        while data[at : at + 1] == b"\xff" and at + 4 <= len(data):
            end = at + 2 + struct.unpack_from(">H", data, at + 2)[0]
            found.append(Part(at, end, (at + 2, ">H")))
            at = end
    elif data.startswith(PNG):
        at = 8
        while at + 12 <= len(data):
            end = at + 12 + struct.unpack_from(">I", data, at)[0]
            found.append(Part(at, end, (at, ">I")))
            at = end
    elif data.startswith(b"RIFF"):
        at = 12
        while at + 8 <= len(data):
            size = struct.unpack_from("<I", data, at + 4)[0]
            found.append(Part(at, at + 8 + size + size % 2, (at + 4, "<I")))
            at = found[-1].end
    elif data[:4] == b"II*\0" and len(data) > 8:
        at = struct.unpack_from("<I", data, 4)[0]
        while at + 14 <= len(data) and len(found) < 20:
            found.append(Part(at + 2, at + 14, (at + 2 + 4 * chance.randint(0, 2), "<I")))
            at += 12
    found = [part for part in found if part.end <= len(data)]
    if not found:
        cuts = sorted(chance.randrange(len(data) + 1) for _ in range(8))
        starts = [0, *cuts]
        for start, end in zip(starts, [*cuts, len(data)], strict=True):
            place = chance.randrange(min(len(data), 64)) if data else 0
            found.append(Part(start, end, (place, chance.choice(("<H", "<I", ">H", ">I")))))
    return found


def _with_right_checksums(png: bytes) -> bytes:
    result, at = bytearray(png), 8
    while at + 12 <= len(png):
        size = struct.unpack_from(">I", png, at)[0]
        if at + 12 + size > len(png):
            break
        struct.pack_into(">I", result, at + 8 + size, zlib.crc32(png[at + 4 : at + 8 + size]))
        at += 12 + size
    return bytes(result)


# --- Ways to damage it ----------------------------------------------------------------------------


def _flip_bits(data: bytes, chance: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.choice((1, 3, 20)) if data else 0):
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _flip_early(data: bytes, chance: random.Random) -> bytes:
    """In the headers, where it does most."""
    return _flip_bits(data[:200], chance) + data[200:]


def _truncate(data: bytes, chance: random.Random) -> bytes:
    return data[: chance.randrange(len(data) + 1)]


def _delete(data: bytes, chance: random.Random) -> bytes:
    part = chance.choice(parts(data, chance))
    return data[: part.start] + data[part.end :]


def _duplicate(data: bytes, chance: random.Random) -> bytes:
    part = chance.choice(parts(data, chance))
    times = chance.choice((1, 1, 40))
    return data[: part.end] + data[part.start : part.end] * times + data[part.end :]


def _swap(data: bytes, chance: random.Random) -> bytes:
    found = parts(data, chance)
    first, second = sorted((chance.choice(found), chance.choice(found)))
    if first.end > second.start:
        return data
    a, b = data[first.start : first.end], data[second.start : second.end]
    return data[: first.start] + b + data[first.end : second.start] + a + data[second.end :]


def _set_length(data: bytes, value: Callable[[int, int], int], chance: random.Random) -> bytes:
    place, form = chance.choice(parts(data, chance)).length
    size, changed = struct.calcsize(form), bytearray(data)
    if place + size > len(data):
        return data
    most = 256**size - 1
    struct.pack_into(form, changed, place, value(struct.unpack_from(form, data, place)[0], most))
    return bytes(changed)


def _length_to_most(data: bytes, chance: random.Random) -> bytes:
    less = chance.choice((0, 0, 1, 8))
    return _set_length(data, lambda _, most: most - less, chance)


def _length_to_half(data: bytes, chance: random.Random) -> bytes:
    """Where a signed number turns negative."""
    more = chance.choice((0, 1))
    return _set_length(data, lambda _, most: most // 2 + more, chance)


def _length_to_zero(data: bytes, chance: random.Random) -> bytes:
    return _set_length(data, lambda *_: 0, chance)


def _length_by_one(data: bytes, chance: random.Random) -> bytes:
    by = chance.choice((-1, 1, 2))
    return _set_length(data, lambda old, most: (old + by) % (most + 1), chance)


def _swap_markers(data: bytes, chance: random.Random) -> bytes:
    """A segment or chunk gets the name of another."""
    found = parts(data, chance)
    a, b = chance.choice(found).start, chance.choice(found).start
    size, skip = (2, 0) if data.startswith(b"\xff\xd8") else (4, 4 * data.startswith(PNG))
    changed = bytearray(data)
    if max(a, b) + skip + size <= len(data):
        changed[a + skip : a + skip + size] = data[b + skip : b + skip + size]
    return bytes(changed)


def _append(data: bytes, chance: random.Random) -> bytes:
    return data + chance.randbytes(chance.choice((1, 100, 5000)))


def _insert(data: bytes, chance: random.Random) -> bytes:
    place = chance.choice(parts(data, chance)).end
    return data[:place] + chance.randbytes(chance.choice((1, 4, 300))) + data[place:]


def _other_body(data: bytes, chance: random.Random) -> bytes:
    """The beginning of one file and the rest of another format."""
    other = original(chance.choice(sorted(FORMATS)), chance.randrange(4))
    head = chance.choice((2, 4, 12, 30, 100, 700))
    return data[:head] + other[chance.choice((0, head)) :]


def _other_image(data: bytes, chance: random.Random) -> bytes:
    """The headers of one image and the pixels of another of the same format."""
    kinds = [kind for kind in sorted(FORMATS) if original(kind, 0)[:3] == data[:3]]
    if not kinds:
        return data
    other = original(chance.choice(kinds), chance.randrange(4))
    cut = chance.randrange(min(len(data), len(other)))
    return data[:cut] + other[cut:]


def _zero_page(data: bytes, chance: random.Random) -> bytes:
    """As a disk gives back a block that was never written."""
    size = min(chance.choice((64, 512, 4096)), len(data))
    start = chance.randrange(len(data) - size + 1)
    return data[:start] + bytes(size) + data[start + size :]


def _noise(data: bytes, chance: random.Random) -> bytes:
    size = min(chance.choice((8, 64, 512)), len(data))
    start = chance.randrange(len(data) - size + 1)
    return data[:start] + chance.randbytes(size) + data[start + size :]


MUTATORS: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "bits": _flip_bits,
    "header_bits": _flip_early,
    "cut": _truncate,
    "delete": _delete,
    "duplicate": _duplicate,
    "swap": _swap,
    "length_most": _length_to_most,
    "length_half": _length_to_half,
    "length_zero": _length_to_zero,
    "length_by_one": _length_by_one,
    "marker": _swap_markers,
    "append": _append,
    "insert": _insert,
    "other_body": _other_body,
    "other_image": _other_image,
    "zero_page": _zero_page,
    "noise": _noise,
}
