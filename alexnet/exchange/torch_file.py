"""The tensors in a file of `torch.save`, read without PyTorch's unpickler: nothing is built or run.

The file is a zip archive, `data.pkl` with everything in it but the numbers, and these as `data/0` ...;
before PyTorch 1.6 it was five pickles and the numbers one after another. A tensor in the pickle is a call
of one of a few functions of PyTorch's; of each we take what it says of place, shape and strides, and read
the numbers once they are asked for. Everything else becomes a name.
"""

from __future__ import annotations

import mmap
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from alexnet.base.errors import DataError
from alexnet.formats.pickle_machine import BadPickle, Known, Machine, Named, Unknown, as_text
from alexnet.formats.pickles import unpickled_at

_MAGIC = bytes.fromhex("8a0a6cfc9c46f9206aa85019")  # the number that files before 1.6 begin with
_MAGIC_WITHIN = 32  # bytes: before it are the pickle's protocol and, of late ones, a frame's length
_ZIP = b"PK\x03\x04"
_LOCAL_HEADER = struct.Struct("<26xHH")  # of a file in a zip archive: the lengths of name and extra
# What a storage holds, by the name of its class, and how many bytes a number has.
_STORAGES = {
    **{"Double": ("float64", 8), "Float": ("float32", 4), "Half": ("float16", 2)},
    **{
        "BFloat16": ("bfloat16", 2),
        "Long": ("int64", 8),
        "Int": ("int32", 4),
        "Short": ("int16", 2),
    },
    **{
        "Char": ("int8", 1),
        "Byte": ("uint8", 1),
        "Bool": ("bool", 1),
        "ComplexFloat": ("complex64", 8),
    },
    **{"ComplexDouble": ("complex128", 16), "QInt8": ("qint8", 1), "QUInt8": ("quint8", 1)},
    **{"QInt32": ("qint32", 4), "QUInt4x2": ("quint4x2", 1), "QUInt2x4": ("quint2x4", 1)},
    **{"Untyped": ("bytes", 1), "_Untyped": ("bytes", 1)},
}
_FLOATS = {"float64": "f8", "float32": "f4", "float16": "f2", "bfloat16": "u2"}


class Storage(Unknown):
    """A row of numbers that lies outside of the pickle; `first` is the one that the row begins with."""

    __slots__ = ("count", "first", "key", "kind", "width")

    def __init__(self, key: str, kind: str, width: int, count: int, first: int = 0) -> None:
        super().__init__("torch.Storage")
        self.key, self.kind, self.width, self.count, self.first = key, kind, width, count, first


class StoredTensor(Unknown):
    """What the pickle says of a tensor; `kind` is PyTorch's name of its type, as `float32`."""

    __slots__ = ("first", "kind", "shape", "storage", "strides")

    def __init__(
        self,
        storage: Storage,
        kind: str,
        first: int,
        shape: tuple[int, ...],
        strides: tuple[int, ...],
    ) -> None:
        super().__init__("torch.Tensor")
        self.storage, self.kind = storage, kind
        self.first, self.shape, self.strides = first, shape, strides

    @property
    def is_whole_number(self) -> bool:
        """Whether it is one whole number: a count of something, and no weights."""
        is_whole = self.kind.lstrip("u").startswith("int") or self.kind == "bool"
        return is_whole and prod(self.shape) == 1


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
    content, _ = unpickled_at(member(name), known=_KNOWN)
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
    known = Known(_KNOWN.calls, lambda reference: _remembered(_storage(reference), storages))
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


# --- What is named in the pickle ------------------------------------------------------------------


def _storage(reference: Any) -> Any:
    """The storage that a persistent id stands for; a name for a module, which old files have there."""
    if not isinstance(reference, tuple) or as_text(reference[0]) != "storage":
        return Unknown("a persistent id")
    kind, key, _, count, *more = reference[1:]
    name = kind.parts[1].removesuffix("Storage") if isinstance(kind, Named) else ""
    if name not in _STORAGES or type(count) is not int or count < 0:
        raise BadPickle(f"a storage of the unknown type {getattr(kind, 'name', kind)!r}"[:200])
    about, first = _STORAGES[name], 0
    if more and isinstance(more[0], tuple):  # a part of it, as (its key, first number, count)
        _, first, count = more[0]
        if not all(type(one) is int and one >= 0 for one in (first, count)):
            raise BadPickle("a part of a storage without a place")
    return Storage(as_text(key), *about, count, first)


def _tensor(machine: Machine, arguments: Any) -> Any:
    """Storage, place of the first number, shape, strides; then what does not change the numbers, but for
    a promise that they are to be negated.
    """
    storage, first, shape, strides, *more = arguments
    if not isinstance(storage, Storage) or any(one for one in more[2:] if _is_promise(one)):
        return Unknown("torch.Tensor of an unusual kind")
    numbers = (first, *shape, *strides)
    if not all(type(one) is int and one >= 0 for one in numbers) or len(shape) != len(strides):
        raise BadPickle("a tensor without a shape")
    return StoredTensor(storage, storage.kind, first, tuple(shape), tuple(strides))


def _tensor_of_kind(machine: Machine, arguments: Any) -> Any:
    """As `_tensor`, with a type that has no storage of its own."""
    found = _tensor(machine, (*arguments[:6], *arguments[7:]))
    kind = arguments[6]
    if isinstance(found, StoredTensor) and isinstance(kind, Named):
        found.kind = kind.parts[1]
    return found


def _is_promise(metadata: Any) -> bool:
    return isinstance(metadata, dict) and any(metadata.get(one) for one in ("neg", "conj"))


def _first(machine: Machine, arguments: Any) -> Any:
    """What a parameter, or a tensor of another device, is made of."""
    return arguments[0] if arguments else Unknown("a tensor of nothing")


def _of_type(machine: Machine, arguments: Any) -> Any:
    """A tensor with attributes, or of a class of its own: the function that makes it, and for what."""
    return machine.call(arguments[0], arguments[2])


_Calls = Mapping[tuple[str, str], Callable[[Machine, Any], Any]]
_CALLS: _Calls = {
    ("torch._utils", "_rebuild_tensor"): _tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_tensor_v3"): _tensor_of_kind,
    ("torch._utils", "_rebuild_parameter"): _first,
    ("torch._utils", "_rebuild_parameter_with_state"): _first,
    ("torch._utils", "_rebuild_device_tensor_from_cpu_tensor"): _first,
    ("torch._utils", "_rebuild_device_tensor_from_numpy"): _first,
    ("torch._utils", "_rebuild_xla_tensor"): _first,
    ("torch.nn.parameter", "Parameter"): _first,
    ("torch.nn.parameter", "Buffer"): _first,
    ("torch.autograd.variable", "Variable"): _first,
    ("torch._tensor", "_rebuild_from_type"): _of_type,
    ("torch._tensor", "_rebuild_from_type_v2"): _of_type,
    ("torch.tensor", "_rebuild_from_type"): _of_type,
    ("torch", "Size"): _first,
}
_KNOWN = Known(_CALLS, _storage)
