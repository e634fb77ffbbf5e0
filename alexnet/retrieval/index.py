"""An index that is opened: its vectors, and the images whose vectors are nearest to a given one.

    index = alexnet.Index.open("photos.index")
    for neighbour in index.search("dog.jpg", top=6):
        print(neighbour.distance, neighbour.label, neighbour.path)

Legend: N rows, U numbers of a vector, Q queries.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, overload

import numpy as np

from alexnet.base import ranks
from alexnet.base.errors import DataError, UsageError, did_you_mean
from alexnet.retrieval.building import Known
from alexnet.retrieval.description import Description, read_description
from alexnet.retrieval.files import Place, read_directions
from alexnet.retrieval.parts import Part
from alexnet.retrieval.rotation import DIRECTIONS
from alexnet.retrieval.rows import Rows
from alexnet.retrieval.search import Nearest, nearest
from alexnet.retrieval.vectors import VectorArray

if TYPE_CHECKING:
    from alexnet.loading.files import ImageLike
    from alexnet.retrieval.build import Vectors

NEIGHBOURS = 6  # as figure 4 has them


class Neighbour(NamedTuple):
    """An image of the index: its Euclidean distance from the query, the SHA-256 of its file's bytes.

    `path`, `label` and `split` are those of the first of its `places`; files of the same bytes are one
    image that lies in several. `row` is its number in the index.
    """

    distance: float
    row: int
    key: str
    places: tuple[Place, ...]
    file: str

    @property
    def path(self) -> str:
        """Where its image lies: a file's path, or its name in the prepared set or archive."""
        return self.file

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


class Index:
    """Images by their feature vectors; made by `open`."""

    def __init__(
        self, folder: Path, description: Description, rows: Rows, model: str | Path
    ) -> None:
        self.folder, self.description = folder, description
        self._rows, self._model = rows, model

    @classmethod
    def open(cls, folder: str | Path, model: str | Path = "") -> Index:
        """Open an index and check every byte of it but the vectors, each of which is checked when it is
        read.

        `model` is the one to search with, if it is not where it was. Raises UsageError for a folder that
        is no index, DataError for damaged files, IncompatibleError for another model.
        """
        folder = Path(folder)
        for _ in range(2):
            description = read_description(folder)
            try:
                return cls(folder, description, _open_rows(folder, description), model)
            except DataError:  # perhaps a new index has just taken the place of the old one
                if read_description(folder).generation == description.generation:
                    raise
        return cls(folder, description, _open_rows(folder, description), model)

    def __len__(self) -> int:
        """How many images there are: those that were removed do not count."""
        return int(self.is_there_N.sum())

    @property
    def vectors(self) -> VectorArray:
        """All vectors, those of removed images among them, memory-mapped: float32, N x U."""
        parts = [part.vectors_NU for part in self._rows.parts]
        return VectorArray(parts, len(self._rows.basis_UD))

    @property
    def layer(self) -> str:
        """Whose activations the vectors are."""
        return self.description.about.layer

    @property
    def side(self) -> int:
        """Of the network's source images, in pixels."""
        return self.description.about.side

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that images of the index belong to; empty where there are none."""
        found: set[str] = set()
        for part in self._rows.parts:
            assert part.images is not None
            found |= set(part.images["splits"].flatten().unique().to_pylist())
        return tuple(sorted(found - {""}))

    @overload
    def search(  # type: ignore[overload-overlap]  # text is a sequence of texts
        self, images: ImageLike, top: int = NEIGHBOURS, split: str = ""
    ) -> Answer: ...
    @overload
    def search(
        self, images: Sequence[ImageLike], top: int = NEIGHBOURS, split: str = ""
    ) -> list[Answer]: ...
    def search(
        self, images: ImageLike | Sequence[ImageLike], top: int = NEIGHBOURS, split: str = ""
    ) -> Answer | list[Answer]:
        """The `top` images that are nearest to an image, by the Euclidean distance of their vectors;
        for several images a list of answers.

        With a `split`, only images of it. An image that is in the index itself comes first, at distance
        0. Raises Rejected for a file that is no usable image, IncompatibleError where the index is of
        another model than the one that is there.
        """
        from alexnet.loading.files import ImageLike

        if isinstance(images, ImageLike):
            return self.search([images], top, split)[0]
        return self.nearest(self.vectors_of(images), top, split)

    def nearest(
        self, vectors_QU: np.ndarray, top: int = NEIGHBOURS, split: str = ""
    ) -> list[Answer]:
        """The `top` images nearest to each of some vectors; ties are in the order of their keys."""
        queries_QU = np.ascontiguousarray(vectors_QU, np.float32)
        numbers = len(self._rows.basis_UD)
        if queries_QU.ndim != 2 or queries_QU.shape[1] != numbers:
            raise UsageError(
                f"Expected vectors of {numbers:,} numbers, Q x {numbers}; got "
                f"{' x '.join(map(str, np.shape(vectors_QU)))}."
            )
        if not np.isfinite(queries_QU).all():
            raise UsageError("A vector to search for has numbers that are not finite.")
        if top < 1:
            raise UsageError(f"top is {top}; it must be at least 1.")
        wanted_N = self.of_split_N(split)
        return [
            Answer(
                tuple(self.neighbour(row, away) for row, away in zip(*_listed(one), strict=True)),
                one.rows_read,
                int(wanted_N.sum()),
            )
            for one in nearest(self._rows, queries_QU, top, wanted_N)
        ]

    def vectors_of(self, images: Sequence[ImageLike]) -> np.ndarray:
        """The vectors of images: that of the index for a file that is in it, else the model's; Q x U.

        Raises Rejected for a file that is no usable image, and the errors of `search`.
        """
        found_QU, faults = self._vectors_of(images)
        for fault in faults:
            if fault:
                raise fault
        return found_QU

    def answers(
        self, files: Sequence[str], top: int = NEIGHBOURS, split: str = ""
    ) -> list[Answer | DataError]:
        """What `search` says of each file, or why it cannot be used."""
        found_QU, faults = self._vectors_of(files)
        good = [q for q, fault in enumerate(faults) if fault is None]
        found = iter(self.nearest(found_QU[good], top, split))
        return [fault or next(found) for fault in faults]

    def _vectors_of(self, images: Sequence[ImageLike]) -> tuple[np.ndarray, list[DataError | None]]:
        """The vectors of images, and why some cannot be used."""
        from alexnet.loading.files import image_batches
        from alexnet.loading.views import batches

        found_QU = np.zeros((len(images), len(self._rows.basis_UD)), np.float32)
        faults: list[DataError | None] = [None] * len(images)
        rows = [self._row_of(image) for image in images]
        here = [q for q, row in enumerate(rows) if row is not None]
        found_QU[here] = self._rows.vectors(np.array([rows[q] for q in here], np.int64))
        others = [q for q, row in enumerate(rows) if row is None]
        if others:
            network = self.network
            views, crop = self.description.about.views, network.network.convention.crop
            groups = [[others[n] for n in batch] for batch in batches(len(others), views)]
            named = ([images[q] for q in group] for group in groups)
            cut = image_batches(named, network.mean_HWC, views, crop)
            for group, (wrong, x_NHWC) in zip(groups, cut, strict=True):
                good = [q for q, fault in zip(group, wrong, strict=True) if fault is None]
                for q, fault in zip(group, wrong, strict=True):
                    faults[q] = fault
                if good:
                    found_QU[good] = network.of(x_NHWC)
        return found_QU, faults

    @cached_property
    def network(self) -> Vectors:
        """The model that the vectors are of; raises IncompatibleError where another one is there."""
        from alexnet.models import find_model
        from alexnet.retrieval.build import open_vectors

        about = self.description.about
        try:
            model = find_model(self._model or about.model_folder)
        except UsageError as error:
            if self._model:
                raise
            raise UsageError(
                "The model of the index is not where it was.",
                where=about.model_folder,
                remedy="Say where it is now: --model MODEL",
            ) from error
        vectors = open_vectors(model, about.layer, about.views, "cpu")
        about.require_same(vectors.about, self.folder)
        return vectors

    def neighbour(self, row: int, distance: float) -> Neighbour:
        """An image of the index by its row."""
        part, n = self._rows.part_of(row)
        places = tuple(part.places(n))
        file = self.file_of(places[0]) if places else ""
        return Neighbour(distance, row, str(part.keys[n]), places, file)

    def file_of(self, place: Place) -> str:
        """The path of an image's file; in a prepared set or an archive its name there."""
        source = self.description.sources[place.source]
        if source.kind != "files":
            return place.path
        root = Path(source.root)
        if Path(source.spec).resolve() == root:  # as it was typed, if that still leads there
            root = Path(source.spec)
        return str(root / place.path) if root.is_dir() else str(root)

    @property
    def rows(self) -> Rows:
        """All vectors with their heads, for searches of another kind."""
        return self._rows

    @cached_property
    def is_there_N(self) -> np.ndarray:
        """Whether the image of each row is still somewhere."""
        return self._rows.is_there_N

    def of_split_N(self, split: str) -> np.ndarray:
        """Which rows have an image of a split; of any, where none is named."""
        if not split:
            return self.is_there_N
        if split not in self.splits:
            raise UsageError(
                f"The index has no split {split!r}.", remedy=did_you_mean(split, self.splits)
            )
        return np.concatenate([part.has_split_N(split) for part in self._rows.parts])

    def _row_of(self, image: ImageLike) -> int | None:
        """The row of an image file that is in the index."""
        if isinstance(image, bytes):
            data = image
        elif isinstance(image, str | Path) and os.path.isfile(image):
            data = Path(image).read_bytes()
        else:
            return None
        return self._known.row(hashlib.sha256(data).hexdigest())

    @cached_property
    def _known(self) -> Known:
        return Known(self._rows.parts)


def _open_rows(folder: Path, description: Description) -> Rows:
    """The parts of an index, read and checked by all cores."""
    numbers = prod(description.about.shape)
    if description.directions is None:
        raise DataError("The index has no directions.", where=folder, remedy="Build it again.")
    basis_UD = read_directions(folder, description.directions, numbers)
    count = min(DIRECTIONS, numbers)
    with ThreadPoolExecutor(ranks.cores()) as threads:
        opened = partial(Part.open, folder, numbers=numbers, directions=count)
        parts = list(threads.map(opened, description.parts))
    return Rows(parts, basis_UD)


def _listed(found: Nearest) -> tuple[list[int], list[float]]:
    return found.rows.tolist(), found.distances.tolist()
