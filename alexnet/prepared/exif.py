"""The one thing that is read of EXIF: whether a camera says that the image is to be turned.

Nothing is followed or decoded, so a corrupt directory can do no more than not to say it.
"""

from __future__ import annotations

import struct

_ORIENTATION = 274
_SHORT = 3  # the kind of value


def is_turned(exif: bytes) -> bool:
    """Whether the bytes of an EXIF directory ask for a rotation or a reflection (values 2 to 8)."""
    tiff = exif[6:] if exif.startswith(b"Exif\0") else exif
    return tags(tiff).get(_ORIENTATION, 1) in range(2, 9)


def tags(tiff: bytes) -> dict[int, int]:
    """The first directory of a TIFF structure, as far as it is there: tag -> number or position."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None or len(tiff) < 8:
        return {}
    (at,) = struct.unpack_from(order + "I", tiff, 4)
    entries = int.from_bytes(tiff[at : at + 2], "little" if order == "<" else "big")
    table = tiff[at + 2 : at + 2 + 12 * entries]
    whole = table[: len(table) - len(table) % 12]
    return {
        tag: struct.unpack_from(order + ("H" if kind == _SHORT else "I"), value)[0]
        for tag, kind, _, value in struct.iter_unpack(order + "HHI4s", whole)
    }
