"""An index that is opened: its vectors, and the images whose vectors are nearest to a given one.

    index = alexnet.Index.open("photos.index")
    for neighbour in index.search("dog.jpg", top=6):
        print(neighbour.distance, neighbour.label, neighbour.path)

Legend: N rows, U numbers of a vector, Q queries, W words of a code.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from functools import cached_property, partial
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, overload

import numpy as np

from alexnet.base.errors import DataError, UsageError, did_you_mean
from alexnet.retrieval.answers import Answer, Neighbour
from alexnet.retrieval.codes import Coder
from alexnet.retrieval.description import Description, read_description
from alexnet.retrieval.files import Place, read_coder
from alexnet.retrieval.hamming import nearest_codes
from alexnet.retrieval.known import Known
from alexnet.retrieval.rows import Rows
from alexnet.retrieval.search import Nearest, nearest, nearest_of
from alexnet.retrieval.vectors import VectorArray

if TYPE_CHECKING:
    from alexnet.loading.files import ImageLike
    from alexnet.retrieval.build import Vectors

NEIGHBOURS = 6  # as figure 4 has them
AMONG = 100  # vectors that are compared where codes are searched, or ten for each neighbour


class Index:
    """Images by their feature vectors; made by `open`."""

    def __init__(
        self,
        folder: Path,
        description: Description,
        rows: Rows,
        coder: Coder | None,
        model: str | Path,
    ) -> None:
        self.folder, self.description, self.coder = folder, description, coder
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
                return cls(folder, description, *_open_files(folder, description), model)
            except DataError:  # perhaps a new index has just taken the place of the old one
                if read_description(folder).generation == description.generation:
                    raise
        return cls(folder, description, *_open_files(folder, description), model)

    def __len__(self) -> int:
        """How many images there are: those that were removed do not count."""
        return int(self.is_there_N.sum())

    @property
    def vectors(self) -> VectorArray:
        """All vectors, those of removed images among them, memory-mapped: float32, N x U."""
        parts = [part.vectors_NU for part in self._rows.parts]
        return VectorArray(parts, len(self._rows.basis_UD))

    @cached_property
    def codes(self) -> np.ndarray:
        """The codes of all vectors: uint64, N x W, the first bit the lowest of the first word.

        Raises UsageError where there are none.
        """
        self._require_coder()
        parts = [part.codes_NW for part in self._rows.parts if part.codes_NW is not None]
        return np.concatenate(parts)

    @property
    def bits(self) -> int:
        """Of a code; 0 where the index has none."""
        return self.coder.bits if self.coder else 0

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
        self, images: ImageLike, top: int = NEIGHBOURS, split: str = "", codes: bool = False
    ) -> Answer: ...
    @overload
    def search(
        self,
        images: Sequence[ImageLike],
        top: int = NEIGHBOURS,
        split: str = "",
        codes: bool = False,
    ) -> list[Answer]: ...
    def search(
        self,
        images: ImageLike | Sequence[ImageLike],
        top: int = NEIGHBOURS,
        split: str = "",
        codes: bool = False,
    ) -> Answer | list[Answer]:
        """The `top` images that are nearest to an image, by the Euclidean distance of their vectors;
        for several images a list of answers.

        With a `split`, only images of it. With `codes`, only the images whose codes are nearest are
        compared: faster, and no longer exact. An image that is in the index itself comes first, at
        distance 0. Raises Rejected for a file that is no usable image, IncompatibleError where the index
        is of another model than the one that is there, UsageError where it has no codes.
        """
        from alexnet.loading.files import ImageLike

        if isinstance(images, ImageLike):
            return self.search([images], top, split, codes)[0]
        if codes:
            self._require_coder()
        return self.nearest(self.vectors_of(images), top, split, codes)

    def nearest(
        self, vectors_QU: np.ndarray, top: int = NEIGHBOURS, split: str = "", codes: bool = False
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
        found = (self._by_codes if codes else partial(nearest, self._rows))(
            queries_QU, top, wanted_N
        )
        return [
            Answer(
                tuple(self.neighbour(row, away) for row, away in zip(*_listed(one), strict=True)),
                one.rows_read,
                int(wanted_N.sum()),
            )
            for one in found
        ]

    def _by_codes(self, queries_QU: np.ndarray, top: int, wanted_N: np.ndarray) -> list[Nearest]:
        """The nearest of the `AMONG` rows whose codes are nearest, or of ten times `top`."""
        codes_QW = self._require_coder().encode(queries_QU)
        order_N, ranks_N = self._known.order_N, self._known.ranks_N
        among = max(AMONG, 10 * top)
        near = nearest_codes(self.codes, order_N, ranks_N, wanted_N, codes_QW, among)
        return [
            nearest_of(self._rows, queries_QU[q : q + 1], top, rows_K)
            for q, rows_K in enumerate(near.rows_QK)
        ]

    def _require_coder(self) -> Coder:
        if self.coder is None:
            raise UsageError(
                "The index has no codes.",
                where=self.folder,
                remedy=f"Give it some: alexnet index MODEL SRC -o {quote(str(self.folder))} --add "
                "--codes 64",
            )
        return self.coder

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
        self, files: Sequence[str], top: int = NEIGHBOURS, split: str = "", codes: bool = False
    ) -> list[Answer | DataError]:
        """What `search` says of each file, or why it cannot be used."""
        if codes:
            self._require_coder()
        found_QU, faults = self._vectors_of(files)
        good = [q for q, fault in enumerate(faults) if fault is None]
        found = iter(self.nearest(found_QU[good], top, split, codes))
        return [fault or next(found) for fault in faults]

    def _vectors_of(self, images: Sequence[ImageLike]) -> tuple[np.ndarray, list[DataError | None]]:
        """The vectors of images, and why some cannot be used."""
        found_QU = np.zeros((len(images), len(self._rows.basis_UD)), np.float32)
        faults: list[DataError | None] = [None] * len(images)
        rows = [self._row_of(image) for image in images]
        here = [q for q, row in enumerate(rows) if row is not None]
        found_QU[here] = self._rows.vectors(np.array([rows[q] for q in here], np.int64))
        others = [q for q, row in enumerate(rows) if row is None]
        if others:
            found_QU[others], wrong = self.network.of_images([images[q] for q in others])
            for q, fault in zip(others, wrong, strict=True):
                faults[q] = fault
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


def _open_files(folder: Path, description: Description) -> tuple[Rows, Coder | None]:
    """The vectors of an index, and what its codes come from."""
    rows, codes = Rows.open(folder, description), description.codes
    return rows, read_coder(folder, codes, len(rows.basis_UD)) if codes else None


def _listed(found: Nearest) -> tuple[list[int], list[float]]:
    return found.rows.tolist(), found.distances.tolist()
