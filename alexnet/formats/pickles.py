"""Pickles, read without carrying out anything that is in them.

Python's unpickler imports and calls what a pickle names. `pickle_machine` and `pickle_operations` do
neither: of numbers, texts, lists, dictionaries and arrays they make what they are, and of all else a
name.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import mmap
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

from alexnet.base.errors import DataError
from alexnet.formats.pickle_machine import (
    LONG_TEXT,
    Array,
    BadPickle,
    Known,
    Machine,
    Unknown,
    as_text,
)
from alexnet.formats.pickle_operations import run

_MAX_UNPACKED = 2**30  # bytes of a compressed file; the largest checkpoints have half of that
_PICKLES = (b"(d", b"}q", b"(l", b"]q", b"(i", b"ccopy_reg")  # beginnings before protocol 2
_PROTOCOLS = tuple(bytes((0x80, number)) for number in range(2, 6))
_GZIP, _BZIP, _ZIP = b"\x1f\x8b", b"BZh", b"PK\x03\x04"


def is_pickle(path: Path) -> bool:
    """Whether a file begins as a pickle does, or as a compressed file."""
    with open(path, "rb") as file:
        head = file.read(10)
    packed = head.startswith((_GZIP, _BZIP, _ZIP))
    return packed or head.startswith(_PICKLES) or head[:2] in _PROTOCOLS


def read_pickle(path: Path) -> Any:
    """What a pickle holds, arrays as NumPy's; raises DataError that names the file and the byte.

    A file packed by gzip or bzip2, or as the only one in a zip file, is unpacked.
    """
    try:
        return unpickled(_content(path))
    except BadPickle as error:
        raise DataError(
            f"Not a pickle that can be read: {error}.",
            where=path,
            remedy="Nothing in it was carried out.",
        ) from None


def unpickled(content: bytes | memoryview) -> Any:
    """What a pickle holds, arrays as NumPy's; raises BadPickle that says what is wrong at which byte."""
    return unpickled_at(content)[0]


def unpickled_at(
    content: bytes | memoryview, at: int = 0, known: Known | None = None
) -> tuple[Any, int]:
    """What the pickle at a byte holds, as `unpickled`, and the byte behind it.

    `known` is what its names and references stand for.
    """
    machine = Machine(memoryview(content), at, known)
    try:
        return _finished(run(machine)), machine.at
    except BadPickle as error:
        what = str(error)
    except (struct.error, IndexError):
        what = "it breaks off"
    except (ValueError, TypeError, OverflowError, KeyError, RecursionError) as error:
        what = f"{type(error).__name__} {error}"[:200]
    raise BadPickle(f"{what}, at byte {machine.at:,}")


def _content(path: Path) -> memoryview:
    with open(path, "rb") as file:
        head = file.read(4)
        if not head.startswith((_GZIP, _BZIP, _ZIP)):
            if not head:
                return memoryview(b"")
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    try:
        if head.startswith(_ZIP):
            with zipfile.ZipFile(path) as archive:
                (member,) = archive.namelist()
                with archive.open(member) as packed:
                    return _bounded(packed, path)
        with (gzip if head.startswith(_GZIP) else bz2).open(path, "rb") as packed:
            return _bounded(packed, path)
    except (OSError, EOFError, ValueError, NotImplementedError, RuntimeError) as error:
        raise DataError(f"Cannot unpack: {error}.", where=path) from None
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError) as error:
        raise DataError(f"Cannot unpack: {error}.", where=path) from None


def _bounded(packed: Any, path: Path) -> memoryview:
    content = io.BytesIO()
    while piece := packed.read(2**20):
        content.write(piece)
        if content.tell() > _MAX_UNPACKED:
            raise DataError(f"It unpacks to more than {_MAX_UNPACKED:,} bytes.", where=path)
    return content.getbuffer()


def _finished(value: Any) -> Any:
    """A whole pickle: arrays in the place of what they were made from, texts where they are texts.

    Walks without recursion; what a pickle has in two places stays one thing.
    """
    root = [value]
    waiting: list[list[Any] | dict[Any, Any]] = [root]
    seen: dict[int, Any] = {id(root): root}  # keeps them, so that no two have one number
    texts: dict[int, tuple[memoryview, str]] = {}
    while waiting:
        place = waiting.pop()
        keys = list(place) if isinstance(place, dict) else range(len(place))
        for key in keys:
            one = place[key]
            if isinstance(one, Array):
                place[key] = one.array if one.array is not None else Unknown("numpy.ndarray")
            elif isinstance(one, memoryview) and len(one) <= LONG_TEXT:
                if id(one) not in texts:
                    texts[id(one)] = (one, as_text(one))
                place[key] = texts[id(one)][1]
            elif isinstance(one, tuple):
                made = seen.get(id(one))
                if made is None:
                    made = list(one)
                    seen[id(one)] = made
                    seen[id(made)] = one
                    waiting.append(made)
                place[key] = made
            elif isinstance(one, list | dict) and id(one) not in seen:
                seen[id(one)] = one
                waiting.append(one)
            elif isinstance(one, Unknown) and one.entries and id(one.entries) not in seen:
                seen[id(one.entries)] = one.entries
                waiting.append(one.entries)
    return root[0]
