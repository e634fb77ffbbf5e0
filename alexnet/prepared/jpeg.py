"""How a JPEG file is built: which of its segments decide pixels, and where its scans end."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import NamedTuple

END_MARK = b"\xff\xd9"  # coded pixels never look like it

# What a decoder takes for the next marker: anything else in front of it, and filling, it skips.
_MARKER = re.compile(rb"\xff+([^\x00\xff])")
_RESTARTS, _NO_LENGTH = range(0xD0, 0xD8), {0x01, *range(0xD0, 0xD9)}
_NO_SEGMENT = _NO_LENGTH | {0x00, 0xD9, 0xFF}
_END, _SCAN, _COMMENT, _JFIF, _EXIF, _ADOBE = 0xD9, 0xDA, 0xFE, 0xE0, 0xE1, 0xEE
_APPLICATION = range(0xE0, 0xF0)
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_ARITHMETIC = range(0xC9, 0xD0)  # of the frames, those coded so
_FURTHER = bytes(n * 73 % 255 for n in range(1, 65))  # bits of no meaning, without a marker


class Header(NamedTuple):
    """What a JPEG says of itself before its pixels; `exif` is empty where it has none."""

    width: int
    height: int
    bits: int
    colours: int
    is_arithmetic: bool
    exif: bytes


def read_header(jpeg: bytes) -> Header | None:
    """What stands before the pixels, or None where that is damaged."""
    frame, exif = (0, 0), b""
    for marker, _, at, end in _segments(jpeg):
        if marker in _FRAMES and not frame[0] and end - at >= 6:
            frame = at, marker
        elif marker == _EXIF and not exif and jpeg.startswith(b"Exif\0", at):
            exif = jpeg[at:end]
        elif marker == _SCAN and frame[0]:
            bits, height, width, colours = struct.unpack_from(">BHHB", jpeg, frame[0])
            return Header(width, height, bits, colours, frame[1] in _ARITHMETIC, exif)
    return None


def without_metadata(jpeg: bytes) -> bytes:
    """The file without comments and all that applications add, but for what decides colours.

    Those are the marks of JFIF and Adobe. Profiles, EXIF and further images go, whole or broken.
    """
    kept, at = [jpeg[:2]], 2
    for marker, start, content, end in _segments(jpeg):
        if marker == _SCAN:
            at = start
            break
        is_mark = (
            marker == _JFIF and jpeg.startswith(b"JFIF\0", content) and end - content >= 14
        ) or (marker == _ADOBE and jpeg.startswith(b"Adobe", content) and end - content >= 12)
        if is_mark or (marker != _COMMENT and marker not in _APPLICATION):
            kept.append(jpeg[start:end])
        at = end
    return b"".join([*kept, jpeg[at:]])


def lengthened(jpeg: bytes) -> bytes | None:
    """The file with further bits after every stretch of coded pixels; None if it has no end mark.

    A decoder never comes to them, unless some of the image's own bits are missing: then the image is
    another one. libjpeg would warn of it, but Pillow passes warnings over.
    """
    parts, at, in_scan, restarts = [], 0, False, 0
    while match := _MARKER.search(jpeg, max(at, 2)):
        marker, start, end = match[1][0], match.start(), match.end()
        parts += [jpeg[at:start], _FURTHER if in_scan else b""]
        if marker in _RESTARTS:
            restarts += 1
        else:
            if in_scan:  # and a further stretch, where the next is missing as a whole
                parts += [bytes([0xFF, _RESTARTS[restarts % 8]]), _FURTHER]
            in_scan, restarts = marker == _SCAN, 0
        if marker == _END:
            return b"".join([*parts, jpeg[start:end]])
        if marker not in _NO_LENGTH:
            end += max(int.from_bytes(jpeg[end : end + 2], "big"), 2)
        parts.append(jpeg[start:end])
        at = end
    return None


def _segments(jpeg: bytes) -> Iterator[tuple[int, int, int, int]]:
    """The segments up to the head of the first scan, as far as one leads to the next: the marker, where
    it stands, and where its content begins and ends."""
    at, marker = 2, 0
    while marker != _SCAN and at + 4 <= len(jpeg):
        filling, marker, length = struct.unpack_from(">BBH", jpeg, at)
        if filling != 0xFF or marker in _NO_SEGMENT:  # rare, and slower
            match = _MARKER.search(jpeg, at)
            if match is None or match[1][0] == _END:
                return
            marker, at = match[1][0], match.end() - 2
            length = int.from_bytes(jpeg[at + 2 : at + 4], "big")
            if marker in _NO_LENGTH:
                at += 2
                continue
        if length < 2:
            return
        yield marker, at, at + 4, at + 2 + length
        at += 2 + length
