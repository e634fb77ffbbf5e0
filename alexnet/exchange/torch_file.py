"""The tensors in a file of `torch.save`, read without PyTorch's unpickler: nothing is built or run.

The file is a zip archive, `data.pkl` with everything in it but the numbers, and these as `data/0` ...;
before PyTorch 1.6 it was five pickles and the numbers one after another. What is read of the pickle is in
`torch_tensors`; numbers are read once they are asked for.
"""

from __future__ import annotations

import mmap
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from alexnet.base.errors import DataError
from alexnet.exchange.torch_tensors import KNOWN, Storage, StoredTensor, storage_of
from alexnet.formats.pickle_machine import BadPickle, Known
from alexnet.formats.pickles import unpickled_at

_MAGIC = bytes.fromhex("8a0a6cfc9c46f9206aa85019")  # the number that files before 1.6 begin with
_MAGIC_WITHIN = 32  # bytes: before it are the pickle's protocol and, of late ones, a frame's length
_ZIP = b"PK\x03\x04"
_LOCAL_HEADER = struct.Struct("<26xHH")  # of a file in a zip archive: the lengths of name and extra
_FLOATS = {"float64": "f8", "float32": "f4", "float16": "f2", "bfloat16": "u2"}


@dataclass(frozen=True)
class TorchFile:
    """What a file holds, its tensors as `StoredTensor`, and the bytes of every storage by its key."""

    path: Path
    content: Any
    storages: Callable[[str], memoryview]
    order: str  # of bytes: < or >

    def array(self, name: str, tensor: StoredTensor) -> np.ndarray:
        """A tensor's numbers, bfloat16 as float32, which has the same; raises DataError that names it.

        Whole numbers are refused, and tensors with more numbers than are stored.
        """
        told = repr(name[:200])
        if tensor.kind not in _FLOATS:
            raise DataError(f"{told} is of torch.{tensor.kind}.", where=self.path)
        dtype = np.dtype(self.order + _FLOATS[tensor.kind])
        storage = tensor.storage
        data = self.storages(storage.key)
        data = data[storage.first * storage.width :][: storage.count * storage.width]
        flat = np.frombuffer(data[: len(data) // dtype.itemsize * dtype.itemsize], dtype)
        pairs = zip(tensor.shape, tensor.strides, strict=True)
        last = tensor.first + sum((size - 1) * step for size, step in pairs)
        count: int = prod(tensor.shape)
        if count > len(flat) or (count > 0 and last >= len(flat)):
            raise DataError(f"{told} is larger than what is stored of it.", where=self.path)
        array = np.lib.stride_tricks.as_strided(
            flat[tensor.first :],
            tensor.shape,
            [step * dtype.itemsize for step in tensor.strides],
            writeable=False,
        )
        if tensor.kind != "bfloat16":
            return array
        return (array.astype(np.uint32) << 16).view(np.float32)


def is_torch(path: Path) -> bool:
    """Whether it is a file of `torch.save`, in either of its formats."""
    with open(path, "rb") as file:
        head = file.read(_MAGIC_WITHIN)
    if _MAGIC in head:
        return True
    return head.startswith(_ZIP) and any(_is_pickle_of(name) for name in members(path))


def members(path: Path) -> list[str]:
    """The names in a zip archive, none where it cannot be read as one."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError):
        return []


def read_torch(path: Path) -> TorchFile:
    """What a file of `torch.save` holds; raises DataError that names the file."""
    with open(path, "rb") as file:
        if path.stat().st_size == 0:
            raise DataError("The file is empty.", where=path)
        view = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    try:
        return _of_zip(path, view) if view[:4] == _ZIP else _before_zip(path, view)
    except DataError:
        raise
    except BadPickle as error:
        what = str(error)
    except (
        struct.error,
        IndexError,
        KeyError,
        TypeError,
        ValueError,
        NotImplementedError,
    ) as error:
        what = f"{type(error).__name__} {error}"[:200]
    except (zipfile.BadZipFile, EOFError, OSError) as error:
        what = str(error)[:200]
    raise DataError(
        f"Not a file of PyTorch that can be read: {what}.",
        where=path,
        remedy="Get it again and compare its size; nothing in it was run.",
    )


# --- The two formats ------------------------------------------------------------------------------


def _is_pickle_of(name: str) -> bool:
    return name == "data.pkl" or name.endswith("/data.pkl")


def _of_zip(path: Path, view: memoryview) -> TorchFile:
    with zipfile.ZipFile(path) as archive:
        found = {one.filename: one for one in archive.infolist()}
    name = next(name for name in found if _is_pickle_of(name))
    root = name.removesuffix("data.pkl")

    def member(name: str) -> memoryview:
        if name not in found:
            raise DataError(f"It has no {name[:200]}, which its tensors are in.", where=path)
        return _stored(found[name], view, path)

    order = bytes(member(f"{root}byteorder")) if f"{root}byteorder" in found else b"little"
    content, _ = unpickled_at(member(name), known=KNOWN)
    return TorchFile(path, content, lambda key: member(f"{root}data/{key}"), _ORDERS[order])


def _stored(one: zipfile.ZipInfo, view: memoryview, path: Path) -> memoryview:
    """The bytes of a file in the archive, as they are: PyTorch packs nothing.

    A checksum of 0 is how PyTorch says that it has computed none.
    """
    if one.compress_type != zipfile.ZIP_STORED or one.flag_bits & 1:
        raise DataError("Its parts are compressed, which PyTorch's are not.", where=path)
    header = view[one.header_offset :][: _LOCAL_HEADER.size]
    begin = one.header_offset + _LOCAL_HEADER.size + sum(_LOCAL_HEADER.unpack(header))
    data = view[begin : begin + one.file_size]
    if len(data) < one.file_size:
        raise DataError(f"It breaks off in {one.filename[:200]}.", where=path)
    if one.CRC and zlib.crc32(data) != one.CRC:
        raise DataError(
            f"It is damaged: the checksum of {one.filename[:200]} does not fit.",
            where=path,
            remedy="Get it again and compare its size with the publisher's.",
        )
    return data


_ORDERS = {b"little": "<", b"big": ">"}


def _before_zip(path: Path, view: memoryview) -> TorchFile:
    """Magic number, version, a description of the machine, the content, the keys of its storages, and
    these, each after its number of elements.
    """
    at, storages = 0, dict[str, Storage]()
    known = Known(KNOWN.calls, lambda reference: _remembered(storage_of(reference), storages))
    for _ in ("magic number", "version"):
        _, at = unpickled_at(view, at)
    machine, at = unpickled_at(view, at)
    order = "<" if not isinstance(machine, dict) or machine.get("little_endian", True) else ">"
    content, at = unpickled_at(view, at, known)
    keys, at = unpickled_at(view, at)
    places: dict[str, memoryview] = {}
    for key in keys:
        (count,) = struct.unpack(f"{order}q", view[at : at + 8])
        size = count * storages[key].width
        if count < 0 or at + 8 + size > len(view):
            raise BadPickle(f"it breaks off at byte {len(view):,}, in its numbers")
        places[key] = view[at + 8 : at + 8 + size]
        at += 8 + size
    return TorchFile(path, content, places.__getitem__, order)


def _remembered(found: Any, storages: dict[str, Storage]) -> Any:
    if isinstance(found, Storage):
        storages.setdefault(found.key, found)
    return found
