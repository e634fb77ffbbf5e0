"""The wire format: what is written is what is read, and no bytes lead anywhere else than to an answer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alexnet.base.errors import DataError
from alexnet.formats import protobuf
from alexnet.formats.protobuf import Message


def of(*parts: protobuf.Chunks) -> Message:
    return Message(memoryview(b"".join(chunk for part in parts for chunk in part)), "file")


def test_numbers_texts_and_messages_come_back() -> None:
    inner = protobuf.message(3, protobuf.text(1, "größe"), protobuf.integer(2, 300))
    read = of(inner, protobuf.integer(9, -1), protobuf.packed_integers(4, [0, 1, 2**40, -5]), inner)
    assert [one.text(1) for one in read.messages(3)] == ["größe", "größe"]
    assert [one.integers(2) for one in read.messages(3)] == [[300], [300]]
    assert read.integers(9) == [-1] and read.integers(4) == [0, 1, 2**40, -5]
    assert read.integers(77) == [] and read.text(77) == "" and read.numbers == {3, 9, 4}


@pytest.mark.parametrize(
    ("dtype", "kind", "number"), [("<f4", 5, 5), ("<f8", 1, 8), ("<f4", 5, 300)]
)
def test_floats_are_read_packed_or_one_by_one(dtype: str, kind: int, number: int) -> None:
    values = np.random.default_rng(0).standard_normal(1000).astype(dtype)
    tag = protobuf.tag(number, kind)
    single = [b"".join(tag + one.tobytes() for one in values)]
    other = protobuf.integer(1, 7)
    packed = protobuf.message(number, [values.tobytes()])
    for parts in ([single], [packed], [other, single, other], [single, packed, other, single]):
        times = sum(part is not other for part in parts)
        np.testing.assert_array_equal(of(*parts).floats(number, dtype), np.tile(values, times))
    assert of(other).floats(number, dtype).shape == (0,)


def test_packed_floats_are_not_copied(tmp_path: Path) -> None:
    values = np.arange(10, dtype="<f4")
    (tmp_path / "f").write_bytes(b"".join(protobuf.packed_floats(5, values)))
    read = Message.of_file(tmp_path / "f").floats(5, "<f4")
    assert not read.flags.owndata and not read.flags.writeable
    np.testing.assert_array_equal(read, values)


LENGTH = protobuf.varint


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"\x0a", "without an end"),
        (b"\xff" * 11, "without an end"),
        (b"\x0a\x05ab", "5 bytes, and 2 are left"),
        (b"\x0a" + LENGTH(2**63) + b"ab", "are left"),
        (b"\x0a" + LENGTH(2**64 - 1) + b"ab", "are left"),
        (b"\x02\x00", "number 0"),
        (b"\x0b", "kind 3"),
        (b"\x0e", "kind 6"),
        (b"\x0d\x00\x00\x00", "4 bytes, and 3 are left"),
        (b"\x09" + bytes(7), "8 bytes, and 7 are left"),
        (b"\x08\x01", "field 1 has the kind 0"),
        (b"\x0a\x03abc", "3 bytes of numbers of 4"),
    ],
)
def test_malformed_bytes_are_refused_with_their_place(data: bytes, what: str) -> None:
    with pytest.raises(DataError, match=what) as refused:
        Message(memoryview(data), "file").floats(1, "<f4")
    assert refused.value.where.startswith("file: byte ")


def test_messages_nested_without_end_are_refused() -> None:
    chunks = protobuf.text(1, "x")
    for _ in range(100):
        chunks = protobuf.message(1, chunks)
    message = of(chunks)
    with pytest.raises(DataError, match="deep"):
        for _ in range(100):
            message = next(message.messages(1))


def test_millions_of_fields_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protobuf, "_FIELDS", 2000)
    with pytest.raises(DataError, match="more than 2,000 fields"):
        Message(memoryview(b"\x08\x01" * 3000), "file").integers(1)
    with pytest.raises(DataError, match="more than 2,000 fields"):
        of(protobuf.packed_integers(1, [1] * 3000)).integers(1)
    outer = of(*[protobuf.message(1, protobuf.integer(2, 1)) for _ in range(1500)])
    with pytest.raises(DataError, match="more than 2,000 fields"):  # of all messages together
        [one.integers(2) for one in outer.messages(1)]


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    message = Message(memoryview(data), "file")
    try:
        for number in message.numbers:
            for how in (message.integers, message.texts, lambda n: list(message.messages(n))):
                how(number)
            message.floats(number, "<f4")
            message.floats(number, "<f8")
    except DataError:
        pass
