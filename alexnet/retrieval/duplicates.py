"""Images that are in a set twice, or almost: the same bytes, or vectors that hardly differ.

Pairs between splits come first: what is tested on was trained on.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

from alexnet.retrieval.files import Place
from alexnet.retrieval.index import Index
from alexnet.retrieval.pairs import near_pairs


class Side(NamedTuple):
    """One image of a pair: its row in the index, its key, where it lies."""

    row: int
    key: str
    file: str
    split: str
    label: str


class Duplicate(NamedTuple):
    """Two images and the distance of their vectors; `same_bytes` if their files are equal."""

    distance: float
    first: Side
    second: Side
    same_bytes: bool

    @property
    def is_across(self) -> bool:
        """Whether they belong to different splits."""
        return self.first.split != self.second.split


class Duplicates(NamedTuple):
    """All pairs, those between splits first, then the nearest, at most `near` of their length apart.

    `rows` is how many images were compared; without `is_all` there are more pairs than were kept.
    """

    pairs: list[Duplicate]
    near: float
    rows: int
    is_all: bool


def duplicates(index: Index, near: float) -> Duplicates:
    """All pairs of images with the same bytes, or the distance of whose vectors is at most `near`
    times their mean length."""
    found = near_pairs(index.rows, index.is_there_N, near)
    pairs = [*_same_bytes(index)]
    for first, second, distance in found.pairs:
        one, other = _apart(_sides(index, first), _sides(index, second))
        pairs.append(Duplicate(distance, one, other, False))
    pairs.sort(key=lambda pair: (not pair.is_across, pair.distance, not pair.same_bytes))
    return Duplicates(pairs, near, len(index), found.is_all)


def _same_bytes(index: Index) -> Iterator[Duplicate]:
    """Files of the same bytes: each with the first of another split, or else with the first."""
    row = 0
    for part in index.rows.parts:
        for n, places in enumerate(part.all_places()):
            sides = [_side(index, row + n, str(part.keys[n]), place) for place in places]
            for number, side in enumerate(sides[1:], start=1):
                first, second = _apart(sides[:number], [side])
                yield Duplicate(0.0, first, second, True)
        row += len(part)


def _sides(index: Index, row: int) -> list[Side]:
    part, n = index.rows.part_of(row)
    return [_side(index, row, str(part.keys[n]), place) for place in part.places(n)]


def _side(index: Index, row: int, key: str, place: Place) -> Side:
    return Side(row, key, index.file_of(place), place.split, place.label)


def _apart(firsts: list[Side], seconds: list[Side]) -> tuple[Side, Side]:
    """Two images of different splits, if there are such, else the first of each."""
    several = product(firsts, seconds)
    return next(
        (pair for pair in several if pair[0].split != pair[1].split), (firsts[0], seconds[0])
    )
