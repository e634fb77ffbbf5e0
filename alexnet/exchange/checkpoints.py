"""Which of the tensors in a file are the weights, whatever program saved them, and under which names.

The weights are the one dictionary, at any depth and under any name, whose names fit once prefixes are
taken away: those before all names, and those of wrappers (`module.`, `_orig_mod.` ...) wherever they are.
A plain one comes before an averaged one; of two plain ones none is chosen. What is no tensor is passed
over.
"""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from alexnet.base.errors import DataError, UsageError, did_you_mean
from alexnet.exchange.state_names import FEWEST, NAME_SETS, WRAPPERS, is_most_of, place_of
from alexnet.exchange.tensors import is_safetensors, read_tensors
from alexnet.exchange.torch_file import read_torch
from alexnet.exchange.torch_tensors import StoredTensor
from alexnet.formats.pickle_machine import Unknown

TOP = "."  # what a dictionary without a name of its own is called
_COUNTER = "n_averaged"  # what PyTorch's AveragedModel has beside its weights
_DECAY = "decay"  # what others have
_AVERAGED = re.compile(
    r"(?<![a-z])(ema|swa|avg|averaged?|averages|averaging|polyak|shadow)(?![a-z])", re.IGNORECASE
)
_HUMPS = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")  # of modelEma, EMAModel
_DEPTH = 32  # of dictionaries in one another that are looked into
_LISTED = 8  # things passed over that are named


class Weights(NamedTuple):
    """Tensors by names of `kind`, "torchvision" or "alexnet" (left-over ones by their own), the metadata
    of a `.safetensors` file, and lines on where they were and what was done to their names.
    """

    kind: str
    arrays: dict[str, np.ndarray]
    metadata: Mapping[str, str]
    notes: list[str]


@dataclass
class _Candidate:
    """Part of a dictionary whose names are, for the most part, those of a network."""

    kind: str
    label: str
    is_averaged: bool
    values: dict[str, Any]  # by the network's names
    removed: tuple[set[str], set[str]]  # prefixes: before a name, and inside it
    left_over: dict[str, Any] = field(default_factory=dict)  # by their own
    copies: list[str] = field(default_factory=list)  # names of an averaged copy that fit no network

    @property
    def is_whole(self) -> bool:
        return not self.left_over and frozenset(self.values) in NAME_SETS[self.kind]

    @property
    def told(self) -> str:
        """What to call it in a line for people."""
        averaged = " (averaged over steps)" if self.is_averaged else ""
        return f"{'the top' if self.label == TOP else repr(self.label)}{averaged}"


def weights_in(path: Path, key: str = "") -> Weights:
    """The weights of a file of PyTorch or a `.safetensors` file; of several, those that `key` names.

    Raises DataError for damaged files and those without tensors, UsageError where several fit or `key`
    names none of them.
    """
    content, metadata, notes, array = _opened(path)
    places = list(_dictionaries(content))
    found = [one for place in places for one in _candidates(*place)]
    chosen, beside = _choice(found, key, path)
    if chosen is None:
        if not any(_is_tensor(value) for _, entries in places for value in entries.values()) and (
            places != [((), {})]
        ):
            raise _no_tensors(content, path)
        chosen = _largest(places, path)
    named = {**chosen.values, **chosen.left_over}
    arrays = {name: array(name, value) for name, value in named.items()}
    return Weights(
        chosen.kind, arrays, metadata, [*_told(chosen, beside), *notes, *_passed(content)]
    )


def kind_in(path: Path) -> str:
    """Whose names a file's weights have, "torchvision" or "alexnet"; raises DataError."""
    content, *_ = _opened(path)
    places = list(_dictionaries(content))
    found = sorted(
        (one for p in places for one in _candidates(*p)), key=lambda one: not one.is_whole
    )
    if not found:
        return "alexnet" if is_safetensors(path) else "torchvision"
    return found[0].kind


# --- What a file holds ----------------------------------------------------------------------------


def _opened(path: Path) -> tuple[Any, Mapping[str, str], list[str], Any]:
    """A file's content, its metadata, lines on what was converted, and what makes an array of a value."""
    if is_safetensors(path):
        arrays, metadata, notes = read_tensors(path)
        return arrays, metadata, notes, lambda name, value: value
    found, converted = read_torch(path), list[str]()

    def array(name: str, value: Any) -> np.ndarray:
        if isinstance(value, np.ndarray):
            return value
        if not isinstance(value, StoredTensor):
            raise DataError(f"{name[:200]!r} is no plain tensor.", where=path)
        if value.kind == "bfloat16" and not converted:
            converted.append("Stored as bfloat16; converted to float32.")
        return found.array(name, value)

    return found.content, {}, converted, array


def _dictionaries(content: Any) -> Iterator[tuple[tuple[str, ...], dict[Any, Any]]]:
    """Every dictionary in a file, with the keys that lead to it, the outermost first."""
    waiting: deque[tuple[tuple[str, ...], Any]] = deque([((), content)])
    seen = set()
    while waiting:
        path, one = waiting.popleft()
        entries = one.entries if isinstance(one, Unknown) else one
        if not isinstance(entries, dict | list) or id(entries) in seen or len(path) > _DEPTH:
            continue
        seen.add(id(entries))
        if isinstance(entries, dict):
            yield path, entries
        items = entries.items() if isinstance(entries, dict) else enumerate(entries)
        waiting += [((*path, str(key)), value) for key, value in items if _may_hold(value)]


def _may_hold(value: Any) -> bool:
    return isinstance(value, dict | list) or (isinstance(value, Unknown) and bool(value.entries))


def _is_tensor(value: Any) -> bool:
    return isinstance(value, StoredTensor | np.ndarray)


def _is_count(name: str, value: Any) -> bool:
    """Whether it is one whole number, as of the steps that an average is over, or an average's decay."""
    if name.split(".")[-1] == _DECAY and math.prod(value.shape) == 1:
        return True
    if isinstance(value, np.ndarray):
        return value.dtype.kind in "iub" and value.size == 1
    return isinstance(value, StoredTensor) and value.is_whole_number


# --- Candidates ---------------------------------------------------------------------------------


def _candidates(path: tuple[str, ...], entries: dict[Any, Any]) -> list[_Candidate]:
    """The parts of a dictionary with most of a network's names: one, or one for each prefix."""
    if 2 * len(entries) <= FEWEST:
        return []
    names = [
        name for name, value in entries.items() if isinstance(name, str) and not _may_hold(value)
    ]
    places = {name: place for name in names if (place := place_of(name))}
    groups: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for name, place in places.items():
        bare = tuple(part for part in place.before if part not in WRAPPERS)
        groups.setdefault((place.kind, bare), []).append(name)
    for (kind, bare), members in [*groups.items()]:
        if len({places[name].name for name in members}) < len(members):  # wrapped, and not
            del groups[kind, bare]
            for name in members:
                groups.setdefault((kind, places[name].before), []).append(name)
    large = {
        group: members
        for group, members in groups.items()
        if is_most_of(group[0], {places[name].name for name in members})
    }
    used = {name for members in large.values() for name in members}
    left = {
        name: entries[name]
        for name in names
        if name not in used and _is_tensor(entries[name]) and not _is_count(name, entries[name])
    }
    copies = [name for name in left if _is_of_copy(name)]
    counters = [name.removesuffix(_COUNTER) for name in names if name.split(".")[-1] == _COUNTER]
    found = []
    for (kind, bare), members in large.items():
        before = [".".join((*places[name].before, "")) for name in members]
        words = (*path, *bare) if len(large) > 1 else path
        told = (*path, *before[:1])
        averaged = _says_averaged(told) or any(before[0].startswith(one) for one in counters)
        inside = {".".join((*places[name].inside, "")) for name in members if places[name].inside}
        values = {places[name].name: entries[name] for name in members}
        removed = ({one for one in before if one}, inside)
        one = _Candidate(kind, ".".join(words) or TOP, averaged, values, removed, left)
        if not averaged:
            one.copies = copies
            one.left_over = {name: value for name, value in left.items() if name not in copies}
        found.append(one)
    return found


def _says_averaged(words: Iterable[str]) -> bool:
    return bool(_AVERAGED.search(_HUMPS.sub("_", " ".join(words))))


def _is_of_copy(name: str) -> bool:
    """Whether it is of an averaged copy that is kept beside the weights, by names of its own."""
    first = next((part for part in name.split(".")[:-1] if part not in WRAPPERS), "")
    return _says_averaged([first])


# --- The choice -----------------------------------------------------------------------------------


def _choice(
    found: list[_Candidate], key: str, path: Path
) -> tuple[_Candidate | None, list[_Candidate]]:
    """The candidate to take, if there is one, and the others that fit.

    Without one that fits wholly it is the nearest, whose differences are then told.
    """
    whole = [one for one in found if one.is_whole]
    if key:
        named = [one for one in whole or found if one.label == key]
        if not named:
            labels = [one.label for one in whole or found]
            raise UsageError(
                f"There are no weights under {key!r}.",
                where=path,
                remedy=did_you_mean(key, labels) if labels else "Leave --key out.",
            )
        return named[0], [one for one in whole if one is not named[0]]
    if not whole:
        return min(found, key=lambda one: (one.is_averaged, len(one.left_over)), default=None), []
    plain = [one for one in whole if not one.is_averaged] or whole
    if len(plain) > 1:
        told = " and ".join(one.told for one in plain)
        raise UsageError(
            f"Weights of this network are there {len(plain)} times: under {told}.",
            where=path,
            remedy=f"Say which: --key {plain[0].label}, or --key {plain[1].label}",
        )
    return plain[0], [one for one in whole if one is not plain[0]]


def _largest(places: Sequence[tuple[tuple[str, ...], dict[Any, Any]]], path: Path) -> _Candidate:
    """The dictionary with the most tensors, whose names are not known."""

    def tensors(entries: dict[Any, Any]) -> dict[str, Any]:
        return {str(name): value for name, value in entries.items() if _is_tensor(value)}

    keys, entries = max(places, key=lambda place: len(tensors(place[1])))
    kind = "alexnet" if is_safetensors(path) else "torchvision"
    return _Candidate(kind, ".".join(keys) or TOP, False, {}, (set(), set()), tensors(entries))


def _no_tensors(content: Any, path: Path) -> DataError:
    if isinstance(content, Unknown) and not isinstance(content, StoredTensor):
        return DataError(
            f"It holds an object, {content.name[:100]}, which is not built: nothing in a file is run.",
            where=path,
            remedy="Save the weights alone: torch.save(model.state_dict(), 'weights.pth')",
        )
    classes = sorted({name for _, name in _objects(content)})
    what = f", but {', '.join(classes[:_LISTED])[:200]}" if classes else ""
    return DataError(
        f"It holds no tensors by name{what}.",
        where=path,
        remedy="Save the weights: torch.save(model.state_dict(), 'weights.pth')",
    )


# --- What is said ---------------------------------------------------------------------------------


def _told(chosen: _Candidate, beside: Sequence[_Candidate]) -> list[str]:
    lines = [] if chosen.label == TOP else [f"Taken from {chosen.label!r}."]
    if chosen.is_averaged:
        lines.append("These weights are averaged over steps of training (EMA, SWA).")
    if beside:
        told = ", ".join(f"{one.told}, --key {one.label}" for one in beside)
        lines.append(f"Not taken, though they would fit: the weights under {told}.")
    if chosen.copies:
        told = f"{chosen.copies[0]!r}{' ...' if len(chosen.copies) > 1 else ''}"
        lines.append(f"Not taken: an averaged copy by other names, {told}.")
    parts = [
        f"{', '.join(map(repr, sorted(prefixes)))} {where}"
        for prefixes, where in zip(chosen.removed, ("before them", "inside them"), strict=True)
        if prefixes
    ]
    if parts:
        lines.append(f"Taken away from the names: {'; '.join(parts)}.")
    return lines


def _passed(content: Any) -> list[str]:
    """A line on the objects in a file that are no tensors."""
    found = list(_objects(content))
    if not found:
        return []
    named = ", ".join(f"{where} ({name})" for where, name in found[:_LISTED])
    more = f" and {len(found) - _LISTED:,} more" if len(found) > _LISTED else ""
    return [f"Passed over, and not built: {named}{more}."]


def _objects(content: Any) -> Iterator[tuple[str, str]]:
    """Where there are objects of classes in dictionaries, and of which."""
    for path, entries in _dictionaries(content):
        for key, value in entries.items():
            if isinstance(value, Unknown) and not isinstance(value, StoredTensor):
                yield ".".join((*path, str(key))), value.name
