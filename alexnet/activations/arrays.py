"""Arrays with one row for each image, as files: what the formats have in common.

A file gets its name when it is whole; where several belong together, the one that describes them comes
last, and goes first where they are replaced.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from alexnet.base import files
from alexnet.base.errors import DataError, UsageError, did_you_mean
from alexnet.base.files import Writer, drafts, read_json
from alexnet.base.provenance import names_hash

NOT_ARRAYS = {"keys", "labels", "about"}  # of the names in a .h5, .mat or .npz

# Takes the keys of the next images, one at least, and their rows of every array.
Write = Callable[[Sequence[str], Mapping[str, np.ndarray]], None]


@dataclass(frozen=True)
class Output:
    """What is about to be written: for each of at most `most` images a row of every array.

    `shapes` are those of one row. `about` says what the arrays are; it is read when the last row is
    written, and may be completed until then. `columns` are the names of one row's numbers in a .csv, by
    array; without them `fc7[0]` ... or `conv3[0,0,0]` ... `labels` are the classes of images, where they
    are known, by the keys of all.
    """

    path: Path
    most: int
    shapes: Mapping[str, tuple[int, ...]]
    dtype: np.dtype[Any]
    about: Mapping[str, Any]
    columns: Mapping[str, Sequence[str]] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def numbers(self) -> int:
        """How many numbers there are at most."""
        return self.most * sum(prod(shape) for shape in self.shapes.values())

    def described(self, count: int) -> dict[str, Any]:
        """`about`, and the arrays in their order with the number of images that there are."""
        layers = [{"name": name, "shape": [count, *shape]} for name, shape in self.shapes.items()]
        return {**self.about, "layers": layers}


class Gathered:
    """Rows gathered in nameless files beside a draft, for formats that ask first how many there are.

    The files last as long as `stack`.
    """

    def __init__(self, output: Output, draft: Path, stack: ExitStack) -> None:
        self.output, self.draft = output, draft
        self.keys: list[str] = []
        self._spools = {
            name: stack.enter_context(tempfile.TemporaryFile(dir=draft.parent))  # noqa: SIM115
            for name in output.shapes
        }

    def write(self, some: Sequence[str], rows: Mapping[str, np.ndarray]) -> None:
        """Take the next rows of every array."""
        files.step("write", self.draft)
        self.keys.extend(some)
        for name, spool in self._spools.items():
            spool.write(np.ascontiguousarray(rows[name], self.output.dtype).data)

    def labels(self) -> list[str]:
        """The class of every image; none where they are not known."""
        known = self.output.labels
        return [known[key] for key in self.keys] if known else []

    def arrays(self) -> dict[str, np.ndarray]:
        """The whole arrays by name, mapped."""
        for spool in self._spools.values():
            spool.flush()
        return {
            name: np.memmap(
                spool, self.output.dtype, "r", shape=(len(self.keys), *self.output.shapes[name])
            )
            for name, spool in self._spools.items()
        }


@dataclass(frozen=True)
class Stored:
    """`layers` by name, each an array or what reads like one, N rows; `keys` of the N images.

    Only the rows that are asked for are read, but for a .mat, .npz or .parquet, which are read whole.
    `about` is what was written of them; `labels` are the images' classes, empty where none were known.
    """

    keys: tuple[str, ...]
    layers: Mapping[str, Any]
    about: Mapping[str, Any]
    labels: tuple[str, ...] = ()

    def layer(self, name: str) -> Any:
        """One layer by its name; raises UsageError for one that is not there."""
        if name not in self.layers:
            raise UsageError(
                f"There is no layer {name!r} in the file.",
                remedy=did_you_mean(name, self.layers),
            )
        return self.layers[name]


# --- Files of several layers: one for each, and one that describes them ---------------------------


def array_files(path: Path, names: Sequence[str]) -> dict[str, Path]:
    """The file of each array: `f.conv3.npy` and `f.fc7.npy` of several, `f.npy` of one."""
    if len(names) == 1:
        return dict.fromkeys(names, path)
    return {name: path.with_name(f"{path.stem}.{name}{path.suffix}") for name in names}


def keys_file(path: Path) -> Path:
    """The keys of `f.npy`: `f.keys.csv`."""
    return path.with_suffix(".keys.csv")


def about_file(path: Path) -> Path:
    """What `f.npy` is: `f.json`; `f.csv` may lie beside it: `f.csv.json`."""
    return path.with_suffix(".json" if path.suffix == ".npy" else f"{path.suffix}.json")


@contextmanager
def writers(paths: Sequence[Path]) -> Iterator[dict[Path, Writer]]:
    """A writer for each of the files, which get their names in this order when the block ends."""
    with drafts(paths) as places, ExitStack() as stack:
        opened = {
            path: stack.enter_context(closing(Writer(place)))
            for path, place in zip(paths, places, strict=True)
        }
        yield opened
        for writer in opened.values():
            writer.finish()


def described_files(
    output: Output, keys: Sequence[str], digests: Mapping[Path, str]
) -> dict[str, Any]:
    """What `described` says, and of which bytes each array's file is, and of which keys."""
    about = output.described(len(keys))
    for layer in about["layers"]:
        path = array_files(output.path, tuple(output.shapes))[layer["name"]]
        layer |= {"file": path.name, "sha256": digests[path]}
    return {**about, "keys_sha256": names_hash(keys)}


def description(path: Path) -> tuple[dict[str, Any], Path]:
    """The description of the files that `path` is one of, and their common name; else nothing.

    Raises DataError where there are keys but no description that they and `path` have in common.
    """
    stem = path.stem
    while stem:
        whose = path.with_name(stem + path.suffix)
        about = read_json(about_file(whose)) if about_file(whose).is_file() else {}
        known = [layer["file"] for layer in about["layers"]] if "layers" in about else []
        stands_for_all = whose == path and not path.exists() and known
        if path.name in known or (stands_for_all and known[0].endswith(path.suffix)):
            return about, whose
        if path.suffix == ".npy" and keys_file(whose).is_file() and (whose == path or not about):
            raise mixed(
                f"No {about_file(whose).name} says that {path.name} has the keys of "
                f"{keys_file(whose).name}.",
                path,
            )
        stem = stem.rpartition(".")[0]
    return {}, path


def described_arrays(path: Path, about: Mapping[str, Any]) -> dict[str, Path]:
    """The file of each layer that `path` stands for."""
    known = {one["name"]: path.with_name(one["file"]) for one in about.get("layers", [])}
    asked = {name: file for name, file in known.items() if file == path}
    return asked or known or {path.stem: path}


# --- Keys, names and what is wrong with files -----------------------------------------------------


def numbered(layers: Mapping[str, Any]) -> tuple[str, ...]:
    """Keys for rows that have none."""
    return tuple(str(n) for rows in list(layers.values())[:1] for n in range(len(rows)))


def names(about: Mapping[str, Any]) -> list[str]:
    """The layers that a description has, in the order in which they were asked for."""
    return [layer["name"] for layer in about.get("layers", [])]


def in_order(layers: Mapping[str, Any], about: Mapping[str, Any]) -> dict[str, Any]:
    """Layers as they were asked for; files may list them by the alphabet."""
    order = [name for name in names(about) if name in layers]
    return {name: layers[name] for name in dict.fromkeys([*order, *layers])}


def utf8(text: str) -> bytes:
    """Text as bytes; names of files need not be UTF-8."""
    return text.encode("utf-8", "surrogateescape")


def unreadable(path: Path, error: Exception) -> DataError:
    """What a library says of a damaged file."""
    said = str(error).partition("\n")[0] or type(error).__name__
    return DataError(f"Not a readable {path.suffix} file: {said}.", where=path)


def mixed(what: str, path: Path) -> DataError:
    """Files of several writings, found together."""
    return DataError(what, where=path, remedy="The files do not belong together: write them again.")
