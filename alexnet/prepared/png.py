"""How a PNG file is built: which of its chunks decide pixels."""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple

from alexnet.prepared.kinds import Rejected

_HEADER, _END = b"IHDR", b"IEND"
_LAST = b"\0\0\0\0IEND\xaeB`\x82"
GREY, RGB, PALETTE = 0, 2, 3  # kinds of colours
_SAMPLES = {GREY: 1, RGB: 3}


class Parts(NamedTuple):
    """A PNG without all that decides no pixel.

    `clear` are the samples of `bits` bits of the one colour that is transparent, where grey or RGB has
    one: those are left out of `bare`, since Pillow compares some of them with scaled pixels. `exif` is
    what stands beside the pixels.
    """

    bare: bytes
    bits: int
    clear: tuple[int, ...]
    exif: bytes


def take_apart(png: bytes) -> Parts:
    """Leave out text, profiles, and whatever else decides no pixel, whole or broken.

    Raises Rejected where the file ends before its last chunk, or its transparent colour is damaged.
    """
    kept, clear, exif, at = [png[:8]], b"", b"", 8
    bits = colour = -1
    in_pixels = False
    while at + 12 <= len(png):
        length, name = struct.unpack_from(">I4s", png, at)
        end = at + 12 + length
        if end > len(png) or name == _END:
            break
        if name == b"IDAT":
            kept.append(png[at:end])
            in_pixels = True
        elif name == _HEADER and colour < 0 and length > 9:
            bits, colour = png[at + 16 : at + 18]
            kept.append(png[at:end])
        elif colour == PALETTE and name in (b"PLTE", b"tRNS") and not in_pixels:
            kept.append(png[at:end])
        elif colour in _SAMPLES and name == b"tRNS" and not (clear or in_pixels):
            clear = png[at:end]
        elif name == b"eXIf" and not exif:
            exif = png[at + 8 : end - 4]
        elif not name.isalpha():
            raise Rejected("damaged", f"no PNG chunk at byte {at:,}")
        at = end
    if colour < 0:
        raise Rejected("damaged", "no readable PNG header")
    if png[at + 4 : at + 8] != _END or at + 12 > len(png):
        raise Rejected("truncated", "the PNG ends before its last chunk")
    key = _samples(clear, _SAMPLES[colour], bits) if clear else ()
    return Parts(b"".join([*kept, _LAST]), bits, key, exif)


def _samples(chunk: bytes, count: int, bits: int) -> tuple[int, ...]:
    """The numbers in a tRNS chunk: of the 16 bits of each, those count that a sample has."""
    whole = len(chunk) >= 12 + 2 * count
    if not whole or zlib.crc32(chunk[4:-4]) != int.from_bytes(chunk[-4:], "big"):
        raise Rejected("damaged", "the chunk with the transparent colour (tRNS) is broken")
    return tuple(sample & (1 << bits) - 1 for sample in struct.unpack_from(f">{count}H", chunk, 8))
