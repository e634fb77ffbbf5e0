"""What a search finds: the images nearest to one, with their distances and where they lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, overload

from alexnet.retrieval.files import Place


class Neighbour(NamedTuple):
    """An image of the index: its Euclidean distance from the query, the SHA-256 of its file's bytes.

    `path` (a file's, or the image's name in the prepared set or archive), `label` and `split` are those
    of the first of its `places`; files of the same bytes are one image that lies in several. `row` is its
    number in the index.
    """

    distance: float
    row: int
    key: str
    places: tuple[Place, ...]
    path: str

    @property
    def label(self) -> str:
        """Its class; empty where none is known."""
        return self.places[0].label

    @property
    def split(self) -> str:
        """Its split; empty where there are none."""
        return self.places[0].split

    @property
    def away(self) -> str:
        """The distance as people read it: 12.34, or 17,064."""
        return f"{self.distance:,.0f}" if self.distance >= 1000 else f"{self.distance:.4g}"


@dataclass(frozen=True)
class Answer(Sequence[Neighbour]):
    """The neighbours of one image, nearest first; `rows_read` of the index's `rows` were compared."""

    neighbours: tuple[Neighbour, ...]
    rows_read: int
    rows: int

    @overload
    def __getitem__(self, n: int) -> Neighbour: ...
    @overload
    def __getitem__(self, n: slice) -> tuple[Neighbour, ...]: ...
    def __getitem__(self, n: int | slice) -> Neighbour | tuple[Neighbour, ...]:
        return self.neighbours[n]

    def __len__(self) -> int:
        return len(self.neighbours)
