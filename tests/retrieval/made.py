"""Indexes of made vectors, in this process or in one of its own: `python -m retrieval.made FOLDER ROWS`.

Legend: N rows, U numbers of a vector.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from alexnet.retrieval import building
from alexnet.retrieval.building import changing
from alexnet.retrieval.coding import add_codes
from alexnet.retrieval.description import About, SourceOf
from alexnet.retrieval.files import Place
from alexnet.retrieval.index import Index
from alexnet.retrieval.known import Known

SOURCE = SourceOf("made", "made", "source")
PART_ROWS = 24


def about(numbers: int) -> About:
    return About("made", "made", "0" * 64, "fc7", (numbers,), 1, 256)


def keys_of(count: int) -> list[str]:
    return [hashlib.sha256(b"%d" % n).hexdigest() for n in range(count)]


def vectors(count: int, numbers: int = 40) -> np.ndarray:
    """Like activations after a ReLU: of few directions, many of them zero; float32, N x U."""
    draw = np.random.default_rng(5)
    few = draw.standard_normal((count, 6)) @ draw.standard_normal((6, numbers))
    return np.maximum(few + 0.2 * draw.standard_normal((count, numbers)), 0).astype(np.float32)


def make_index(
    folder: Path,
    rows_NU: np.ndarray,
    keys: Sequence[str] = (),
    places: Sequence[Sequence[Place]] = (),
    add: bool = False,
) -> Index:
    """An index of vectors; row n lies at `n`, or at its `places`."""
    keys = keys or keys_of(len(rows_NU))
    places = places or [[Place(0, str(n), "", "")] for n in range(len(rows_NU))]
    with changing(folder, about(rows_NU.shape[1])) as changed:
        known = Known(changed.parts)
        new = [n for n, key in enumerate(keys) if known.row(key) is None]
        changed.add([keys[n] for n in new], rows_NU[new])
        changed.publish([SOURCE], dict(zip(keys, places, strict=True)), add)
    return Index.open(folder)


def nearest(rows_NU: np.ndarray, keys: Sequence[str], query_U: np.ndarray, top: int) -> list[int]:
    """The rows nearest to a query by comparing it with all in float64, ties in the order of keys."""
    away = ((rows_NU.astype(np.float64) - query_U.astype(np.float64)) ** 2).sum(axis=1)
    return sorted(range(len(keys)), key=lambda n: (away[n], keys[n]))[:top]


def main(folder: Path, count: int) -> None:
    """Make the folder the index of so many rows, with codes; those that it has are not added again."""
    rows_NU = vectors(200)[:count]
    building.PART_BYTES = PART_ROWS * 4 * rows_NU.shape[1]
    make_index(folder, rows_NU, add=True)
    add_codes(folder, 20, method="pca")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
