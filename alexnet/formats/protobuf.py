"""The wire format of protocol buffers: as much of it as weights and mean images of Caffe are made of.

A message is a row of fields, each a number, a kind and a value; what the numbers mean is the caller's.
Reading makes no copy and trusts no length: a message is a view of the file, a field inside it a smaller
view, and only what is asked for is looked into. Written from the description of the encoding that the
format's publisher gives.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from alexnet.base.errors import DataError

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
_WIDTHS = {FIXED64: 8, FIXED32: 4}
_DEPTH = 8  # of messages in messages; Caffe's weights have four
_FIELDS = 200_000  # of a file, rows of numbers counted once; a network of 150 layers has 10,000
_VARINT_BYTES = 10


class Field(NamedTuple):
    """One field: a whole number for VARINT, else a view of its bytes.

    Numbers of fixed width that follow one another are one field: `value` has their tags too, and `each`
    is how many bytes one of them takes with its tag (0 where the field is a single value).
    """

    number: int
    kind: int
    value: int | memoryview
    at: int  # byte of the file
    each: int = 0


class Message:
    """A message of a file, its fields read when the first of them is asked for.

    Raises DataError, naming the file and the byte, wherever the bytes are no message.
    """

    def __init__(
        self,
        view: memoryview,
        where: object,
        at: int = 0,
        depth: int = 0,
        left: list[int] | None = None,
    ) -> None:
        self.where, self.at = where, at
        self._view, self._depth = view, depth
        self._left = [_FIELDS] if left is None else left  # one number for all messages of a file
        self._fields: dict[int, list[Field]] | None = None
        if depth > _DEPTH:
            raise self.error(f"messages in messages, more than {_DEPTH} deep", at)

    @classmethod
    def of_file(cls, path: Path) -> Message:
        """The message that a file is, mapped into memory."""
        with open(path, "rb") as file:
            if not path.stat().st_size:
                return cls(memoryview(b""), path)
            return cls(memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)), path)

    @property
    def numbers(self) -> frozenset[int]:
        """The numbers of the fields that are there."""
        return frozenset(self._read())

    def messages(self, number: int) -> Iterator[Message]:
        """Every message of a field, in order."""
        for field in self._of(number, BYTES):
            assert isinstance(field.value, memoryview)
            yield Message(field.value, self.where, field.at, self._depth + 1, self._left)

    def texts(self, number: int) -> list[str]:
        """Every text of a field, in order."""
        return [
            bytes(value).decode("utf-8", "replace")
            for _, _, value, _, _ in self._of(number, BYTES)
            if isinstance(value, memoryview)
        ]

    def views(self, number: int) -> list[memoryview]:
        """The bytes of every value of a field, in order, not copied."""
        fields = self._of(number, BYTES)
        return [field.value for field in fields if isinstance(field.value, memoryview)]

    def text(self, number: int) -> str:
        """The text of a field, or "" where it is missing."""
        return (self.texts(number) or [""])[-1]

    def integers(self, number: int) -> list[int]:
        """Signed whole numbers of a field, written one by one or packed together."""
        found = []
        for field in self._of(number, VARINT, BYTES):
            if isinstance(field.value, int):
                found.append(field.value)
                continue
            at = 0
            while at < len(field.value):
                value, at = self._varint(field.value, at, field.at)
                found.append(value)
                self._count(field.at)
        return [value - (value >> 63 << 64) for value in found]

    def floats(self, number: int, dtype: str) -> np.ndarray:
        """The numbers of a field as one array of `dtype` ("<f4" or "<f8"), packed or one by one.

        Packed numbers are not copied.
        """
        size = np.dtype(dtype).itemsize
        kind = next(kind for kind, width in _WIDTHS.items() if width == size)
        parts = []
        for _, found, value, at, each in self._of(number, kind, BYTES):
            assert isinstance(value, memoryview)
            if found == BYTES:
                if len(value) % size:
                    raise self.error(f"{len(value):,} bytes of numbers of {size}", at)
                parts.append(np.frombuffer(value, dtype))
            else:
                rows = np.frombuffer(value, np.uint8).reshape(-1, each)
                parts.append(np.ascontiguousarray(rows[:, each - size :]).view(dtype)[:, 0])
        if len(parts) == 1:
            return parts[0]
        return np.concatenate([np.empty(0, dtype), *parts])

    def error(self, what: str, at: int) -> DataError:
        """What is wrong with the bytes at a place of the file."""
        return DataError(
            f"The file is damaged, or no file of Caffe's: {what}.",
            where=f"{self.where}: byte {at:,}",
            remedy="Get it again and compare its size with the publisher's.",
        )

    def _of(self, number: int, *kinds: int) -> list[Field]:
        fields = self._read().get(number, [])
        for field in fields:
            if field.kind not in kinds:
                raise self.error(f"field {number} has the kind {field.kind}", field.at)
        return fields

    def _read(self) -> dict[int, list[Field]]:
        if self._fields is None:
            found: dict[int, list[Field]] = {}
            for field in self._scan():
                found.setdefault(field.number, []).append(field)
            self._fields = found
        return self._fields

    def _scan(self) -> Iterator[Field]:
        view, at = self._view, 0
        while at < len(view):
            start = at
            tag, at = self._varint(view, at, self.at)
            number, kind = tag >> 3, tag & 7
            self._count(self.at + start)
            if number == 0:
                raise self.error("a field of number 0", self.at + start)
            value: int | memoryview
            if kind == VARINT:
                value, at = self._varint(view, at, self.at)
                yield Field(number, kind, value, self.at + start)
                continue
            if kind in _WIDTHS:
                size, each = _WIDTHS[kind], at - start + _WIDTHS[kind]
                size = each * _repeats(view[start:], at - start, each) - (at - start)
            elif kind == BYTES:
                size, at = self._varint(view, at, self.at)
                each = 0
            else:
                raise self.error(f"a field of kind {kind}", self.at + start)
            if size > len(view) - at or size < 0:
                raise self.error(
                    f"field {number} is of {size:,} bytes, and {len(view) - at:,} are left",
                    self.at + start,
                )
            begin = start if each else at
            yield Field(number, kind, view[begin : at + size], self.at + begin, each)
            at += size

    def _varint(self, view: memoryview, at: int, base: int) -> tuple[int, int]:
        """A whole number of seven bits a byte, below 2^64, and the place behind it."""
        value = 0
        for place, byte in enumerate(view[at : at + _VARINT_BYTES]):
            value |= (byte & 127) << (7 * place)
            if byte < 128:
                return value & (2**64 - 1), at + place + 1
        raise self.error("a number without an end", base + at)

    def _count(self, at: int) -> None:
        self._left[0] -= 1
        if self._left[0] < 0:
            raise self.error(f"more than {_FIELDS:,} fields", at)


def _repeats(view: memoryview, tag: int, each: int) -> int:
    """How many fields of `each` bytes follow one another with the tag that `view` begins with.

    Looks no further than eight times as far as they reach. At least 1, which may be cut off.
    """
    bytes_ = np.frombuffer(view, np.uint8)
    most, count, step = len(bytes_) // each, 1, 8
    while count < most:
        rows = bytes_[count * each : min(most, count + step) * each].reshape(-1, each)
        others = np.flatnonzero((rows[:, :tag] != bytes_[:tag]).any(axis=1))
        if len(others):
            return count + int(others[0])
        count, step = count + len(rows), 8 * step
    return count


# --- Writing --------------------------------------------------------------------------------------

Chunks = list[bytes | memoryview]  # of a message, one after another: arrays are not copied


def varint(value: int) -> bytes:
    """A whole number, seven bits a byte; negative ones as two's complement of 64 bits."""
    value &= 2**64 - 1
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    return bytes([*found, value])


def tag(number: int, kind: int) -> bytes:
    """What a field begins with."""
    return varint(number << 3 | kind)


def integer(number: int, value: int) -> Chunks:
    """A field with a whole number."""
    return [tag(number, VARINT) + varint(value)]


def single(number: int, value: float) -> Chunks:
    """A field with a number in float32."""
    return [tag(number, FIXED32) + struct.pack("<f", value)]


def text(number: int, value: str) -> Chunks:
    """A field with a text."""
    return message(number, [value.encode()])


def message(number: int, *parts: Sequence[bytes | memoryview]) -> Chunks:
    """A field with what the parts are, one after another."""
    content = [chunk for part in parts for chunk in part]
    return [tag(number, BYTES) + varint(sum(map(len, content))), *content]


def packed_integers(number: int, values: Sequence[int]) -> Chunks:
    """A field with whole numbers, packed."""
    return message(number, [b"".join(map(varint, values))])


def packed_floats(number: int, array: np.ndarray) -> Chunks:
    """A field with the numbers of an array in float32, packed."""
    flat = np.ascontiguousarray(array, "<f4").reshape(-1)
    return message(number, [flat.view(np.uint8).data])
