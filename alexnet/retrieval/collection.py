"""The images that an index is made of, whatever they come from: files, a prepared set, another source."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from alexnet.base.errors import DataError, IncompatibleError, UsageError
from alexnet.base.names import printable
from alexnet.loading.files import image_files
from alexnet.prepared import PreparedDataset
from alexnet.prepared.stamps import inputs_of
from alexnet.retrieval.description import SourceOf
from alexnet.sources import Source, open_source
from alexnet.sources.archive import is_archive
from alexnet.sources.base import LabelledImage, read_file

Content = bytes | np.ndarray  # of a file, or prepared pixels


class Item(NamedTuple):
    """An image: its path in the collection, what is known of it, the SHA-256 of its file's bytes.

    `content` gives its bytes or pixels; where it could not be read, `fault` says why.
    """

    path: str
    split: str
    label: str
    sha256: str
    content: Callable[[], Content]
    fault: str = ""


@dataclass(frozen=True)
class Collection:
    """Images under one name, `count` of them; `read` gives the contents of some paths, in any order."""

    source: SourceOf
    count: int
    images: Callable[[], Iterator[Item]]
    read: Callable[[set[str]], Iterator[tuple[str, Content]]]


def open_collection(spec: str, side: int) -> Collection:
    """The images that a name stands for: a folder, an image file, a prepared set, any other source.

    `side` is that of prepared images, in pixels. Raises the errors of whoever reads them.
    """
    path = Path(spec)
    root = str(path.resolve()) if path.exists() else spec
    if (path / "dataset.json").is_file():
        return _prepared(SourceOf(spec, root, "prepared"), side)
    if path.is_dir() or (path.is_file() and not is_archive(path) and _is_image(path)):
        return _files(SourceOf(spec, root, "files"))
    return _source(SourceOf(spec, root, "source"))


# --- Files ----------------------------------------------------------------------------------------


def _is_image(path: Path) -> bool:
    """Whether a file is taken for an image: no table or other thing that holds several."""
    return path.suffix.lower() not in (".parquet", ".csv", ".json", ".jsonl", ".txt")


def _files(source: SourceOf) -> Collection:
    root = Path(source.root)
    files = image_files([source.root]).paths
    known = _splits_and_classes(source.root) if root.is_dir() else {}

    def path_of(file: str) -> str:
        return os.path.relpath(file, root) if root.is_dir() else root.name

    def images() -> Iterator[Item]:
        for file in files:
            path = path_of(file)
            data, fault = read_file(Path(file)) if os.path.isfile(file) else (b"", None)
            split, label = known.get(file, ("", _folder_of(path)))
            why = f"Cannot read: {fault.detail or fault.reason}." if fault else ""
            why = why or ("" if os.path.isfile(file) else "Not an image file.")
            sha256 = hashlib.sha256(data).hexdigest()
            yield Item(printable(path), split, label, sha256, partial(_same, data), why)

    def read(paths: set[str]) -> Iterator[tuple[str, Content]]:
        for file in files:
            if (path := printable(path_of(file))) in paths:
                data, fault = read_file(Path(file))
                if not fault:
                    yield path, data

    return Collection(source, len(files), images, read)


def _splits_and_classes(root: str) -> dict[str, tuple[str, str]]:
    """Split and class of the files of a folder, as training reads them; nothing where it cannot."""
    try:
        found = open_source(root, validation_share=0.0)
    except DataError:
        return {}
    if found.listed is None:
        return {}
    return {str(one.path): (one.split, found.classes[one.label]) for one in found.listed()}


def _folder_of(path: str) -> str:
    return printable(os.path.basename(os.path.dirname(path)))


def _same(data: bytes) -> bytes:
    return data


# --- Prepared sets and other sources --------------------------------------------------------------


def _prepared(source: SourceOf, side: int) -> Collection:
    dataset = PreparedDataset.open(source.root)
    if dataset.side != side:
        raise IncompatibleError(
            f"The set has images of {dataset.side} pixels, and the network reads {side}.",
            where=source.spec,
            remedy=f"Prepare it again: alexnet data prepare SRC --side {side}",
        )
    splits = [dataset.split(name) for name in dataset.splits]

    def images() -> Iterator[Item]:
        inputs = inputs_of(dataset)
        sha256_N32, split_N = inputs.sha256_N, inputs.split_N
        for images in splits:
            mine = np.zeros(len(inputs), np.bool_)
            if images.name in inputs.splits:
                mine = inputs.is_accepted_N & (split_N == inputs.splits.index(images.name))
            rows = np.flatnonzero(mine)
            if len(rows) != len(images):
                raise DataError(
                    f"The list of inputs has {len(rows):,} images of {images.name!r}, "
                    f"the shards {len(images):,}.",
                    where=dataset.folder,
                    remedy="Prepare the set again.",
                )
            for n, row in enumerate(rows.tolist()):
                label = dataset.classes[images.labels[n]]
                digest = sha256_N32[row].tobytes().hex()
                path = f"{images.name}/{images.key(n)}"
                yield Item(path, images.name, label, digest, partial(images.pixels, n))

    def read(paths: set[str]) -> Iterator[tuple[str, Content]]:
        for images in splits:
            for n in range(len(images)):
                if (path := f"{images.name}/{images.key(n)}") in paths:
                    yield path, images.pixels(n)

    return Collection(source, sum(map(len, splits)), images, read)


def _source(source: SourceOf) -> Collection:
    found = open_source(source.root, validation_share=0.0)

    def read(paths: set[str]) -> Iterator[tuple[str, Content]]:
        left = set(paths)
        for image in found.images():  # not `_items`, which hashes every one
            path = _path_of(image)
            if path in left and not image.fault:
                left.discard(path)
                yield path, image.data
            if not left:
                return

    return Collection(source, found.count, partial(_items, found), read)


def _items(found: Source) -> Iterator[Item]:
    for image in found.images():
        path = _path_of(image)
        fault = " ".join(filter(None, image.fault or ()))
        sha256 = hashlib.sha256(image.data).hexdigest()
        label = found.classes[image.label]
        content = partial(_same, image.data)
        yield Item(path, image.split, label, sha256, content, fault)


def _path_of(image: LabelledImage) -> str:
    return f"{image.split}/{image.key}"


def contents(
    sources: Sequence[SourceOf], wanted: Mapping[int, set[str]], side: int
) -> Iterator[tuple[int, str, Content]]:
    """The contents of images of an index: of each source, by its number, the paths that are wanted.

    Those that cannot be read any more are left out.
    """
    for number, paths in wanted.items():
        try:
            for path, content in open_collection(sources[number].root, side).read(paths):
                yield number, path, content
        except (DataError, UsageError, IncompatibleError):  # moved, or another set now
            continue


def require_same_bytes(content: Content, key: str) -> None:
    """Raise DataError where a file is not the one that was indexed; prepared pixels are not looked at."""
    if isinstance(content, bytes) and hashlib.sha256(content).hexdigest() != key:
        raise DataError("Another image lies there now.", remedy="Index the images again.")
