"""A directory with one folder for each class, or with such folders for each split."""

from __future__ import annotations

import os
import stat
from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import compress
from pathlib import Path

import numpy as np

from alexnet.base.names import kind_of_no_image, listed, printable
from alexnet.base.walk import Walk, walk
from alexnet.sources.base import (
    MAX_FILE_BYTES,
    Fault,
    Files,
    LabelledImage,
    Listed,
    Source,
    identity_of,
    read_listed,
    stamp_of,
)
from alexnet.sources.layout import Place, arrange
from alexnet.sources.splits import role_of
from alexnet.sources.tree import Folder

_UNSEEN = 0, 0, 0, 0  # the stamp of what is not read


def open_folder(
    folder: Path, spec: str, validation_share: float, leave_out: bool = False
) -> Source:
    """The images of `folder` in the order of their paths.

    What links lead to is read, files and folders, but for folders that the link lies in. Only regular
    files are opened: anything else is given as an image with a fault. `leave_out` is that of `arrange`.
    Raises DataError where there are no class folders, or it is not clear which they are.
    """
    found = _scan(folder)
    layout = arrange(
        found.files, printable(str(folder)), [*found.folders, *found.lost_splits()], leave_out
    )
    is_placed = [place is not None for place in layout.places]
    paths = list(compress(found.files, is_placed))
    places = [place for place in layout.places if place is not None]
    stamps_N4, faults = found.stamps_N4[is_placed], found.faults

    def listing() -> Iterator[Listed]:
        for path, place in zip(paths, places, strict=True):
            yield Listed(
                place.split,
                place.key(path),
                place.label,
                folder.joinpath(*path),
                faults.get(path),
            )

    def images() -> Iterator[LabelledImage]:
        return read_listed(listing(), validation_share)

    ignored = (
        Counter({"hidden": found.hidden, "links in a loop": len(found.loops)}) + layout.ignored
    )
    return Source(
        spec=spec,
        found=printable(folder.resolve().name),
        classes=layout.classes,
        titles=layout.titles,
        splits=layout.splits,
        has_splits=layout.has_splits,
        counts=Counter(place.split for place in places),
        count=len(paths),
        identity=identity_of([*_names_and_sizes(paths, stamps_N4, places), validation_share]),
        images=images,
        ignored=dict(ignored),
        warnings=(*layout.warnings, *_about_links(found, layout.places)),
        validation_share=validation_share,
        files=Files(folder, paths, stamps_N4, found.listed_at),
        listed=listing,
    )


@dataclass
class _Found(Walk):
    """Every file below a folder with its stamp, what is wrong with some, and what else there is."""

    files: list[Folder] = field(default_factory=list)
    stamps_N4: np.ndarray = field(default_factory=lambda: np.zeros((0, 4), np.uint64))
    faults: dict[Folder, Fault] = field(default_factory=dict)
    listed_at: int = 0

    def lost_splits(self) -> list[Folder]:
        """The links that have the name of a split and lead to no folder: it is on a disk that is not
        there, perhaps, and no reason to make another."""
        lost = [path for path, fault in self.faults.items() if fault.reason == "unreadable"]
        return [path for path in (*lost, *self.loops) if role_of(path[-1])]


def _scan(root: Path) -> _Found:
    """What is below `root`, links followed."""
    found, stamps = _Found(listed_at=Files(root).listed_at), array("Q")
    for path, entry in walk(root, found):
        stamp, fault = _UNSEEN, None
        if not kind_of_no_image(entry.name):
            stamp, fault = _inspect(entry)
        found.files.append(path)
        stamps.extend(stamp)  # numbers in a row: a million files are to fit into memory
        if fault:
            found.faults[path] = fault
    order = sorted(range(len(found.files)), key=found.files.__getitem__)
    found.files = [found.files[n] for n in order]
    found.stamps_N4 = np.array(stamps, np.uint64).reshape(-1, 4)[order]
    return found


def _names_and_sizes(
    paths: list[Folder], stamps_N4: np.ndarray, places: list[Place]
) -> Iterator[object]:
    """Of every image what can be said without reading it."""
    for path, size, place in zip(paths, stamps_N4[:, 0].tolist(), places, strict=True):
        yield path, size, *place


def _inspect(entry: os.DirEntry[str]) -> tuple[tuple[int, int, int, int], Fault | None]:
    """(stamp, None) of a regular file, or what is wrong with it."""
    try:
        status = entry.stat()
    except OSError as error:
        is_link = entry.is_symlink() and isinstance(error, FileNotFoundError)
        return _UNSEEN, Fault(
            "unreadable", "a link to nothing" if is_link else error.strerror or ""
        )
    if not stat.S_ISREG(status.st_mode):
        return _UNSEEN, Fault("not a regular file")
    if status.st_size > MAX_FILE_BYTES:
        return _UNSEEN, Fault("too large", f"{status.st_size:,} bytes")
    return stamp_of(status), None


def _about_links(found: _Found, places: list[Place | None]) -> list[str]:
    """What is to be said of links that are not read, and are not rejected as images either."""
    lost = [
        "/".join(path)
        for path, place in zip(found.files, places, strict=True)
        if place is None and path in found.faults
    ]
    loops = ["/".join(path) for path in found.loops]
    return [
        f"{what}: {listed(names)}."
        for what, names in (
            ("Links back to a folder that they lie in are not followed", loops),
            ("Outside class folders, these cannot be read (links to nothing, pipes)", lost),
        )
        if names
    ]
