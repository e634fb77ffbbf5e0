"""A part of an index, memory-mapped: vectors, their heads, and the images that they are of.

Legend: N rows of a part, R of them, U numbers of a vector.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from alexnet.base.errors import DataError
from alexnet.prepared.pages import Advice, advise
from alexnet.retrieval.description import Description, PartFiles
from alexnet.retrieval.files import (
    IMAGES,
    LISTS,
    Place,
    checked,
    columns_of,
    damaged,
    mapped,
    read_codes,
    read_heads,
    vectors_schema,
)
from alexnet.retrieval.rotation import DIRECTIONS, Heads

KEY = 64  # letters of a key: a SHA-256 in hexadecimal


@dataclass(frozen=True)
class Part:
    """Some vectors of an index, memory-mapped; whether one is damaged is looked at when it is read.

    All else was checked when it was opened.
    """

    path: Path
    keys: pa.StringArray
    vectors_NU: np.ndarray
    rows_NU: (
        np.ndarray
    )  # the same, mapped once more: of these the system reads nothing beside a row
    heads: Heads | None
    images: pa.RecordBatch | None
    codes_NW: np.ndarray | None

    @classmethod
    def open(cls, folder: Path, of: Description, files: PartFiles) -> Part:
        """Map a part of an index; raises DataError for a file that is missing, cut, or not as it was
        written."""
        numbers = prod(of.about.shape)
        path, schema = folder / files.vectors.file, vectors_schema(numbers)
        whole, again = checked(folder, files.vectors), mapped(path)
        keys, vectors = columns_of(whole, path, schema)
        if len(keys) != files.rows:
            raise damaged(path, f"It has {len(keys):,} rows instead of {files.rows:,}")
        values, size = vectors.values.buffers()[1], files.rows * numbers
        vectors_NU = np.frombuffer(values, np.float32, size).reshape(files.rows, numbers)
        rows_NU = np.frombuffer(again, np.float32, size, values.address - whole.address)
        advise(again.address, again.size, Advice.RANDOM)
        advise(whole.address, whole.size, Advice.LEAVE)
        images = heads = codes_NW = None
        if files.images:
            of_images = checked(folder, files.images)
            columns = columns_of(of_images, folder / files.images.file, IMAGES)
            images = pa.record_batch(columns, schema=IMAGES)
            if not images["key"].equals(keys):
                raise damaged(folder / files.images.file, "Its keys are not those of the vectors")
            for one in (of_images, whole):
                advise(one.address, one.size, Advice.LEAVE)
        if files.head:
            heads = read_heads(folder, files.head, files.rows, min(DIRECTIONS, numbers))
        if files.codes and of.codes:
            codes_NW = read_codes(folder, files.codes, files.rows, of.codes.bits)
        rows_NU = rows_NU.reshape(files.rows, numbers)
        return cls(path, keys, vectors_NU, rows_NU, heads, images, codes_NW)

    def __len__(self) -> int:
        return len(self.rows_NU)

    @cached_property
    def key_bytes(self) -> np.ndarray:
        """The keys as text of fixed length: S64, N."""
        offset, size = self.keys.offset, len(self.keys)
        letters = np.frombuffer(self.keys.buffers()[2], f"S{KEY}", offset + size)
        return letters[offset:]

    @cached_property
    def is_there_N(self) -> np.ndarray:
        """Whether each row's image is still somewhere."""
        assert self.images is not None
        offsets_N = np.asarray(self.images["paths"].offsets)
        return np.diff(offsets_N) > 0

    def has_split_N(self, split: str) -> np.ndarray:
        """Whether each row's image belongs to a split, in whichever of its places."""
        assert self.images is not None
        lists = self.images["splits"]
        is_it = np.asarray(pc.equal(lists.flatten(), split))
        before = np.concatenate([[0], np.cumsum(is_it)])
        ends = np.asarray(lists.offsets) - lists.offsets[0].as_py()
        has_N: np.ndarray = np.diff(before[ends]) > 0
        return has_N

    def places(self, n: int) -> list[Place]:
        """Where row `n`'s image lies."""
        assert self.images is not None
        lists = [self.images[name][n].as_py() for name in LISTS]
        return [Place(*one) for one in zip(*lists, strict=True)]

    def all_places(self) -> list[list[Place]]:
        """Where each row's image lies."""
        if self.images is None:
            return [[] for _ in range(len(self))]
        lists = [self.images[name].to_pylist() for name in LISTS]
        return [[Place(*one) for one in zip(*row, strict=True)] for row in zip(*lists, strict=True)]

    def will_read(self, numbers_R: np.ndarray) -> None:
        """Let the system begin to read some rows, in ascending order, all at the same time."""
        begins = np.flatnonzero(np.diff(numbers_R, prepend=-2) != 1)
        ends = np.append(begins[1:], len(numbers_R))
        each, address = self.rows_NU[0].nbytes, self.rows_NU.ctypes.data
        for begin, end in zip(begins.tolist(), ends.tolist(), strict=True):
            first = int(numbers_R[begin])
            advise(address + first * each, (end - begin) * each, Advice.WILL_NEED)

    def leave(self) -> None:
        """Give back the memory of rows that were read; they are still in the file."""
        advise(self.rows_NU.ctypes.data, self.rows_NU.nbytes, Advice.LEAVE)


def damaged_row(part: Part, n: int) -> DataError:
    """The error for a vector that is not as it was written."""
    return damaged(part.path, f"The vector of row {n} is not as it was written")
