"""Changing an index on disk: whatever happens, its folder holds the old index or the new one.

Files are written beside those that there are, under names that no other ever had; then index.json is
replaced, which names the files of one index only; then those that it does not name are removed. Vectors
that were computed for an index that is not whole yet stand in draft.json, and are used when it goes on.

Legend: N rows of a part, U numbers of a vector.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from math import prod
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from alexnet.base.errors import AlexNetError, UsageError
from alexnet.base.files import make_folder, remove, sweep_temporaries
from alexnet.base.locks import Lock
from alexnet.retrieval.codes import Coder
from alexnet.retrieval.description import (
    DRAFT,
    FILE,
    About,
    CodesOf,
    Description,
    PartFiles,
    SourceOf,
    read_description,
)
from alexnet.retrieval.files import (
    Place,
    read_coder,
    read_directions,
    write_coder,
    write_codes,
    write_directions,
    write_heads,
    write_images,
    write_vectors,
)
from alexnet.retrieval.parts import Part
from alexnet.retrieval.rotation import SAMPLE, directions, heads

PART_BYTES = (
    2**27
)  # of vectors: what is in memory while they are computed, and lost if it is killed
_LOCK = "index.lock"
_OURS = re.compile(r"(vectors|images|heads|directions|codes|coder)-\d{5,}\.(arrow|safetensors)")


def begun(folder: Path, about: About) -> Description:
    """The index that is to be changed, or its draft, or one without rows where there is neither.

    Raises IncompatibleError where it holds vectors of another kind, UsageError for a folder with other
    things in it.
    """
    found = Description(about)
    if (folder / FILE).is_file():
        found = read_description(folder)
        found.about.require_same(about, folder)
    elif folder.is_dir() and any(
        not (_OURS.fullmatch(one.name) or one.name in (DRAFT, _LOCK) or one.name.startswith("."))
        for one in folder.iterdir()
    ):
        raise UsageError(
            f"{folder} is no index, and it is not empty.",
            remedy="Choose a new folder with -o.",
        )
    try:
        draft = read_description(folder, DRAFT)
        draft.about.require_same(about, folder)
    except AlexNetError:  # there is none, or it is of another model: then it is none of this index
        return found
    return draft if draft.generation == found.generation else found


def open_parts(folder: Path, description: Description) -> list[Part]:
    """The parts of an index or of its draft; raises DataError for damaged files."""
    return [Part.open(folder, description, files) for files in description.parts]


@contextmanager
def changing(folder: Path, about: About) -> Iterator[Building]:
    """The index of a folder, to be changed by this process alone.

    Raises EnvironmentProblem where another process changes it, and the errors of `begun`.
    """
    make_folder(folder)
    lock = Lock(folder / _LOCK, "This index is being built")
    try:
        building = Building(folder, about)
        building.sweep()
        yield building
    finally:
        lock.release()


class Building:
    """An index, or its draft, to which vectors are added, and which then becomes the index."""

    def __init__(self, folder: Path, about: About) -> None:
        self.folder = folder
        self.description = begun(folder, about)
        self.parts = open_parts(folder, self.description)
        self._numbers = prod(about.shape)
        self._most = max(1, PART_BYTES // (4 * self._numbers))
        self._keys: list[str] = []
        self._rows: list[np.ndarray] = []

    def add(self, keys: Sequence[str], rows_NU: np.ndarray) -> None:
        """Take vectors of images that the index has not; full parts are written at once."""
        self._keys += keys
        self._rows += [*np.asarray(rows_NU, np.float32).reshape(len(keys), self._numbers)]
        while len(self._keys) >= self._most:
            self._write_part()

    def keep(self) -> None:
        """Write what was added so far, so that building goes on from there."""
        while self._keys:
            self._write_part()

    def publish(
        self, sources: Sequence[SourceOf], found: Mapping[str, Sequence[Place]], add: bool
    ) -> Description:
        """Make it the index: of the images in `found`, by their keys, whose places name `sources`.

        With `add`, those that it has already stay. Returns what is in index.json now.
        """
        self.keep()
        self.description = replace(self.description, sources=tuple(sources))
        self._write_heads()
        self._write_codes()
        self._write_images(found, add)
        return self._replace_index()

    def recode(self, coder: Coder, method: str, seed: int) -> Description:
        """Give the index the codes of a coder in place of those that it has; what index.json is now."""
        file = write_coder(self.folder, self._name("coder", "safetensors"), coder)
        codes = CodesOf(method, coder.bits, seed, self.description.rows, file)
        self.description = replace(self.description, codes=codes)
        for number in range(len(self.parts)):
            self._replace(number, codes=None)
        self._write_codes()
        return self._replace_index()

    def _replace_index(self) -> Description:
        self.description = replace(self.description, generation=self.description.generation + 1)
        self.description.write(self.folder / FILE)
        self.sweep()
        return self.description

    def sweep(self) -> None:
        """Remove files that belong neither to the index nor to its draft."""
        named = {FILE, _LOCK}
        if (self.folder / FILE).is_file():
            index = read_description(self.folder)
            named |= {one.file for one in index.files()}
            if index.generation == self.description.generation and self.description != index:
                named.add(DRAFT)
                named |= {one.file for one in self.description.files()}
        elif self.description.parts:
            named |= {DRAFT, *(one.file for one in self.description.files())}
        for path in self.folder.iterdir():
            if path.name not in named and (path.name == DRAFT or _OURS.fullmatch(path.name)):
                remove(path)
        sweep_temporaries(self.folder)

    @property
    def images(self) -> int:
        """How many vectors are of images that are somewhere."""
        return sum(int(part.is_there_N.sum()) for part in self.parts)

    # --- Parts ---

    def _write_part(self) -> None:
        """Write a part; the last one, if it is not full, becomes a part of that."""
        keys, rows = self._keys[: self._most], self._rows[: self._most]
        if self.parts and len(self.parts[-1]) < self._most:
            last = self.parts[-1]
            room = self._most - len(last)
            keys, rows = keys[:room], rows[:room]
            taken = len(keys)
            rows_NU = np.concatenate([last.vectors_NU, np.stack(rows)])
            keys = [*last.keys.to_pylist(), *keys]
            places: list[Sequence[Place]] = [*last.all_places(), *([[]] * taken)]
            parts, self.parts = self.description.parts[:-1], self.parts[:-1]
        else:
            taken, rows_NU = len(keys), np.stack(rows)
            parts, places = self.description.parts, [[]] * taken
        self._keys, self._rows = self._keys[taken:], self._rows[taken:]
        vectors = write_vectors(self.folder, self._name("vectors", "arrow"), keys, rows_NU)
        images = write_images(self.folder, self._name("images", "arrow"), keys, places)
        files = PartFiles(len(keys), vectors, None, images)
        self.description = replace(self.description, parts=(*parts, files))
        self.parts.append(self._open(files))
        self.description.write(self.folder / DRAFT)

    def _open(self, files: PartFiles) -> Part:
        return Part.open(self.folder, self.description, files)

    def _name(self, kind: str, ending: str) -> str:
        self.description, name = self.description.named(kind, ending)
        return name

    def _replace(self, number: int, **files: object) -> None:
        parts = list(self.description.parts)
        parts[number] = replace(parts[number], **files)  # type: ignore[arg-type]
        self.description = replace(self.description, parts=tuple(parts))

    # --- Heads ---

    def _write_heads(self) -> None:
        """Heads for the parts that have none; for all, along new directions, where there are twice as
        many vectors as when the old ones were found."""
        about, rows = self.description, self.description.rows
        anew = about.directions is None or rows >= 2 * about.directions_rows
        if about.directions and not anew:
            basis_UD = read_directions(self.folder, about.directions, self._numbers)
        else:
            basis_UD = directions(self._sample())
            name = self._name("directions", "safetensors")
            file = write_directions(self.folder, name, basis_UD)
            self.description = replace(self.description, directions=file, directions_rows=rows)
        for number, part in enumerate(self.parts):
            if anew or self.description.parts[number].head is None:
                name = self._name("heads", "safetensors")
                found = heads(part.vectors_NU, basis_UD)
                self._replace(number, head=write_heads(self.folder, name, found))

    def _sample(self) -> np.ndarray:
        """Vectors from everywhere in the index, as many of each part."""
        share = max(1, SAMPLE // max(1, len(self.parts)))
        some = [
            part.vectors_NU[np.unique(np.linspace(0, len(part) - 1, share).astype(int))]
            for part in self.parts
        ]
        return np.concatenate(some)

    # --- Codes ---

    def _write_codes(self) -> None:
        """Codes for the parts that have none, if the index has a coder."""
        if not (codes := self.description.codes):
            return
        coder = read_coder(self.folder, codes, self._numbers)
        for number, part in enumerate(self.parts):
            if self.description.parts[number].codes is None:
                name = self._name("codes", "safetensors")
                found_NW = coder.encode(part.vectors_NU)
                self._replace(number, codes=write_codes(self.folder, name, found_NW))

    # --- Images ---

    def _write_images(self, found: Mapping[str, Sequence[Place]], add: bool) -> None:
        """Where the image of each row lies now, for the parts in which that has changed."""
        moved = {(one.source, one.path) for places in found.values() for one in places}
        for number, part in enumerate(self.parts):
            if add and not self._concerns(part, found, moved):
                continue
            before = part.all_places()
            keys = part.keys.to_pylist()
            after = []
            for key, old in zip(keys, before, strict=True):
                stays = [one for one in old if (one.source, one.path) not in moved] if add else []
                after.append([*stays, *found.get(key, ())])
            if after != before:
                name = self._name("images", "arrow")
                self._replace(number, images=write_images(self.folder, name, keys, after))
                self.parts[number] = self._open(self.description.parts[number])

    @staticmethod
    def _concerns(
        part: Part, found: Mapping[str, Sequence[Place]], moved: set[tuple[int, str]]
    ) -> bool:
        """Whether any of the images found is in a part, or lies where one of that part did."""
        if pc.any(pc.is_in(part.keys, value_set=pa.array(list(found), pa.string()))).as_py():
            return True
        assert part.images is not None
        paths = part.images["paths"].flatten()
        names = pa.array([path for _, path in moved], pa.string())
        return bool(pc.any(pc.is_in(paths, value_set=names)).as_py())
