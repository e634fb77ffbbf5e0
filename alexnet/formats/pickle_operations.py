"""The operations of a pickle, as Python's `pickletools` describes them; none imports or calls."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Callable
from typing import Any

from alexnet.formats.pickle_machine import LONG_TEXT, BadPickle, Machine, Named, Unknown, as_text

_MAX_STEPS = 5 * 10**6  # operations; a checkpoint of 2012 has about 10^5, most of them its log
_NEWEST = 5  # protocol


def run(machine: Machine) -> Any:
    """Carry out every operation: what is left on the stack at the end; raises BadPickle."""
    for _ in range(_MAX_STEPS):
        code = machine.view[machine.at]
        machine.at += 1
        if code == ord("."):
            return machine.stack.pop()
        operation = _OPERATIONS.get(code)
        if operation is None:
            raise BadPickle(f"it has the operation {code:#04x}")
        operation(machine)
    raise BadPickle(f"it has more than {_MAX_STEPS:,} operations")


def _bytes(machine: Machine, size: int) -> None:
    machine.push(machine.take(size))


def _unicode(machine: Machine, size: int) -> None:
    machine.push(bytes(machine.take(size)).decode("utf-8", "surrogatepass"))


def _long(machine: Machine, size: int) -> None:
    if size > LONG_TEXT:
        raise BadPickle("a number of thousands of digits")
    machine.push(int.from_bytes(machine.take(size), "little", signed=True))


def _quoted(machine: Machine) -> None:
    """A text in quotes, as protocol 0 has it, with its escapes."""
    line = machine.long_line().strip()
    if len(line) < 2 or line[0] != line[-1] or line[0] not in "'\"":
        raise BadPickle("a text without quotes")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an escape that is none stays as it is
        machine.push(line[1:-1].encode("latin-1").decode("unicode_escape"))


def _int_line(machine: Machine) -> None:
    line = machine.line()
    machine.push({"00": False, "01": True}.get(line) if line in ("00", "01") else int(line[:20]))


def _long_line(machine: Machine) -> None:
    machine.push(int(machine.line().rstrip("L")))


def _name(machine: Machine) -> None:
    machine.push(Named(machine.line(), machine.line()))


def _stack_name(machine: Machine) -> None:
    name, module = machine.pop(), machine.pop()
    machine.push(Named(as_text(module), as_text(name)))


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


def _reduce_by_name(machine: Machine) -> None:
    """A call with arguments by name, which are let go."""
    machine.pop()
    _reduce(machine)


def _reference(machine: Machine) -> None:
    """What a persistent id stands for, which is not in the pickle."""
    found = machine.pop()
    if machine.known.reference is None:
        raise BadPickle("it refers to what is not in it")
    machine.push(machine.known.reference(found))


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


def _protocol(machine: Machine) -> None:
    if (number := machine.number("<B")) > _NEWEST:
        raise BadPickle(f"it is of protocol {number}")


def _frame(machine: Machine) -> None:
    machine.take(8)  # its length, which is not needed


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
# persistent ids as lines, extension codes, buffers out of band.
_OPERATIONS: dict[int, Callable[[Machine], None]] = {
    ord(code): operation
    for code, operation in {
        "\x80": _protocol,
        "\x95": _frame,  # a frame's length
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
        "\x92": _reduce_by_name,
        "Q": _reference,
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
