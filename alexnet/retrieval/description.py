"""index.json: what an index holds, how it was made, and of which bytes every one of its files is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from shlex import quote
from typing import Any

from alexnet import __version__
from alexnet.base.errors import DataError, IncompatibleError, UsageError
from alexnet.prepared.sealed import read_sealed, write_sealed

FILE = "index.json"
DRAFT = "draft.json"  # an index that is being built: the same, its last parts without heads
FORMAT = "alexnet-index"
VERSION = 1


@dataclass(frozen=True)
class About:
    """What the vectors are: of which network, which of its activations, of how many views."""

    model: str
    model_folder: str
    weights_sha256: str
    layer: str
    shape: tuple[int, ...]
    views: int
    side: int  # of the network's source images, in pixels

    def require_same(self, other: About, where: Path) -> None:
        """Raise IncompatibleError where the vectors of `other` are none of this index."""
        remedy = f"Use that model ({self.model_folder}), or build another index with -o."
        if self.weights_sha256 != other.weights_sha256:
            raise IncompatibleError(
                f"The index was made with the model {self.weights_sha256}, not with "
                f"{other.weights_sha256} ({other.model}).",
                where=where,
                remedy=remedy,
            )
        for what in ("layer", "views"):
            mine, theirs = getattr(self, what), getattr(other, what)
            if mine != theirs:
                raise IncompatibleError(
                    f"The index has {what} {mine!r}, not {theirs!r}.",
                    where=where,
                    remedy="Build another index: choose its folder with -o.",
                )


@dataclass(frozen=True)
class File:
    """A file of the index.

    A file of vectors has them in the bytes from `first` to `end`, and `sha256` is that of all other
    bytes; of any other file it is that of the whole.
    """

    file: str
    bytes: int
    sha256: str
    first: int = 0
    end: int = 0


@dataclass(frozen=True)
class PartFiles:
    """The files of `rows` vectors: these with their keys, their heads, which images they are of, and
    their codes."""

    rows: int
    vectors: File
    head: File | None = None
    images: File | None = None
    codes: File | None = None

    def __iter__(self) -> Iterator[File]:
        return (one for one in (self.vectors, self.head, self.images, self.codes) if one)


@dataclass(frozen=True)
class CodesOf:
    """The codes of an index: found by which method with which seed, when there were `rows` rows; `file`
    has the coder."""

    method: str
    bits: int
    seed: int
    rows: int
    file: File


@dataclass(frozen=True)
class SourceOf:
    """Where images come from: as typed, and where that is; `kind` is files, prepared or source."""

    spec: str
    root: str
    kind: str


@dataclass(frozen=True)
class Description:
    """The content of index.json.

    `generation` grows with every change, `next_file` with every file that is written. The directions of
    heads were found when there were `directions_rows` rows.
    """

    about: About
    sources: tuple[SourceOf, ...] = ()
    parts: tuple[PartFiles, ...] = ()
    directions: File | None = None
    directions_rows: int = 0
    codes: CodesOf | None = None
    generation: int = 0
    next_file: int = 0
    versions: dict[str, str] = field(default_factory=lambda: {"alexnet": __version__})

    @property
    def rows(self) -> int:
        """Vectors, those of removed images among them."""
        return sum(part.rows for part in self.parts)

    def files(self) -> list[File]:
        """Every file beside index.json."""
        found = [one for part in self.parts for one in part]
        others = (self.directions, self.codes.file if self.codes else None)
        return [*found, *(one for one in others if one)]

    def named(self, kind: str, ending: str) -> tuple[Description, str]:
        """This with one more file taken, and that file's name."""
        name = f"{kind}-{self.next_file:05d}.{ending}"
        return replace(self, next_file=self.next_file + 1), name

    def write(self, path: Path) -> None:
        """Write it as sealed JSON."""
        write_sealed(path, {"format": FORMAT, "version": VERSION, **asdict(self)})


def read_description(folder: Path, name: str = FILE) -> Description:
    """What an index's folder holds.

    Raises UsageError where it is no index, DataError where index.json is damaged, IncompatibleError
    where another version of this program wrote it.
    """
    path = folder / name
    if not path.is_file():
        raise UsageError(
            f"{folder} is not an index: it has no {FILE}.",
            remedy=f"Build one first: alexnet index MODEL SRC -o {quote(str(folder))}",
        )
    value = read_sealed(path)
    if value.get("format") != FORMAT:
        raise DataError("Not the description of an index.", where=path)
    if value.get("version") != VERSION:
        raise IncompatibleError(
            f"The index has format version {value.get('version')}; this program reads {VERSION}.",
            where=folder,
            remedy="Build it again.",
        )
    try:
        return _read(value)
    except (KeyError, TypeError) as error:
        raise DataError(f"{name} makes no sense: {error}.", where=path) from None


def _read(value: dict[str, Any]) -> Description:
    about = dict(value["about"])
    parts = [
        PartFiles(
            one["rows"],
            File(**one["vectors"]),
            *(_file(one[name]) for name in ("head", "images", "codes")),
        )
        for one in value["parts"]
    ]
    codes = value["codes"]
    return Description(
        about=About(**{**about, "shape": tuple(about["shape"])}),
        sources=tuple(SourceOf(**one) for one in value["sources"]),
        parts=tuple(parts),
        directions=_file(value["directions"]),
        directions_rows=value["directions_rows"],
        codes=CodesOf(**{**codes, "file": File(**codes["file"])}) if codes else None,
        generation=value["generation"],
        next_file=value["next_file"],
        versions=value["versions"],
    )


def _file(value: dict[str, Any] | None) -> File | None:
    return File(**value) if value else None
