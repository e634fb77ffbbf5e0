"""What a pickle of `torch.save` says of tensors: a call of one of a few functions of PyTorch's for each.

None of them is run: of each we take what it says of place, shape and strides. Everything else becomes a
name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import Any

from alexnet.formats.pickle_machine import BadPickle, Known, Machine, Named, Unknown, as_text

# What a storage holds, by the name of its class, and how many bytes a number has.
_STORAGES = {
    "Double": ("float64", 8),
    "Float": ("float32", 4),
    "Half": ("float16", 2),
    "BFloat16": ("bfloat16", 2),
    "Long": ("int64", 8),
    "Int": ("int32", 4),
    "Short": ("int16", 2),
    "Char": ("int8", 1),
    "Byte": ("uint8", 1),
    "Bool": ("bool", 1),
    "ComplexFloat": ("complex64", 8),
    "ComplexDouble": ("complex128", 16),
    "QInt8": ("qint8", 1),
    "QUInt8": ("quint8", 1),
    "QInt32": ("qint32", 4),
    "QUInt4x2": ("quint4x2", 1),
    "QUInt2x4": ("quint2x4", 1),
    "Untyped": ("bytes", 1),
    "_Untyped": ("bytes", 1),
}


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


def storage_of(reference: Any) -> Any:
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
KNOWN = Known(_CALLS, storage_of)
