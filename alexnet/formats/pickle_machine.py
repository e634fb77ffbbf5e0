"""A machine that goes through the operations of a pickle and carries out none of what they ask for.

Python's unpickler imports and calls what a pickle names. Here numbers, texts, lists, tuples and
dictionaries become themselves, NumPy's arrays are made by us from their bytes once type, shape and length
agree, and everything else that is named or called becomes an `Unknown`, which has the name and nothing
behind it. No name is ever looked up.

No length is trusted: contents are views of the file, and what has to be copied is copied once.
"""

from __future__ import annotations

import math
import struct
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

LONG_TEXT = 4096  # bytes: what is longer is contents, and stays a view of the file
_MAX_STEPS = 5 * 10**6  # operations; a checkpoint of 2012 has about 10^5, most of them its log
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
    """Something named in a pickle that is no number, text, list, dictionary or array."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


class _Named(Unknown):
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


class Bad(Exception):
    """What is wrong with a pickle."""


class Machine:
    """Carries out the operations of one pickle on a stack; `at` is the byte it has come to."""

    def __init__(self, view: memoryview) -> None:
        self.view, self.at = view, 0
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.left = _COPIES * len(view)  # bytes and pairs that may still be copied

    def run(self) -> Any:
        """What is left on the stack at the end."""
        for _ in range(_MAX_STEPS):
            code = self.view[self.at]
            self.at += 1
            if code == ord("."):
                return self.stack.pop()
            operation = _OPERATIONS.get(code)
            if operation is None:
                raise Bad(f"it has the operation {code:#04x}")
            operation(self)
        raise Bad(f"it has more than {_MAX_STEPS:,} operations")

    # Reading what stands behind an operation.

    def take(self, size: int) -> memoryview:
        """The next `size` bytes, which are there."""
        if not 0 <= size <= len(self.view) - self.at:
            raise Bad(f"it says that {size:,} bytes follow, and breaks off before")
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
                raise Bad("it breaks off in a line")
            end = part.find(b"\n")
            self.at += end + 1 if end >= 0 else len(part)
            if end >= 0:
                return bytes(self.view[begin : self.at - 1]).decode("latin-1")
            step *= 2
        raise Bad("a line without an end")

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
            raise Bad("a mark where a value should be")
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
            raise Bad("it copies what it has again and again")

    def remember(self, key: int) -> None:
        """Number the last value."""
        self.memo[key] = self.stack[-1]

    def call(self, function: Any, arguments: Any) -> Any:
        """What a call would give, if it is one of four that are known; nothing is called."""
        if not isinstance(function, _Named) or not isinstance(arguments, tuple):
            return Unknown("a call")
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
                raise Bad("a text in an unknown coding")
            self.spend(len(text))
            return text.encode("latin-1")
        if function.parts == ("collections", "OrderedDict"):
            found: dict[Any, Any] = {}
            for pair in arguments[0] if arguments else ():
                self.spend(1)
                if not isinstance(pair, list | tuple) or len(pair) != 2:
                    raise Bad("a dictionary of something else than pairs")
                _set(found, *pair)
            return found
        return Unknown(function.name)

    def build(self, state: Any) -> None:
        """Give the last value its state, if it is an array or a dtype."""
        target = self.stack[-1]
        if isinstance(target, Array):
            _, shape, kind, in_columns, content = state
            if isinstance(kind, _Kind):
                target.array = self.array(kind, shape, in_columns, content)
        elif isinstance(target, _Kind) and isinstance(state, tuple) and len(state) > 1:
            if as_text(state[1]) == ">":
                target.dtype = target.dtype.newbyteorder(">")
        elif not isinstance(target, Unknown):
            raise Bad("a state for something that has none")

    def array(self, kind: _Kind, shape: Any, in_columns: Any, content: Any) -> np.ndarray:
        """An array over the bytes of the pickle, if they are as many as its type and shape say."""
        if not isinstance(shape, tuple) or not all(type(n) is int and n >= 0 for n in shape):
            raise Bad("an array without a shape")
        if len(shape) > _DIMENSIONS:
            raise Bad(f"an array of {len(shape)} dimensions")
        if isinstance(content, str):
            self.spend(len(content))
            content = content.encode("latin-1")
        if not isinstance(content, bytes | memoryview):
            raise Bad("an array without bytes")
        if math.prod(shape) * kind.dtype.itemsize != len(content):
            told = " x ".join(map(str, shape))[:200]
            raise Bad(f"an array of {told} {kind.dtype} with {len(content):,} bytes")
        flat = np.frombuffer(content, kind.dtype)
        return flat.reshape(shape, order="F" if in_columns else "C")

    def append(self, values: list[Any]) -> None:
        """Lengthen the list that is the last value."""
        target = self.stack[-1]
        if isinstance(target, list):
            target.extend(values)
        elif not isinstance(target, Unknown):
            raise Bad("something is added to what is no list")

    def set_items(self, values: list[Any]) -> None:
        """Fill the dictionary that is the last value with keys and values in turn."""
        target = self.stack[-1]
        if len(values) % 2 or not isinstance(target, dict | Unknown):
            raise Bad("something is set in what is no dictionary")
        if isinstance(target, dict):
            for place in range(0, len(values), 2):
                _set(target, values[place], values[place + 1])


def _set(target: dict[Any, Any], key: Any, value: Any) -> None:
    """Under short texts and small whole numbers only; what has another key is left out.

    Large numbers can be chosen so that all have one hash, and anything else may take its time, or the
    stack. Raises Bad where there are more keys than any checkpoint has.
    """
    if isinstance(key, str | bytes | memoryview):
        if len(key) > _LONG_KEY:
            return
        key = as_text(key)
    elif not isinstance(key, int) or abs(key) >= _LARGE_KEY:
        return
    target[key] = value
    if len(target) > _MOST_KEYS:
        raise Bad(f"a dictionary of more than {_MOST_KEYS:,} keys")


def as_text(value: Any) -> str:
    if isinstance(value, memoryview | bytes):
        return bytes(value[:LONG_TEXT]).decode("latin-1")
    return value if isinstance(value, str) else ""


def _bytes(machine: Machine, size: int) -> None:
    machine.push(machine.take(size))


def _unicode(machine: Machine, size: int) -> None:
    machine.push(bytes(machine.take(size)).decode("utf-8", "surrogatepass"))


def _long(machine: Machine, size: int) -> None:
    if size > LONG_TEXT:
        raise Bad("a number of thousands of digits")
    machine.push(int.from_bytes(machine.take(size), "little", signed=True))


def _quoted(machine: Machine) -> None:
    """A text in quotes, as protocol 0 has it, with its escapes."""
    line = machine.long_line().strip()
    if len(line) < 2 or line[0] != line[-1] or line[0] not in "'\"":
        raise Bad("a text without quotes")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an escape that is none stays as it is
        machine.push(line[1:-1].encode("latin-1").decode("unicode_escape"))


def _int_line(machine: Machine) -> None:
    line = machine.line()
    machine.push({"00": False, "01": True}.get(line) if line in ("00", "01") else int(line[:20]))


def _long_line(machine: Machine) -> None:
    machine.push(int(machine.line().rstrip("L")))


def _name(machine: Machine) -> None:
    machine.push(_Named(machine.line(), machine.line()))


def _stack_name(machine: Machine) -> None:
    name, module = machine.pop(), machine.pop()
    machine.push(_Named(as_text(module), as_text(name)))


def _instance(machine: Machine) -> None:
    module, name = machine.line(), machine.line()
    machine.items()
    machine.push(Unknown(f"{module}.{name}"))


def _object(machine: Machine) -> None:
    items = machine.items()
    machine.push(machine.call(items[0], tuple(items[1:])))


def _reduce(machine: Machine) -> None:
    arguments = machine.pop()
    machine.push(machine.call(machine.pop(), arguments))


def _last(machine: Machine, count: int) -> None:
    machine.push(tuple(reversed([machine.pop() for _ in range(count)])))


def _set_item(machine: Machine) -> None:
    value, key = machine.pop(), machine.pop()
    machine.set_items([key, value])


def _dictionary(machine: Machine) -> None:
    items = machine.items()
    machine.push({})
    machine.set_items(items)


def _build(machine: Machine) -> None:
    machine.build(machine.pop())


def _drop_to_mark(machine: Machine) -> None:
    machine.items()


def _pop_any(machine: Machine) -> None:
    """Drop the last value, or the last mark where that is on top."""
    if machine.marks and len(machine.stack) == machine.marks[-1]:
        machine.marks.pop()
    else:
        machine.stack.pop()


def _ignored(machine: Machine, size: int) -> None:
    machine.take(size)


def _push(value: Callable[[], Any]) -> Callable[[Machine], None]:
    return lambda machine: machine.push(value())


def _counted(how: Callable[[Machine, int], None], form: str) -> Callable[[Machine], None]:
    """An operation followed by the number of bytes that follow."""
    return lambda machine: how(machine, machine.number(form))


def _put(key: Callable[[Machine], int]) -> Callable[[Machine], None]:
    return lambda machine: machine.remember(key(machine))


def _get(key: Callable[[Machine], int]) -> Callable[[Machine], None]:
    return lambda machine: machine.push(machine.memo[key(machine)])


# What each operation's byte means, as Python's `pickletools` describes them. Left out, and so refused:
# persistent ids, extension codes, buffers out of band.
_OPERATIONS: dict[int, Callable[[Machine], None]] = {
    ord(code): operation
    for code, operation in {
        "\x80": lambda m: _ignored(m, 1),  # the protocol
        "\x95": lambda m: _ignored(m, 8),  # a frame's length
        "(": lambda m: m.marks.append(len(m.stack)),
        "0": _pop_any,
        "1": _drop_to_mark,
        "2": lambda m: m.push(m.stack[-1]),
        "N": _push(lambda: None),
        "\x88": _push(lambda: True),
        "\x89": _push(lambda: False),
        "I": _int_line,
        "L": _long_line,
        "F": lambda m: m.push(float(m.line())),
        "J": lambda m: m.push(m.number("<i")),
        "K": lambda m: m.push(m.number("<B")),
        "M": lambda m: m.push(m.number("<H")),
        "G": lambda m: m.push(struct.unpack(">d", m.take(8))[0]),
        "\x8a": _counted(_long, "<B"),
        "\x8b": _counted(_long, "<i"),
        "S": _quoted,
        "V": lambda m: m.push(m.long_line().encode("latin-1").decode("raw_unicode_escape")),
        "T": _counted(_bytes, "<i"),
        "U": _counted(_bytes, "<B"),
        "B": _counted(_bytes, "<I"),
        "C": _counted(_bytes, "<B"),
        "\x8e": _counted(_bytes, "<Q"),
        "\x96": _counted(_bytes, "<Q"),
        "X": _counted(_unicode, "<I"),
        "\x8c": _counted(_unicode, "<B"),
        "\x8d": _counted(_unicode, "<Q"),
        "]": _push(list),
        "}": _push(dict),
        ")": _push(tuple),
        "\x8f": _push(list),  # a set
        "l": lambda m: m.push(m.items()),
        "t": lambda m: m.push(tuple(m.items())),
        "\x91": lambda m: m.push(m.items()),  # a frozen set
        "\x85": lambda m: _last(m, 1),
        "\x86": lambda m: _last(m, 2),
        "\x87": lambda m: _last(m, 3),
        "a": lambda m: m.append([m.pop()]),
        "e": lambda m: m.append(m.items()),
        "\x90": lambda m: m.append(m.items()),
        "d": _dictionary,
        "s": _set_item,
        "u": lambda m: m.set_items(m.items()),
        "c": _name,
        "\x93": _stack_name,
        "i": _instance,
        "o": _object,
        "R": _reduce,
        "\x81": _reduce,
        "b": _build,
        "p": _put(lambda m: int(m.line()[:10])),
        "q": _put(lambda m: m.number("<B")),
        "r": _put(lambda m: m.number("<I")),
        "\x94": _put(lambda m: len(m.memo)),
        "g": _get(lambda m: int(m.line()[:10])),
        "h": _get(lambda m: m.number("<B")),
        "j": _get(lambda m: m.number("<I")),
    }.items()
}  # fmt: skip
