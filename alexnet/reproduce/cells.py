"""Cells: one run of one arm of an experiment with one seed, as one small file.

A cell is addressed by the hash of all that determines its numbers: what is trained (`what`), on which
images (`data`), with which seed, and in which arithmetic (`numerics`). Its file

    results/experiments/SCALE/ARM-SEED-ID.json

holds errors, the curve, and one bit for each test image. Tables, figures and verdicts are computed from
such files alone; none is ever changed or written twice.
"""

from __future__ import annotations

import base64
import hashlib
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from alexnet.base.errors import DataError
from alexnet.base.files import canonical_json, read_json, write_json
from alexnet.config import RunConfig
from alexnet.reproduce.arms import Arm
from alexnet.settings import differences as differences_of

FOLDER = Path("results/experiments")
FORMAT = "alexnet-cell"
VERSION = 1
_ADDRESS = ("scale", "arm", "seed", "what", "data", "numerics")
_RESULT = ("made", "errors", "right", "images", "curve", "measures", "arrays")
# Settings that decide no number, or are part of an address by themselves (the model by its cell's id).
_DECIDES_NOTHING = ("recipe", "seed", "checkpoint.", "network.start.model")
_SHOWN = 8  # characters of an id in a file's name


@dataclass(frozen=True)
class Address:
    """All that determines a cell's numbers.

    `what` is every setting that is not the paper's, the version of the arm's definition, and the ids of
    the cells whose model it starts with or averages; `data` the source and its fingerprint; `numerics`
    the device, precision, threads and libraries.
    """

    scale: str
    arm: str
    seed: int
    what: Mapping[str, Any]
    data: Mapping[str, Any]
    numerics: Mapping[str, Any]

    @property
    def id(self) -> str:
        """A SHA-256 in hexadecimal; the names of scale and arm are not part of it."""
        parts = {
            "seed": self.seed,
            "what": self.what,
            "data": self.data["fingerprint"],
            "numerics": self.numerics,
        }
        return hashlib.sha256(canonical_json(parts)).hexdigest()

    @property
    def name(self) -> str:
        """ARM-SEED-ID, what its file and its run are called."""
        return f"{self.arm}-{self.seed}-{self.id[:_SHOWN]}"

    def path(self, folder: Path = FOLDER) -> Path:
        """Where its file is."""
        return folder / self.scale / f"{self.name}.json"


@dataclass(frozen=True)
class Cell:
    """A finished cell. Errors are shares; `right` has a bit for each test image, by number of views."""

    address: Address
    made: Mapping[str, Any]  # commit, machine, seconds
    errors: Mapping[str, Mapping[str, float]]  # "1", "10" views: top1_error, top5_error, loss
    right: Mapping[str, str]  # base64 of packed bits
    images: str  # the SHA-256 of the test images' keys in order
    curve: Mapping[str, Sequence[float]]  # by epoch
    measures: Mapping[str, float] = field(default_factory=dict)
    arrays: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def arm(self) -> str:
        return self.address.arm

    @property
    def seed(self) -> int:
        return self.address.seed

    def right_N(self, views: int) -> np.ndarray:
        """Which test images it classifies rightly from so many views: bool, N."""
        bits = np.frombuffer(base64.b64decode(self.right[str(views)]), np.uint8)
        return np.unpackbits(bits, count=self.address.data["test"]).astype(bool)

    def array(self, name: str) -> np.ndarray:
        """One of its arrays, as float32."""
        stored = self.arrays[name]
        data = np.frombuffer(base64.b64decode(stored["data"]), stored["dtype"])
        return data.reshape(stored["shape"]).astype(np.float32)

    def save(self, folder: Path = FOLDER) -> Path:
        """Write its file, whole or not at all; where it is."""
        address, path = self.address, self.address.path(folder)
        path.parent.mkdir(parents=True, exist_ok=True)
        content = {
            "format": FORMAT,
            "version": VERSION,
            "id": address.id,
            **{part: getattr(address, part) for part in _ADDRESS},
            **{part: getattr(self, part) for part in _RESULT},
        }
        write_json(path, {**content, "sha256": _digest(content)})
        return path

    @classmethod
    def load(cls, path: Path) -> Cell:
        """Read a file; raises DataError where it is not a cell, or not what was written."""
        try:
            stored = read_json(path)
        except DataError as error:
            raise _damaged(path, f"not a cell ({error.what.rstrip('.')})") from None
        try:
            if (stored["format"], stored["version"]) != (FORMAT, VERSION):
                raise KeyError("format")
            address = Address(*(stored[part] for part in _ADDRESS))
            cell = cls(address, *(stored[part] for part in _RESULT))
            intact = stored.pop("sha256") == _digest(stored) and stored["id"] == address.id
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise _damaged(path, f"not a cell of this version ({error})") from None
        if not intact:
            raise _damaged(path, "not what was written: its contents were changed")
        if path.name != address.path().name:
            raise _damaged(path, f"not where it belongs: it is a copy of {address.path().name}")
        return cell


def what_of(arm: Arm) -> dict[str, Any]:
    """What an arm trains: every setting that is not the paper's and decides a number, and its version.

    A setting that is added with a value that changes nothing makes no other cells.
    """
    settings = {
        one.key: one.second
        for one in differences_of(RunConfig(), arm.config(0))
        if one.second is not None and not one.key.startswith(_DECIDES_NOTHING)
    }
    return {"settings": settings, "version": arm.version}


def packed(right_N: np.ndarray) -> str:
    """A bit for each image as base64 text: the inverse of `Cell.right_N`."""
    return base64.b64encode(np.packbits(right_N).tobytes()).decode()


def stored_array(array: np.ndarray) -> dict[str, Any]:
    """An array as a cell keeps it, in float16: the inverse of `Cell.array`."""
    half = array.astype(np.float16)
    data = base64.b64encode(half.tobytes()).decode()
    return {"shape": list(half.shape), "dtype": "float16", "data": data}


def load_cells(folder: Path = FOLDER, scale: str = "") -> tuple[list[Cell], list[DataError]]:
    """All cells of a folder, or of one scale, by name; and what is wrong with files that are none.

    A damaged file hides no other cell: it counts as one that is not there.
    """
    cells, damaged = [], []
    for path in sorted((folder / scale).rglob("*-*-*.json")):
        try:
            cells.append(Cell.load(path))
        except DataError as error:
            damaged.append(error)
    return cells, damaged


def differences(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """In what two parts of addresses differ: "config.length: 20 epochs, 30 epochs"."""
    mine, theirs = dict(_leaves(one)), dict(_leaves(other))
    return [
        f"{key}: {_told(mine, key)}, {_told(theirs, key)}"
        for key in {**mine, **theirs}
        if mine.get(key) != theirs.get(key)
    ]


def _told(values: Mapping[str, Any], key: str) -> Any:
    value = values.get(key, "not there")
    return "empty" if value in ("", [], {}) else value


def _leaves(values: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _digest(content: Mapping[str, Any]) -> str:
    """A SHA-256 of all else in a file, so that no number in it changes unseen."""
    return hashlib.sha256(canonical_json(dict(content))).hexdigest()


def _damaged(path: Path, what: str) -> DataError:
    return DataError(
        f"This file is {what}.",
        where=path,
        remedy=f"Move it away, and it is made anew: mv {shlex.quote(str(path))} /tmp",
    )
