"""What the operations of a pickle work on: a stack of values, none of which is what a pickle asks for.

Python's unpickler imports and calls what a pickle names. Here numbers, texts, lists, tuples and
dictionaries become themselves, NumPy's arrays are made by us from their bytes once type, shape and length
agree, and everything else that is named or called becomes an `Unknown`, which has the name and nothing
behind it. No name is ever looked up. A program's own reader may say what a few names and references
stand for (`Known`): it makes values of its own of them, and is handed nothing but such values.

No length is trusted: contents are views of the file, and what has to be copied is copied once.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

LONG_TEXT = 4096  # bytes: what is longer is contents, and stays a view of the file
_LONG_KEY = 256  # characters: what is longer is no name of anything here
_LARGE_KEY = 2**31  # whole numbers from here on are no keys
_MOST_KEYS = 10**5  # of a dictionary
_LINE = 64  # bytes of a line that are looked at first
_COPIES = 4  # of a pickle's bytes: from a line, from a text, and to spare
_DIMENSIONS = 8  # of an array
_KINDS = {"f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"}
_CORES = ("numpy.core.multiarray", "numpy._core.multiarray")
_RECONSTRUCT = {(core, "_reconstruct") for core in _CORES}  # makes an empty array
_FROM_BUFFER = {(core, "_frombuffer") for core in ("numpy.core.numeric", "numpy._core.numeric")}
_SCALAR = {(core, "scalar") for core in _CORES}


class Unknown:
    """Something named in a pickle that is no number, text, list, dictionary or array.

    `entries` are what is set in it as in a dictionary, which it may be a kind of.
    """

    __slots__ = ("entries", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.entries: dict[Any, Any] | None = None


class Named(Unknown):
    """A name that a pickle asks for: nothing is known of it but its two parts."""

    __slots__ = ("parts",)

    def __init__(self, module: str, name: str) -> None:
        super().__init__(f"{module}.{name}")
        self.parts = (module, name)


class _Kind(Unknown):
    """A NumPy dtype of numbers."""

    __slots__ = ("dtype",)

    def __init__(self, code: str) -> None:
        super().__init__("numpy.dtype")
        self.dtype = np.dtype(code)


class Array(Unknown):
    """A NumPy array: empty until its state comes."""

    __slots__ = ("array",)

    def __init__(self) -> None:
        super().__init__("numpy.ndarray")
        self.array: np.ndarray | None = None


class BadPickle(Exception):
    """What is wrong with a pickle."""


@dataclass(frozen=True)
class Known:
    """What a program's pickles name: `calls`, made with the machine and the arguments, and `reference`,
    which says what a persistent id stands for.
    """

    calls: Mapping[tuple[str, str], Callable[[Machine, Any], Any]] = field(default_factory=dict)
    reference: Callable[[Any], Any] | None = None


class Machine:
    """One pickle, a stack and a memory for its operations; `at` is the byte it has come to."""

    def __init__(self, view: memoryview, at: int = 0, known: Known | None = None) -> None:
        self.view, self.at, self.known = view, at, known or Known()
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.left = _COPIES * (len(view) - at)  # bytes and pairs that may still be copied

    # Reading what stands behind an operation.

    def take(self, size: int) -> memoryview:
        """The next `size` bytes, which are there."""
        if not 0 <= size <= len(self.view) - self.at:
            raise BadPickle(f"it says that {size:,} bytes follow, and breaks off before")
        self.at += size
        return self.view[self.at - size : self.at]

    def number(self, form: str) -> int:
        """A whole number as `struct` has it."""
        return int(struct.unpack(form, self.take(struct.calcsize(form)))[0])

    def line(self, longest: int = LONG_TEXT) -> str:
        """The text up to the end of the line, Latin-1."""
        begin, step = self.at, _LINE
        while self.at - begin <= longest:
            part = bytes(self.view[self.at : self.at + step])
            if not part:
                raise BadPickle("it breaks off in a line")
            end = part.find(b"\n")
            self.at += end + 1 if end >= 0 else len(part)
            if end >= 0:
                return bytes(self.view[begin : self.at - 1]).decode("latin-1")
            step *= 2
        raise BadPickle("a line without an end")

    def long_line(self) -> str:
        """A line of any length, as contents are before protocol 1."""
        found = self.line(len(self.view))
        self.spend(len(found))
        return found

    # The stack.

    def push(self, value: Any) -> None:
        """Put a value on the stack."""
        self.stack.append(value)

    def pop(self) -> Any:
        """Take the last value, which is above the last mark."""
        if self.marks and len(self.stack) <= self.marks[-1]:
            raise BadPickle("a mark where a value should be")
        return self.stack.pop()

    def items(self) -> list[Any]:
        """Take all values above the last mark, and the mark."""
        place = self.marks.pop()
        found = self.stack[place:]
        del self.stack[place:]
        return found

    # What operations come to.

    def spend(self, size: int) -> None:
        """Allow for a copy of so many bytes or pairs: not again each time that they are named."""
        self.left -= size
        if self.left < 0:
            raise BadPickle("it copies what it has again and again")

    def remember(self, key: int) -> None:
        """Number the last value."""
        self.memo[key] = self.stack[-1]

    def call(self, function: Any, arguments: Any) -> Any:
        """What a call would give, if it is one of those that are known; nothing of Python's is called."""
        if not isinstance(function, Named) or not isinstance(arguments, tuple):
            return Unknown("a call")
        if known := self.known.calls.get(function.parts):
            return known(self, arguments)
        if function.parts in _RECONSTRUCT:
            return Array()
        if function.parts == ("numpy", "dtype"):
            code = as_text(arguments[0])
            return _Kind(code) if code.lstrip("<>=|") in _KINDS else Unknown(f"numpy.dtype {code}")
        if function.name in ("__builtin__.bytes", "builtins.bytes") and not arguments:
            return b""  # as Python 3 writes it for Python 2
        if function.parts in _FROM_BUFFER:  # an array at once, in protocol 5
            content, kind, shape, order = arguments
            made = Array()
            if isinstance(kind, _Kind):
                made.array = self.array(kind, shape, order == "F", content)
            return made
        if function.parts in _SCALAR:
            kind, content = arguments
            if not isinstance(kind, _Kind):
                return Unknown("numpy.generic")
            return self.array(kind, (), False, content)[()]
        if function.parts == ("_codecs", "encode"):  # bytes, as Python 3 writes them for Python 2
            text, coding = arguments
            if coding != "latin1" or not isinstance(text, str):
                return Unknown(function.name)
            self.spend(len(text))
            return text.encode("latin-1")
        if function.parts == ("collections", "OrderedDict"):
            found: dict[Any, Any] = {}
            for pair in arguments[0] if arguments else ():
                self.spend(1)
                if not isinstance(pair, list | tuple) or len(pair) != 2:
                    raise BadPickle("a dictionary of something else than pairs")
                _set(found, *pair)
            return found
        return Unknown(function.name)

    def build(self, state: Any) -> None:
        """Give the last value its state, if it is an array or a dtype; attributes are let go."""
        target = self.stack[-1]
        if isinstance(target, Array):
            _, shape, kind, in_columns, content = state
            if isinstance(kind, _Kind):
                target.array = self.array(kind, shape, in_columns, content)
        elif isinstance(target, _Kind) and isinstance(state, tuple) and len(state) > 1:
            if as_text(state[1]) == ">":
                target.dtype = target.dtype.newbyteorder(">")
        elif not isinstance(target, Unknown | dict):
            raise BadPickle("a state for something that has none")

    def array(self, kind: _Kind, shape: Any, in_columns: Any, content: Any) -> np.ndarray:
        """An array over the bytes of the pickle, if they are as many as its type and shape say."""
        if not isinstance(shape, tuple) or not all(type(n) is int and n >= 0 for n in shape):
            raise BadPickle("an array without a shape")
        if len(shape) > _DIMENSIONS:
            raise BadPickle(f"an array of {len(shape)} dimensions")
        if isinstance(content, str):
            self.spend(len(content))
            content = content.encode("latin-1")
        if not isinstance(content, bytes | memoryview):
            raise BadPickle("an array without bytes")
        if math.prod(shape) * kind.dtype.itemsize != len(content):
            told = " x ".join(map(str, shape))[:200]
            raise BadPickle(f"an array of {told} {kind.dtype} with {len(content):,} bytes")
        flat = np.frombuffer(content, kind.dtype)
        return flat.reshape(shape, order="F" if in_columns else "C")

    def append(self, values: list[Any]) -> None:
        """Lengthen the list that is the last value."""
        target = self.stack[-1]
        if isinstance(target, list):
            target.extend(values)
        elif not isinstance(target, Unknown):
            raise BadPickle("something is added to what is no list")

    def set_items(self, values: list[Any]) -> None:
        """Fill the dictionary that is the last value with keys and values in turn."""
        target = self.stack[-1]
        if len(values) % 2 or not isinstance(target, dict | Unknown):
            raise BadPickle("something is set in what is no dictionary")
        if isinstance(target, Unknown):
            target.entries = target.entries or {}
            target = target.entries
        for place in range(0, len(values), 2):
            _set(target, values[place], values[place + 1])


def _set(target: dict[Any, Any], key: Any, value: Any) -> None:
    """Under short texts and small whole numbers only; what has another key is left out.

    Large numbers can be chosen so that all have one hash, and anything else may take its time, or the
    stack. Raises BadPickle where there are more keys than any checkpoint has.
    """
    if isinstance(key, str | bytes | memoryview):
        if len(key) > _LONG_KEY:
            return
        key = as_text(key)
    elif not isinstance(key, int) or abs(key) >= _LARGE_KEY:
        return
    target[key] = value
    if len(target) > _MOST_KEYS:
        raise BadPickle(f"a dictionary of more than {_MOST_KEYS:,} keys")


def as_text(value: Any) -> str:
    """The beginning of a text, Latin-1 where it is of bytes; empty for anything else."""
    if isinstance(value, memoryview | bytes):
        return bytes(value[:LONG_TEXT]).decode("latin-1")
    return value if isinstance(value, str) else ""
