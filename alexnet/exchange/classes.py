"""Lists of classes that other programs keep beside their weights: names, or synsets and their words.

They come as lines, as a dictionary or list in JSON or as Python prints it, or in a pickle. A dictionary
says itself which output each name is of, either way around.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from alexnet.base.errors import DataError, IncompatibleError, UsageError
from alexnet.base.names import distinct
from alexnet.formats.pickles import is_pickle, read_pickle

_SYNSET = re.compile(r"(n\d{8})(?:[ \t]+(.*))?")
_NUMBERED = re.compile(r"(\d+)(?:\s*[:,=]\s*|\s+)(\S.*)")  # `0: tench`, `0 tench`, `0,tench`
_MOST_BYTES = 2**24  # of a list of classes
# Where a dictionary has the list or the dictionary of classes in it: ours, and Hugging Face's.
_INSIDE = (
    "classes",
    "id2label",
    "label_names",
    "class_names",
    "class_to_idx",
    "idx_to_class",
    "names",
)
_READ = (
    'Give a name on each line, or JSON: ["cat", "dog"], {"0": "cat", "1": "dog"} '
    'or {"cat": 0, "dog": 1}.'
)

Named = tuple[str, str]  # a class and its title


def class_names(given: Path | None, count: int) -> tuple[tuple[str, ...], tuple[str, ...], str]:
    """Names, titles, and a line on where they are from: of a file, or `class 0` and so on.

    A file has a name on each line, or a synset and its words, or a list or dictionary of them. Names that
    are there more than once get the numbers of their outputs. Raises DataError for names that are empty
    or cannot be shown, and for what does not say which output is which; IncompatibleError for another
    number of them than `count`.
    """
    if given is None:
        names = tuple(f"class {n}" for n in range(count))
        line = f"No names of classes: called {names[0]} to {names[-1]}; see --classes."
        return names, names, line
    if not given.is_file():
        raise UsageError("There is no such list of classes.", where=given)
    pairs = _pairs(given)
    if len(pairs) != count:
        raise IncompatibleError(
            f"The weights have {count:,} outputs, and the list has {len(pairs):,} classes.",
            where=given,
            remedy="Give the list that the weights were trained with, a line for each output.",
        )
    if not all(one and one.isprintable() for pair in pairs for one in pair):
        raise DataError("It has names that cannot be shown.", where=given)
    synsets = [name for name, title in pairs if _SYNSET.fullmatch(name) and name != title]
    if twice := next((name for name in synsets if synsets.count(name) > 1), ""):
        raise DataError(f"It has the class {twice!r} more than once.", where=given)
    names = distinct([name for name, _ in pairs])
    titles = distinct([title for _, title in pairs])
    alike = [new for new, (_, old) in zip(titles, pairs, strict=True) if new != old]
    told = f" Of one name, and told apart by their numbers: {', '.join(alike)}." if alike else ""
    return names, titles, f"Classes: {given.name}.{told}"


def classes_text(names: Sequence[str], titles: Sequence[str]) -> str:
    """A list that `class_names` and Caffe's users read: titles stand behind the names of synsets."""
    rows = zip(names, titles, strict=True)
    return "".join(
        f"{name} {title}\n" if _SYNSET.fullmatch(name) and title != name else f"{name}\n"
        for name, title in rows
    )


def _pairs(path: Path) -> list[Named]:
    """Every output's class and title, in order."""
    if path.stat().st_size > _MOST_BYTES:
        raise DataError(f"A list of classes of more than {_MOST_BYTES:,} bytes.", where=path)
    if is_pickle(path):
        return _of_collection(read_pickle(path), path)
    try:
        text = path.read_bytes().decode("utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise DataError(f"Not UTF-8: {error}.", where=path) from None
    if text[:1] in ("{", "[") or path.suffix.lower() == ".json":
        return _of_collection(_parsed(text, path), path)
    lines = [line.strip() for line in text.splitlines()]
    numbered = [_NUMBERED.fullmatch(line) for line in lines]
    if lines and all(numbered):
        found = [(int(one[1]), one[2].rstrip(",").strip("\"'")) for one in numbered if one]
        if names := _in_order([number for number, _ in found], [name for _, name in found]):
            lines = names
    return [pair for line in lines if (pair := _pair(line))]


def _parsed(text: str, path: Path) -> Any:
    """The value of JSON, or of what Python prints: nothing in it is computed."""
    readers: tuple[Callable[[str], Any], ...] = (json.loads, ast.literal_eval)
    for read in readers:
        try:
            return read(text)
        except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
            continue
    raise DataError(
        "It begins as a dictionary or a list does, and cannot be read as one.",
        where=path,
        remedy=_READ,
    )


def _of_collection(found: Any, path: Path) -> list[Named]:
    """The classes of a list, or of a dictionary from numbers to names or from names to numbers."""
    if isinstance(found, Mapping):
        inside = next((key for key in _INSIDE if isinstance(found.get(key), Mapping | list)), "")
        if inside == "classes" and isinstance(titles := found.get("titles"), list):
            found = [list(pair) for pair in zip(found[inside], titles, strict=False)]
        found = found[inside] if inside and isinstance(found, Mapping) else found
    if isinstance(found, Mapping):
        by_number = _by_number(found)
        if by_number is None:
            raise DataError(
                f"Its {len(found):,} entries are not one for each output, 0 to {len(found) - 1:,}.",
                where=path,
                remedy=_READ,
            )
        found = by_number
    pairs = [_pair(one) for one in found] if isinstance(found, list | tuple) else [None]
    if None in pairs:
        raise DataError("It holds something else than names of classes.", where=path, remedy=_READ)
    return [pair for pair in pairs if pair]


def _by_number(found: Mapping[Any, Any]) -> list[Any] | None:
    """The names of outputs 0, 1, 2 ..., whichever of keys and values are the numbers, or None."""
    may_be_names = not any(type(one) is int for one in found.values())  # names may be digits
    if may_be_names and (names := _in_order([_number(key) for key in found], found.values())):
        return names
    return _in_order([_number(one) for one in found.values()], found)


def _in_order(numbers: Sequence[int | None], names: Iterable[Any]) -> list[Any] | None:
    """Names in the order of their numbers, if these are 0, 1, 2 ..., each once."""
    by_number = dict(zip(numbers, names, strict=True))
    wanted = range(len(numbers))
    return [by_number[n] for n in wanted] if by_number.keys() == set(wanted) else None


def _number(value: Any) -> int | None:
    """A whole number, or a text of its digits."""
    if type(value) is int:
        return value
    is_digits = isinstance(value, str) and len(value) < 10 and value.isascii() and value.isdigit()
    return int(value) if is_digits else None


def _pair(value: Any) -> Named | None:
    """A class and its title: a name, a synset and words in one text, or both in a list; else None."""
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    if isinstance(value, list | tuple):
        is_named = len(value) == 2 and all(isinstance(one, str) for one in value)
        return (value[0].strip(), value[1].strip()) if is_named else None
    if not isinstance(value, str):
        return None
    found = _SYNSET.fullmatch(value.strip())
    return (found[1], found[2] or found[1]) if found else (value.strip(), value.strip())
