"""Reading tar files, plain or compressed, without believing them: ustar, GNU and POSIX (PAX) headers.

Archives one after another in one file (`cat a.tar b.tar`), compressed or not, are read as one.

Python's tarfile takes headers of any size into memory, reads them recursively and with regular
expressions, and takes a damaged header for the end. Here everything is bounded, in memory and in time:
headers, names, and what a compressed archive may unpack to.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from alexnet.base.errors import DataError

MAX_HEADER = 2**20  # bytes of an extended header; the largest in use hold resource forks of macOS
MAX_NAME = 4096  # bytes: no system has longer paths
MAX_DEPTH = 64  # folders one in another
MAX_SMALL = 2**28  # bytes that any archive may unpack to, however small it is
MAX_RATIO = 100  # unpacked to packed bytes; images, compressed already, come to about 1
MAX_XZ_MEMORY = 2**29  # bytes; xz -9 needs an eighth of it
FOLDER, HARD_LINK, SYMBOLIC_LINK, OTHER = "folders", "hard links", "links", "not regular files"
NAMELESS, TOO_LONG = "without a name", "names too long"
UNREADABLE = (EOFError, OSError, zlib.error, lzma.LZMAError)  # what bytes that do not unpack raise

_BLOCK = 512
_PIECE = 2**18  # bytes at a time, of those that are not wanted
_REGULAR, _FOLDER, _SPARSE = b"0\x007", b"5", b"S"
_LINKS = {b"1": HARD_LINK, b"2": SYMBOLIC_LINK}
_WITHOUT_CONTENT = b"123456"  # links, devices, folders and pipes, whatever size they claim
_LONG_NAME, _LONG_LINK, _PAX, _PAX_GLOBAL = b"L", b"K", b"xX", b"g"


@dataclass(frozen=True, slots=True)
class Member:
    """What an archive holds: its name in parts, and where its bytes are once unpacked.

    `ignored` is empty for a regular file, else what it is instead; `target` is what a link names.
    """

    parts: tuple[str, ...]
    offset: int
    size: int
    ignored: str = ""
    target: str = ""


class BreaksOff(Exception):
    """A tar file cannot be read on, because its member is cut (`inside`) or no header follows it."""

    def __init__(self, why: str, inside: bool = False) -> None:
        super().__init__(why)
        self.inside = inside


class Unpacked:
    """The bytes of an archive, unpacked if they are compressed: forwards only, and only so many."""

    def __init__(self, path: Path, file: BinaryIO, packed: int | None) -> None:
        self._path, self._file = path, file
        self._most = None if packed is None else MAX_SMALL + MAX_RATIO * packed
        self.position = 0

    def read(self, size: int) -> bytes:
        """The next `size` bytes, fewer only at the end.

        Raises one of UNREADABLE, and DataError where it unpacks to far more than images would.
        """
        data = self._file.read(size)
        self.position += len(data)
        if self._most is not None and self.position > self._most:
            raise DataError(
                f"The archive unpacks to more than {self._most:,} bytes, over {MAX_RATIO} times its"
                " size: images do not.",
                where=self._path,
                remedy="If that is right, unpack it and give the folder.",
            )
        return data

    def skip_to(self, position: int) -> bool:
        """Go on at `position`; whether everything before it was there."""
        if self._most is None and position - self.position > _PIECE:
            self._file.seek(position - 1)
            self.position = position - 1
        while self.position < position:
            if not self.read(min(_PIECE, position - self.position)):
                return False
        return True


@contextmanager
def unpacked(path: Path) -> Iterator[Unpacked]:
    """Open a tar file; how it is compressed, if it is, its first bytes say."""
    with open(path, "rb") as file:
        magic = file.read(6)
        file.seek(0)
        stream: BinaryIO = file
        if magic.startswith(b"\x1f\x8b"):
            stream = cast(BinaryIO, gzip.GzipFile(fileobj=file))
        elif magic.startswith(b"BZh"):
            stream = cast(BinaryIO, bz2.BZ2File(file))
        elif magic.startswith(b"\xfd7zXZ\0"):
            stream = cast(BinaryIO, io.BufferedReader(_Xz(file)))
        elif magic.startswith(b"\x28\xb5\x2f\xfd"):
            from pyarrow import CompressedInputStream  # Python has no Zstandard before 3.14

            stream = cast(BinaryIO, CompressedInputStream(file, "zstd"))
        yield Unpacked(path, stream, None if stream is file else path.stat().st_size)


def members(stream: Unpacked) -> Iterator[Member]:
    """Everything in the archive, in its order; raises BreaksOff where it is no tar file."""
    long_name, long_link, pax = b"", b"", dict[bytes, bytes]()
    while True:
        block = _header(stream)
        if block is None:
            if long_name or long_link or pax:
                raise BreaksOff("no member follows a header")
            return
        kind, size = block[156:157], _number(block[124:136])
        if kind in _LONG_NAME:
            long_name = _extended(stream, size).rstrip(b"\0")
        elif kind == _LONG_LINK:
            long_link = _extended(stream, size).rstrip(b"\0")
        elif kind in _PAX:
            pax = _records(_extended(stream, size))
        elif kind == _PAX_GLOBAL:  # what holds for all files: nothing that is used
            _skip(stream, size)
        else:
            name = pax.get(b"path") or long_name or _short_name(block)
            if b"size" in pax:
                size = _decimal(pax[b"size"])
            if kind == _SPARSE:
                _skip_sparse_map(stream, block)
            sparse = kind == _SPARSE or any(key.startswith(b"GNU.sparse.") for key in pax)
            folder = kind == _FOLDER or (kind == b"\0" and name.endswith(b"/"))
            link = pax.get(b"linkpath") or long_link or block[157:257].partition(b"\0")[0]
            yield _member(name, link, stream.position, size, _FOLDER if folder else kind, sparse)
            if kind not in _WITHOUT_CONTENT and not folder:
                _skip(stream, size)
            long_name, long_link, pax = b"", b"", {}


def _member(name: bytes, link: bytes, offset: int, size: int, kind: bytes, sparse: bool) -> Member:
    ignored, target = "", ""
    if len(name) > MAX_NAME or name.count(b"/") > MAX_DEPTH:
        ignored, name = TOO_LONG, name[:100]
    elif kind in _LINKS:
        ignored, target = _LINKS[kind], link[:MAX_NAME].decode("utf-8", "surrogateescape")
    elif kind == _FOLDER:
        ignored = FOLDER
    elif sparse or kind not in _REGULAR:
        ignored = OTHER
    parts = parts_of(name.decode("utf-8", "surrogateescape"))
    return Member(parts, offset, size, ignored or ("" if parts else NAMELESS), target)


def parts_of(name: str) -> tuple[str, ...]:
    """A name in an archive as its parts, without those that lead nowhere."""
    return tuple(part for part in name.split("/") if part not in ("", "."))


def _header(stream: Unpacked) -> bytes | None:
    """The next header, or None at the proper end: a block of zeros, and nothing but zeros after it.

    Another archive may follow the end of one.
    """
    block = stream.read(_BLOCK)
    if len(block) < _BLOCK:
        raise BreaksOff("no end mark")
    if not any(block):
        while not any(block):
            block = stream.read(_BLOCK)
            if len(block) < _BLOCK:
                if any(block):
                    raise BreaksOff("something that is no tar file after the end mark")
                return None
    others = block[:148] + b" " * 8 + block[156:]
    signed = sum(others) - 256 * sum(value > 127 for value in others)  # as some old systems did
    if _number(block[148:156]) not in (sum(others), signed):
        raise BreaksOff("a damaged header")
    return block


def _short_name(block: bytes) -> bytes:
    name, prefix = block[:100].partition(b"\0")[0], block[345:500].partition(b"\0")[0]
    return prefix + b"/" + name if prefix and block[257:263] == b"ustar\0" else name


def _number(field: bytes) -> int:
    """A number field: octal digits, or binary after a byte 0x80."""
    if field[0] == 0x80:
        number = int.from_bytes(field[1:], "big")
    else:
        text = field.partition(b"\0")[0].strip(b" ") or b"0"
        if text.strip(b"01234567"):
            raise BreaksOff("a number that is none")
        number = int(text, 8)
    return _possible(number)


def _decimal(text: bytes) -> int:
    if not text.isdigit() or len(text) > 20:
        raise BreaksOff("a number that is none")
    return _possible(int(text))


def _possible(number: int) -> int:
    if number >= 2**62:  # no file is as large, and places in files are signed
        raise BreaksOff("an impossible number")
    return number


def _extended(stream: Unpacked, size: int) -> bytes:
    if size > MAX_HEADER:
        raise BreaksOff(f"a header of {size:,} bytes")
    data = stream.read(-(-size // _BLOCK) * _BLOCK)  # whole blocks
    if len(data) < size:
        raise BreaksOff("a header that is cut")
    return data[:size]


def _records(data: bytes) -> dict[bytes, bytes]:
    """The records of a PAX header: each its length in bytes, a blank, KEY=VALUE and a new line."""
    found, at = dict[bytes, bytes](), 0
    while at < len(data):
        length, _, _ = data[at : at + 8].partition(b" ")
        end = at + (int(length) if length.isdigit() else 0)
        key, equals, value = data[at + len(length) + 1 : end].partition(b"=")
        if not equals or end > len(data) or not value.endswith(b"\n"):
            raise BreaksOff("a damaged header")
        found[key] = value[:-1]
        at = end
    return found


def _skip_sparse_map(stream: Unpacked, block: bytes) -> None:
    more = block[482]
    while more:
        block = stream.read(_BLOCK)
        if len(block) < _BLOCK:
            raise BreaksOff("a damaged header")
        more = block[504]


def _skip(stream: Unpacked, size: int) -> None:
    """Over the content of a member, and what fills its last block."""
    try:
        whole = stream.skip_to(stream.position + -(-size // _BLOCK) * _BLOCK)
    except UNREADABLE as error:
        raise BreaksOff(str(error), inside=True) from error
    if not whole:
        raise BreaksOff("the end of the file", inside=True)


class _Xz(io.RawIOBase):
    """An xz file unpacked, in bounded memory: the lzma module's own reader knows no such limit."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._stream = self._new()

    @staticmethod
    def _new() -> lzma.LZMADecompressor:
        return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MAX_XZ_MEMORY)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        packed = b""
        while True:
            if self._stream.eof:
                packed = self._stream.unused_data.lstrip(b"\0")
                packed = packed or self._file.read(_PIECE).lstrip(b"\0")
                if not packed:
                    return 0
                self._stream = self._new()
            elif self._stream.needs_input and not (packed := self._file.read(_PIECE)):
                raise EOFError("the compressed file is cut")
            data = self._stream.decompress(packed, len(buffer))
            packed = b""
            if data:
                buffer[: len(data)] = data
                return len(data)
