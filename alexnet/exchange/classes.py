"""Lists of classes that other programs keep beside their weights: names, or synsets and their words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from alexnet.base.errors import DataError, IncompatibleError, UsageError
from alexnet.formats.pickles import is_pickle, read_pickle

_SYNSET = re.compile(r"(n\d{8})(?:[ \t]+(.*))?")
_MOST_BYTES = 2**24  # of a list of classes


def class_names(given: Path | None, count: int) -> tuple[tuple[str, ...], tuple[str, ...], str]:
    """Names, titles, and a line on where they are from: of a file, or `class 0` and so on.

    A file has a name on each line, or a synset and its words, or is a pickle with `label_names`.
    Raises DataError for names that are empty, twice there or cannot be shown, IncompatibleError for
    another number of them than `count`.
    """
    if given is None:
        names = tuple(f"class {n}" for n in range(count))
        return (
            names,
            names,
            f"No names of classes: called {names[0]} to {names[-1]}; see --classes.",
        )
    if not given.is_file():
        raise UsageError("There is no such list of classes.", where=given)
    lines = _lines(given)
    pairs = [_SYNSET.fullmatch(line) for line in lines]
    names = tuple(pair[1] if pair else line for pair, line in zip(pairs, lines, strict=True))
    titles = tuple(
        (pair[2] or pair[1]) if pair else line for pair, line in zip(pairs, lines, strict=True)
    )
    if len(names) != count:
        raise IncompatibleError(
            f"The weights have {count:,} outputs, and the list has {len(names):,} classes.",
            where=given,
            remedy="Give the list that the weights were trained with, a line for each output.",
        )
    if not all(name and name.isprintable() for name in (*names, *titles)):
        raise DataError("It has names that cannot be shown.", where=given)
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f"It has the class {twice!r} more than once.", where=given)
    return names, titles, f"Classes: {given.name}."


def classes_text(names: Sequence[str], titles: Sequence[str]) -> str:
    """A list that `class_names` and Caffe's users read: titles stand behind the names of synsets."""
    rows = zip(names, titles, strict=True)
    return "".join(
        f"{name} {title}\n" if _SYNSET.fullmatch(name) and title != name else f"{name}\n"
        for name, title in rows
    )


def _lines(path: Path) -> list[str]:
    if path.stat().st_size > _MOST_BYTES:
        raise DataError(f"A list of classes of more than {_MOST_BYTES:,} bytes.", where=path)
    if is_pickle(path):
        found = read_pickle(path)
        names = found.get("label_names") if isinstance(found, dict) else None
        if not isinstance(names, list) or not all(isinstance(n, str | bytes) for n in names):
            raise DataError("It has no list of label_names.", where=path)
        return [n if isinstance(n, str) else n.decode("latin-1") for n in names]
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"Not UTF-8: {error}.", where=path) from None
    return [line.strip() for line in text.strip().splitlines()]
