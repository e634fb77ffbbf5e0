"""Files made to do harm, by what they are given as: archives, pickles, models, checkpoints, sets."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import json
import lzma
import os
import pickle
import shutil
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import safetensors.numpy
from torture.mutate import original

from alexnet import paper
from alexnet.base.provenance import names_hash


class Case(NamedTuple):
    """A hostile file: how to make it in an empty folder, the command line that reads it there, and
    whether reading may come to a good end, because what is harmful can be left out."""

    name: str
    make: Callable[[Path], None]
    command: tuple[str, ...]
    may_pass: bool = False


def cases(prepared: Path) -> list[Case]:
    """All of them; `prepared` is a prepared set, whose copies are spoilt."""
    found = [*_archives(), *_other_formats(), *_pickles(), *_models(), *_checkpoints()]
    return [*found, *_sets(prepared), *_foreign()]


# --- Tar files ------------------------------------------------------------------------------------

Header = bytes


def header(
    name: bytes, size: int | bytes = 0, kind: bytes = b"0", link: bytes = b"", rest: bytes = b""
) -> Header:
    """One block of a tar file with a right checksum; `size` may be any twelve bytes."""
    number = size if isinstance(size, bytes) else b"%011o\0" % size
    block = bytearray(512)
    fields = [(0, name[:100]), (100, b"0000644\0" * 3), (124, number), (136, b"0" * 11 + b"\0"),
              (156, kind), (157, link[:100]), (257, b"ustar\0" + b"00"), (345, rest)]  # fmt: skip
    for place, value in fields:
        block[place : place + len(value)] = value
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def member(name: bytes, data: bytes, kind: bytes = b"0") -> bytes:
    """A file of a tar file, or an extended header."""
    return header(name, len(data), kind) + data + bytes(-len(data) % 512)


def record(key: bytes, value: bytes) -> bytes:
    """A record of a PAX header."""
    body = b" " + key + b"=" + value + b"\n"
    size = len(body)
    while len(b"%d" % size) + len(body) != size:
        size = len(b"%d" % size) + len(body)
    return b"%d" % size + body


def pax(*records: tuple[bytes, bytes]) -> bytes:
    """An extended header for the next member."""
    return member(b"pax", b"".join(record(key, value) for key, value in records), b"x")


END = bytes(1024)


@cache
def good(n: int = 0) -> bytes:
    """A member with an image that can be used."""
    return member(b"class%d/good%d.png" % (n % 2, n), original("png", n % 4))


def _goods() -> bytes:
    return good(0) + good(1) + good(2) + good(3)


def _archives() -> Iterator[Case]:
    jpeg = original("jpeg", 0)
    out = b"../canary"
    some = {
        "climbs out": member(b"class0/../../canary", jpeg),
        "climbs out at once": member(out, jpeg),
        "absolute name": member(os.fsencode("/tmp/canary"), jpeg),
        "absolute name with a drive": member(b"C:\\canary.jpg", jpeg),
        "link out, then a file through it": header(b"class0/up", 0, b"2", b"../..")
        + member(b"class0/up/canary", jpeg),
        "hard link to the canary": header(b"class0/hard", 0, b"1", out)
        + member(b"class0/hard", jpeg),
        "hard link with content": header(b"class0/hard", 512, b"1", out) + good(5),
        "devices": header(b"class0/zero", 0, b"3") + header(b"class0/disk", 0, b"4"),
        "device with a size": header(b"class0/zero", 2**33, b"3") + good(5),
        "pipe": header(b"class0/pipe", 0, b"6"),
        "folder with a size": header(b"class0/", 2**33, b"5") + good(5),
        "unknown kind": member(b"class0/what", jpeg, b"Z"),
        "sparse file of 1 TB": header(b"class0/sparse", 512, b"S") + bytes(512),
        "sparse map without end": header(b"class0/s", 0, b"S", rest=bytes(137) + b"\1")
        + (bytes(504) + b"\1" + bytes(7)) * 1000,
        "sparse map by PAX": pax((b"GNU.sparse.major", b"1"), (b"GNU.sparse.minor", b"0"),
                                 (b"GNU.sparse.realsize", b"99999999999999"))
        + member(b"class0/sparse", b"999999999\n" + b"1\n" * 500),
        "PAX header of 16 MB": pax((b"comment", b"x" * 2**24)) + good(5),
        "PAX header that says 8 GB": header(b"pax", 2**33 - 1, b"x"),
        "PAX header for slow patterns": member(b"pax", b"2 " * 2**18 + b"=", b"x") + good(5),
        "PAX records of length 0": member(b"pax", b"0 a=b\n", b"x") + good(5),
        "PAX records of negative length": member(b"pax", b"-5 a=b\n", b"x") + good(5),
        "PAX records that overlap the end": member(b"pax", b"999999 a=b\n", b"x") + good(5),
        "PAX header for all files": member(b"pax", record(b"path", out), b"g"),
        "many PAX headers for all files": b"".join(
            member(b"pax", record(b"k%d" % n, b"v" * 4000), b"g") for n in range(5000)),
        "10,000 PAX headers in a row": pax((b"a", b"b")) * 10_000,
        "PAX header at the end": good(5) + pax((b"path", b"x")),
        "PAX size below zero": pax((b"size", b"-1")) + good(5),
        "PAX size beyond counting": pax((b"size", b"9" * 5000)) + good(5),
        "PAX size in hexadecimal": pax((b"size", b"0x10")) + good(5),
        "PAX size of 4 EB": pax((b"size", b"4" + b"0" * 18)) + good(5),
        "name of 100,000 characters, GNU": member(b"l", b"n" * 100_000 + b"\0", b"L") + good(5),
        "name of 100,000 characters, PAX": pax((b"path", b"n" * 100_000)) + good(5),
        "name with 10,000 folders": pax((b"path", b"d/" * 2000 + b"x.png")) + good(5),
        "long name of 8 GB": header(b"l", 2**33 - 1, b"L"),
        "NUL in a name": pax((b"path", b"class0/a\0b.png")) + member(b"x", jpeg),
        "lines and escapes in a name": member(b"class0/a\n\x1b[2J\rb.png", jpeg),
        "lines and escapes in a class": member(b"a\n\x1b[2J,\"'/b.png", jpeg),
        "names that are no UTF-8": member(b"class0/\xff\xfe\x80.png", jpeg),
        "names from right to left": member("class0/\u202egnp.exe".encode(), jpeg),
        "no name": member(b"", jpeg),
        "names of points": member(b".", jpeg) + member(b"..", jpeg) + member(b"/", jpeg)
        + member(b"./.", jpeg),
        "size below zero": header(b"class0/x", b"\xff" * 12) + good(5),
        "size of 2^80": header(b"class0/x", b"\x80" + b"\x7f" * 11) + good(5),
        "size that is no number": header(b"class0/x", b"0o0000099\0  ") + good(5),
        "size beyond the end": header(b"class0/x", 2**32) + good(5),
        "tar of tars": member(b"class0/inner.tar", _goods() + END),
        "the same name twice": good(5) * 2,
        "20,000 empty files": b"".join(header(b"class0/%d" % n) for n in range(20_000)),
    }  # fmt: skip
    for name, content in some.items():
        yield _tar(name, content)
    yield Case("tar: unknown class in val", _file("photos.tar", b"".join(
        [member(b"train/a/1.png", jpeg), member(b"val/\x1b[2J\n/1.png", jpeg), END])),
        ("data", "check", "photos.tar"))  # fmt: skip
    yield Case("tar: nothing", _file("photos.tar", b""), ("data", "check", "photos.tar"))
    yield Case("tar: zeros", _file("photos.tar", bytes(10240)), ("data", "check", "photos.tar"))
    page = b"<html>not found</html>" * 100
    yield Case("tar: a page", _file("photos.tar", page), ("data", "check", "photos.tar"))

    def zeros(kind: str, size: int) -> Callable[[Path], None]:
        def make(folder: Path) -> None:
            with tarfile.open(folder / f"photos.tar.{kind}", f"w:{kind}") as archive:  # type: ignore[call-overload]
                info = tarfile.TarInfo("class0/zeros.bmp")
                info.size = size
                archive.addfile(info, _Zeros(size))  # type: ignore[arg-type]

        return make

    for kind in ("gz", "bz2", "xz"):
        path = f"photos.tar.{kind}"
        yield Case(f"{kind}: 400 MB of zeros", zeros(kind, 400 * 2**20), ("data", "check", path))
    packed = {
        "gz of gz": gzip.compress(gzip.compress(_goods() + END)),
        "gz that is cut": gzip.compress(_goods() + END)[:-400],
        "gz with a wrong checksum": gzip.compress(_goods() + END)[:-8] + bytes(8),
        "gz with garbage behind": gzip.compress(_goods() + END) + b"garbage" * 100,
        "gz of 100,000 headers": gzip.compress(
            _goods() + b"".join(header(b"class0/%d" % (n % 10)) for n in range(100_000))),
        "gz with a name of 1 MB inside": b"\x1f\x8b\x08\x08" + bytes(6) + b"n" * 2**20 + b"\0",
        "gz: only the magic": b"\x1f\x8b",
        "bz2 that is no bz2": b"BZh9" + bytes(1000),
        "bz2 that is cut": bz2.compress(_goods() + END)[:-400],
        "xz that asks for 4 GB": _xz_with_dictionary(40),
        "xz that is cut": lzma.compress(_goods() + END)[:-40],
        "xz with a changed check": lzma.compress(_goods() + END)[:-60] + bytes(60),
    }  # fmt: skip
    for name, data in packed.items():
        yield Case(name, _file("photos.tar.gz", data), ("data", "check", "photos.tar.gz"), True)


def _tar(name: str, content: bytes) -> Case:
    data = _goods() + content + END
    return Case(f"tar: {name}", _file("photos.tar", data), ("data", "check", "photos.tar"), True)


class _Zeros(io.RawIOBase):
    def __init__(self, size: int) -> None:
        self._left = size

    def read(self, size: int = -1) -> bytes:
        size = min(size, self._left)
        self._left -= size
        return bytes(size)


def _xz_with_dictionary(bits: int) -> bytes:
    """A whole xz file whose block header claims a dictionary of 4 GB."""
    data = bytearray(lzma.compress(_goods() + END))
    size = (data[12] + 1) * 4
    place = data.index(b"\x21\x01", 12) + 2
    data[place] = bits
    data[12 + size - 4 : 12 + size] = struct.pack("<I", zlib.crc32(data[12 : 12 + size - 4]))
    return bytes(data)


def _file(name: str, content: bytes) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        (folder / name).write_bytes(content)

    return make


# --- Formats that are not read --------------------------------------------------------------------


def _other_formats() -> Iterator[Case]:
    def zipped(path: Path, names: tuple[str, ...] = ("class0/a.png", "../canary")) -> None:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in names:
                archive.writestr(name, bytes(10**6))

    def parquet(folder: Path) -> None:
        column = pa.array([{"bytes": None, "path": "/etc/passwd"}])
        pyarrow.parquet.write_table(pa.table({"image": column}), folder / "train.parquet")

    def npz(folder: Path) -> None:
        np.savez(folder / "batch.npz", data=np.array([Runs(os.system, "touch canary")], object))

    def npy(folder: Path) -> None:
        np.save(folder / "a.npy", np.array([Runs(os.system, "touch canary")], object))

    yield Case("zip", lambda folder: zipped(folder / "a.zip"), ("data", "check", "a.zip"))
    yield Case("zip called tar", lambda f: zipped(f / "a.tar"), ("data", "check", "a.tar"))
    yield Case("zip for training", lambda f: zipped(f / "a.zip"), ("train", "a.zip"))
    yield Case("npz", npz, ("data", "prepare", "batch.npz"))
    yield Case("npy", npy, ("data", "check", "a.npy"))
    yield Case("parquet", parquet, ("data", "check", "train.parquet"))
    yield Case("parquet to prepare", parquet, ("data", "prepare", "train.parquet"))
    yield Case("zip as a model", lambda f: zipped(f / "model.pt"), ("summary", "model.pt"))


# --- CIFAR-10 pickles -----------------------------------------------------------------------------


class Runs:
    """Pickles into a call of any function."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


NAMES = [*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"]


def batch(data: bytes | None = None) -> bytes:
    """The pickle of two images, with `data` (operations of a pickle) in place of the array."""
    value = {b"data": np.zeros((2, 3072), np.uint8), b"labels": [1, 2]}
    if data is None:
        return pickle.dumps(value, 4)
    return b"\x80\x04}(C\x04data" + data + b"C\x06labels](K\x01K\x02eu."


def _call(module: str, name: str, arguments: bytes) -> bytes:
    return f"c{module}\n{name}\n".encode() + arguments + b"R"


def operations() -> dict[str, bytes]:
    """Operations of a pickle that would do harm, by what they try."""
    multiarray, open_canary = "numpy.core.multiarray", b"X\x06\0\0\0canary"
    touch = b"(X\x0c\0\0\0touch canaryt"
    text = b"(" + open_canary + b"X\x01\0\0\0wt"
    kind = _call("numpy", "dtype", b"(X\x02\0\0\0u1K\0K\1t")
    objects = _call("numpy", "dtype", b"(X\x02\0\0\0O8K\0K\1t")
    array = _call(multiarray, "_reconstruct", b"(cnumpy\nndarray\nK\0\x85C\1bt")
    huge = b"(cnumpy\nndarray\n\x8a\x06\0\0\0\0\0\1\x85C\1bt"  # a shape of 2^40
    huge_32 = b"(cnumpy\nndarray\nJ\xff\xff\xff\x7f\x85C\1Ot"  # 2^31 objects

    def state(shape: bytes, of: bytes, content: bytes) -> bytes:
        return array + b"(K\1" + shape + of + b"\x89" + content + b"tb"

    tower = b")" + b"\x85" * 500_000
    return {
        "os.system": _call("os", "system", touch),
        "posix.system": _call("posix", "system", touch),
        "subprocess.Popen": _call("subprocess", "Popen", touch),
        "builtins.eval": _call("builtins", "eval", b"(X\x13\0\0\0open('canary', 'w')t"),
        "builtins.exec": _call("builtins", "exec", b"(X\x13\0\0\0open('canary', 'w')t"),
        "__builtin__.open": _call("__builtin__", "open", text),
        "io.open": _call("io", "open", text),
        "getattr": _call("builtins", "getattr", b"(cnumpy\ndtype\nX\x04\0\0\0typet"),
        "numpy.load": _call("numpy", "load", b"(" + open_canary + b"t"),
        "numpy.memmap": _call("numpy", "memmap", text),
        "numpy.save": _call("numpy", "save", text),
        "numpy with a dotted name": b"X\5\0\0\0numpyX\x0b\0\0\0dtype.__new_\x93",
        "numpy's runstring": _call("numpy.testing._private.utils", "runstring", text),
        "socket": _call("socket", "create_connection", b"((X\x09\0\0\x00127.0.0.1M%b\x86tt"),
        "webbrowser": _call("webbrowser", "open", touch),
        "this package's remove": _call("alexnet.base.files", "remove", b"(" + open_canary + b"t"),
        "_reconstruct without arguments": _call(multiarray, "_reconstruct", b")"),
        "_reconstruct of 2^40 bytes": _call(multiarray, "_reconstruct", huge),
        "_reconstruct of 2^31 objects": _call(multiarray, "_reconstruct", huge_32),
        "ndarray of 2^31 bytes": _call("numpy", "ndarray", b"(J\xff\xff\xff\x7f\x85t"),
        "ndarray itself": b"cnumpy\nndarray\n",
        "a state for ndarray itself": b"cnumpy\nndarray\n}C\1aK\1sb",
        "a state that is no tuple": array + b"K\1b",
        "a state too short": array + b"(K\1tb",
        "a shape that is a lie": state(b"(K\2J\xff\xff\xff\x7ft", kind, b"C\0"),
        "a shape below zero": state(b"(J\xff\xff\xff\xffM\0\x0ct", kind, b"C\0"),
        "a shape of a lie and no content": state(b"(K\2M\0\x0ct", kind, b"C\0"),
        "content that is a list": state(b"(K\2M\0\x0ct", kind, b"]"),
        "an array of objects": state(b"(K\2M\0\x0ct", objects, b"]"),
        "objects of a huge shape": state(b"(J\xff\xff\xff\x7ft", objects, b"]"),
        "dtype without arguments": _call("numpy", "dtype", b")"),
        "dtype of a lie": _call("numpy", "dtype", b"(X\x0b\0\0\0V2147483647t"),
        "a state for dtype": kind + b"(K\3C\1|NNNJ\xff\xff\xff\x7fJ\xff\xff\xff\x7fK\0tb",
        "an array in an array": state(b"(K\2M\0\x0ct", array, b"C\0"),
        "persistent id": b"Pcanary\n",
        "persistent ids, nested": b"Pcanary\nQQ",
        "INST": b"(X\x0c\0\0\0touch canaryios\nsystem\n",
        "OBJ": b"(cos\nsystem\nX\x0c\0\0\0touch canaryo",
        "NEWOBJ": b"cnumpy\nndarray\nJ\xff\xff\xff\x7f\x85\x81",
        "extension code": b"\x82\1",
        "memo of 2^31": b"Nr\xff\xff\xff\x7f",
        "bytes of 2^60": b"\x8e" + struct.pack("<Q", 2**60),
        "bytearray of 2^60": b"\x96" + struct.pack("<Q", 2**60),
        "text of 2^60": b"\x8d" + struct.pack("<Q", 2**60),
        "bytes of 4 GB": b"B\xff\xff\xff\xff",
        "a frame of 2^60": b"\x95" + struct.pack("<Q", 2**60),
        "a number of 10,000 digits": b"L" + b"9" * 10_000 + b"L\n",
        "out of band": b"\x97",
        "a tower of tuples as a key": b"}" + tower + b"K\1s",
        "a tower of tuples": tower,
        "a million of marks": b"(" * 10**6,
        "three million of nothings": b"]" + b"(" + b"N" * 3 * 10**6 + b"e",
        "a list of itself": b"]\x94h\0a",
    }


def _pickles() -> Iterator[Case]:
    raw = operations()
    for name, data in raw.items():
        yield _cifar(f"pickle: {name}", batch(data))
    no_pixels = raw["a shape of a lie and no content"]
    self_labels = b"\x80\x04}(C\x04data" + no_pixels + b"C\x06labels]"
    others = {
        "labels of themselves": self_labels + b"\x94h\0au.",
        "labels that are booleans": pickle.dumps(
            {b"data": np.zeros((1, 3072), np.uint8), b"labels": [True]}, 4),
        "labels beyond the classes": pickle.dumps(
            {b"data": np.zeros((1, 3072), np.uint8), b"labels": [10**15]}, 4),
        "not a dictionary": pickle.dumps([1, 2], 4),
        "no end": batch()[:-1],
        "cut": batch()[:3000],
        "only a protocol": b"\x80\x04",
        "an unknown protocol": b"\x80\xff" + batch()[2:],
        "65 MB": batch() + bytes(65 * 2**20),
        "empty": b"",
        "a binary batch of label 11": bytes([11]) + bytes(3072),
        "a binary batch that is cut": bytes(5000),
    }  # fmt: skip
    for name, data in others.items():
        yield _cifar(f"batch: {name}", data)

    def in_tar(folder: Path) -> None:
        first = member(b"/", b"") + member(b"../data_batch_1", batch(raw["os.system"]))
        rest = b"".join(member(f"x/{name}".encode(), batch()) for name in NAMES)
        (folder / "cifar-10-python.tar.gz").write_bytes(gzip.compress(rest + first + END))

    yield Case("pickle in a tar", in_tar, ("data", "check", "cifar10:."))


def _cifar(name: str, data: bytes) -> Case:
    def make(folder: Path) -> None:
        for one in NAMES:
            (folder / one).write_bytes(data if one == "data_batch_2" else batch())

    return Case(name, make, ("data", "check", "cifar10:."))


# --- Models ---------------------------------------------------------------------------------------


def config(weights: bytes, classes: Any = ("cat", "dog"), **changes: Any) -> dict[str, Any]:
    """config.json of a model folder with these weights."""
    names = list(classes)
    hashed = names if all(isinstance(name, str) for name in names) else []
    about = {
        "format": 3, "convention": "paper", "variant": "", "classes": names, "titles": names,
        "kernels": {layer.name: layer.kernels for layer in paper.LAYERS},
        "classes_sha256": names_hash(hashed), "preprocessing": {}, "provenance": {},
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
    }  # fmt: skip
    return about | changes


def tensors(described: Any, content: bytes = b"", size: int | None = None) -> bytes:
    """A safetensors file with any header; `size` is what it says of the header's length."""
    text = described if isinstance(described, bytes) else json.dumps(described).encode()
    return struct.pack("<Q", len(text) if size is None else size) + text + content


def _one(**changes: Any) -> dict[str, Any]:
    return {"fc8.weight": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]} | changes}


def _weights() -> dict[str, bytes]:
    sixteen, deep = bytes(16), b"[" * 100_000
    two = {
        "a": {"dtype": "U8", "shape": [10], "data_offsets": [0, 10]},
        "b": {"dtype": "U8", "shape": [10], "data_offsets": [6, 16]},
    }
    return {
        "nothing": b"",
        "seven bytes": bytes(7),
        "a header of 2^63": tensors({}, size=2**63),
        "a header beyond the end": tensors({}, size=10**6),
        "a header of 2^64 - 1": tensors({}, size=2**64 - 1),
        "a header that is no JSON": tensors(b"{" * 50),
        "a header that is no UTF-8": tensors(b'{"\xff\xfe": 1}'),
        "a header nested 100,000 deep": tensors(b'{"a": ' + deep),
        "a header that is a list": tensors([1, 2]),
        "tensors one over the other": tensors(two, sixteen),
        "a tensor beyond the end": tensors(_one(data_offsets=[0, 10**12]), sixteen),
        "a tensor backwards": tensors(_one(data_offsets=[16, 0]), sixteen),
        "a tensor before the beginning": tensors(_one(data_offsets=[-16, 0]), sixteen),
        "a shape of 2^80": tensors(_one(shape=[2**40, 2**40]), sixteen),
        "a shape that overflows to 16 bytes": tensors(_one(shape=[2**62 + 1, 4]), sixteen),
        "a shape below zero": tensors(_one(shape=[-2, -2]), sixteen),
        "a shape of 100,000 sides": tensors(_one(shape=[1] * 100_000 + [4]), sixteen),
        "a shape of nothing": tensors(_one(shape=[0, 2**60], data_offsets=[0, 0])),
        "a kind of numbers that is none": tensors(_one(dtype="F33"), sixteen),
        "numbers of eight bits": tensors(_one(dtype="F8_E5M2", shape=[2, 8]), sixteen),
        "numbers of four bits": tensors(_one(dtype="F4", shape=[2, 16]), sixteen),
        "bfloat16": tensors(_one(dtype="BF16", shape=[2, 4]), sixteen),
        "complex numbers": tensors(_one(dtype="C64", shape=[2, 1]), sixteen),
        "the same name twice": tensors(
            json.dumps(_one()).encode()[:-1] + b", " + json.dumps(_one()).encode()[1:], sixteen),
        "garbage behind": tensors(_one(), bytes(1000)),
        "metadata that are numbers": tensors({"__metadata__": {"a": 1}} | _one(), sixteen),
        "a million tensors": tensors({
            f"t{n}": {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]} for n in range(10**5)}),
        "a name of 1 MB": tensors({"n" * 2**20: _one()["fc8.weight"]}, sixteen),
        "a name of another file": tensors({"../../canary": _one()["fc8.weight"]}, sixteen),
        "a pickle": pickle.dumps(Runs(os.system, "touch canary")),
        "names that steer a terminal": tensors({
            f"\x1b[2J\n{n}": {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]}
            for n in range(1000)} | _one(), sixteen),
        "too few weights": tensors(_one(), sixteen),
    }  # fmt: skip


_LAYERS = [layer.name for layer in paper.LAYERS]
MEAN = safetensors.numpy.save({"mean": np.zeros((256, 256, 3), np.float32)})


def _model(
    name: str, weights: bytes, about: Any, statistics: bytes = MEAN, verb: str = "predict"
) -> Case:
    text = about if isinstance(about, bytes) else json.dumps(about).encode()

    def make(folder: Path) -> None:
        (folder / "model").mkdir()
        (folder / "model" / "model.safetensors").write_bytes(weights)
        (folder / "model" / "statistics.safetensors").write_bytes(statistics)
        (folder / "model" / "config.json").write_bytes(text)
        (folder / "image.png").write_bytes(original("png", 0))

    return Case(name, make, (verb, "model", "image.png")[: 3 if verb == "predict" else 2])


def _models() -> Iterator[Case]:
    for name, weights in _weights().items():
        yield _model(f"weights: {name}", weights, config(weights))
    whole = tensors(_one(), bytes(16))
    for name, statistics in {
        "nothing": b"",
        "another file": whole,
        "a mean of one pixel": safetensors.numpy.save({"mean": np.zeros((1, 1, 3), np.float32)}),
        "a mean of bytes": safetensors.numpy.save({"mean": np.zeros((256, 256, 3), np.uint8)}),
        "a mean of eight bits": tensors({"mean": {
            "dtype": "F8_E4M3", "shape": [256, 256, 3], "data_offsets": [0, 196608]}},
            bytes(196608)),
    }.items():  # fmt: skip
        yield _model(f"statistics: {name}", whole, config(whole), statistics)
    abouts: dict[str, Any] = {
        "nothing": b"",
        "a list": [],
        "not UTF-8": b'{"format": "\xff"',
        "cut": json.dumps(config(whole)).encode()[:100],
        "classes that are a number": config(whole) | {"classes": 10**9},
        "classes that are text": config(whole) | {"classes": "cat, dog"},
        "classes that are lists": config(whole, [["cat"], ["dog"]]),
        "classes that are null": config(whole) | {"classes": None},
        "classes that steer a terminal": config(whole, ["\x1b[2J", "\n"]),
        "no classes": config(whole, []),
        "a million classes": config(whole, ["x"] * 10**6),
        "fewer titles than classes": config(whole, titles=["cat"]),
        "titles that are numbers": config(whole, titles=[1, 2]),
        "preprocessing that is a list": config(whole, preprocessing=[]),
        "a hash that is a list": config(whole, weights_sha256=[]),
        "a format that is a dictionary": config(whole, format={}),
        "a convention that is a list": config(whole, convention=[[]]),
        "kernels that are a list": config(whole, kernels=[96]),
        "kernels of one layer": config(whole, kernels={"conv1": 96}),
        "kernels without end": config(whole, kernels=dict.fromkeys(_LAYERS, 10**15)),
        "kernels below nothing": config(whole, kernels=dict.fromkeys(_LAYERS, -1)),
        "NaN": json.dumps(config(whole)).replace('"format": 3', '"format": NaN').encode(),
    }
    for name, about in abouts.items():
        for verb in ("predict", "summary")[: 1 if name == "a million classes" else 2]:
            yield _model(f"config.json for {verb}: {name}", whole, about, verb=verb)


# --- Checkpoints ----------------------------------------------------------------------------------


def _checkpoints() -> Iterator[Case]:
    for name, data in _weights().items():
        make = _file("step-00000001.safetensors", data)
        yield Case(f"checkpoint: {name}", make, ("(checkpoint)", "step-00000001.safetensors"))


# --- Prepared sets --------------------------------------------------------------------------------


def _sets(prepared: Path) -> Iterator[Case]:
    described = json.loads((prepared / "dataset.json").read_text())
    texts: dict[str, Any] = {
        "nothing": b"",
        "a list": [],
        "another format": {"format": "alexnet-prepared", "version": 99},
        "no classes": {key: value for key, value in described.items() if key != "classes"},
        "classes that are numbers": described | {"classes": [1, 2]},
        "splits that are a list": described | {"splits": []},
        "statistics that are text": described | {"statistics": "x"},
        "statistics that are a pickle": described | {"statistics": {"file": "p", "sha256": "p"}},
        "shards that are numbers": described | {"splits": {"train": {"shards": [1]}}},
    }
    for name, text in texts.items():

        def make(folder: Path, text: Any = text) -> None:
            shutil.copytree(prepared, folder / "set")
            data = text if isinstance(text, bytes) else json.dumps(text).encode()
            (folder / "set" / "dataset.json").write_bytes(data)
            (folder / "set" / "p").write_bytes(pickle.dumps(Runs(os.system, "touch canary")))

        yield Case(f"dataset.json: {name}", make, ("data", "info", "set"))


# --- Weights of other programs --------------------------------------------------------------------


def _foreign() -> Iterator[Case]:
    files = {f"pickle: {name}": b"\x80\x04" + data + b"." for name, data in operations().items()}
    blob = b"\x3a\x04\x0a\x02\xff\x01"  # a shape
    files |= {
        "caffemodel: nothing": b"",
        "caffemodel: a name of 2^63 bytes": b"\x0a" + b"\xff" * 9 + b"\x01",
        "caffemodel: layers of 2 GB": b"\xa2\x06\xff\xff\xff\xff\x07abc",
        "caffemodel: layers in layers": b"\xa2\x06" * 10_000,
        "caffemodel: a shape of 2^70": b"\xa2\x06\x10\x0a\x05conv1"
        + b"\x3a\x07"
        + blob[:3]
        + b"\xff" * 4,
        "caffemodel: groups without an end": b"\x0b" * 10**6,
        "caffemodel: a million fields": b"\x0a\x00" * 10**6,
        "caffemodel: a number without an end": b"\xff" * 10**6,
        "safetensors: a header of 99 MB": struct.pack("<Q", 99 * 10**6) + b"{" + b" " * 10**6,
        "hdf5": b"\x89HDF\r\n\x1a\n" + bytes(1000),
        "a page": b"<html>not found</html>" * 100,
        "gz that is cut": gzip.compress(b"\x80\x02N." * 1000)[:-20],
    }
    for name, weights in _weights().items():
        files[f"safetensors: {name}"] = weights
    for name, data in files.items():
        make = _file("weights", data)
        yield Case(f"import of {name}", make, ("import", "-o", "out", "weights"))

    def zipped(names: dict[str, bytes], method: int) -> Callable[[Path], None]:
        def make(folder: Path) -> None:
            with zipfile.ZipFile(folder / "weights", "w", method) as archive:
                for name, data in names.items():
                    archive.writestr(name, data)

        return make

    harm = pickle.dumps(Runs(os.system, "touch canary"), 2)
    torch_file = {"archive/data.pkl": harm, "archive/version": b"3\n", "archive/data/0": bytes(64)}
    for name, files_, method in (
        ("a .pth that runs a command", torch_file, zipfile.ZIP_STORED),
        (
            "a .pth that is packed",
            {**torch_file, "archive/data/0": bytes(10**6)},
            zipfile.ZIP_DEFLATED,
        ),
        ("a zip of two files", {"a": harm, "b": harm}, zipfile.ZIP_DEFLATED),
        ("a zip of a command", {"data": harm}, zipfile.ZIP_DEFLATED),
    ):
        yield Case(f"import of {name}", zipped(files_, method), ("import", "-o", "out", "weights"))

    def zeros(folder: Path) -> None:
        (folder / "weights").write_bytes(gzip.compress(bytes(400 * 2**20), 1))

    yield Case("import of a gz of 400 MB of zeros", zeros, ("import", "-o", "out", "weights"))
