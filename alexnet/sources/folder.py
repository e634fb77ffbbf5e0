"""A directory with one folder for each class."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from alexnet.base.errors import DataError
from alexnet.base.names import is_hidden, printable
from alexnet.sources.base import (
    MAX_FILE_BYTES,
    Fault,
    LabelledImage,
    Source,
    identity_of,
    split_by_content,
)
from alexnet.sources.layout import arrange, is_train


def open_folder(folder: Path, spec: str, validation_share: float) -> Source:
    """The images of `folder` in the order of their paths.

    Links are not followed out of the tree, and only regular files are opened: anything else is
    given as an image with a fault. Raises DataError where there are no class folders.
    """
    files, faults, hidden, empty = _scan(folder)
    layout = arrange([path for path, _ in files], where=printable(str(folder)))
    listed = [
        (path, size, place)
        for (path, size), place in zip(files, layout.places, strict=True)
        if place is not None
    ]

    def images() -> Iterator[LabelledImage]:
        for path, _, (split, label) in listed:
            key = printable("/".join(path[1:] if split else path))
            data, fault = b"", faults.get(path)
            if fault is None:
                data, fault = _read(folder.joinpath(*path))
            chosen = split or ("train" if fault else split_by_content(data, validation_share))
            yield LabelledImage(chosen, key, label, data, fault)

    ignored = Counter({"hidden": hidden}) + layout.ignored
    warnings = list(layout.warnings)
    if empty:
        warnings.append(f"Empty folders are no classes: {', '.join(sorted(empty))}.")
    return Source(
        spec=spec,
        found=printable(folder.resolve().name),
        classes=tuple(printable(name) for name in layout.classes),
        titles=tuple(printable(name) for name in layout.classes),
        splits=layout.splits,
        count=len(listed),
        identity=identity_of([*listed, validation_share]),
        images=images,
        ignored=dict(ignored),
        warnings=tuple(warnings),
    )


def _scan(
    root: Path,
) -> tuple[list[tuple[tuple[str, ...], int]], dict[tuple[str, ...], Fault], int, list[str]]:
    """Every file below `root` (path, size), what is wrong with some, hidden ones, empty folders."""
    files: list[tuple[tuple[str, ...], int]] = []
    faults: dict[tuple[str, ...], Fault] = {}
    hidden, empty, inside = 0, [], root.resolve()
    stack: list[tuple[str, ...]] = [()]
    while stack:
        folder = stack.pop()
        try:
            entries = list(os.scandir(root.joinpath(*folder)))
        except OSError as error:
            raise DataError(
                f"Cannot read the folder: {error.strerror}.",
                where=printable(str(root.joinpath(*folder))),
                remedy="Change its permissions, or move it out of the set.",
            ) from error
        seen = [entry for entry in entries if not is_hidden(entry.name)]
        hidden += len(entries) - len(seen)
        if not seen and folder:
            empty.append(printable("/".join(folder)))
        for entry in seen:
            path = (*folder, entry.name)
            if entry.is_dir(follow_symlinks=False):
                stack.append(path)
                continue
            size, fault = _inspect(entry, inside)
            in_split = is_train(path[0]) and len(path) == 2
            if fault and (len(path) == 1 or in_split) and os.path.isdir(entry.path):
                raise DataError(
                    f"A class folder is a {fault.reason}, and those are not followed.",
                    where=printable(str(root.joinpath(*path))),
                    remedy="Put the folder itself there.",
                )
            files.append((path, size))
            if fault:
                faults[path] = fault
    return sorted(files), faults, hidden, empty


def _inspect(entry: os.DirEntry[str], root: Path) -> tuple[int, Fault | None]:
    """(bytes, None) of a regular file, or (0, what is wrong with it)."""
    try:
        if entry.is_symlink():
            if not Path(entry.path).resolve(strict=True).is_relative_to(root):
                return 0, Fault("link out of the tree")
            if entry.is_dir():
                return 0, Fault("link to a folder")
        status = entry.stat()
    except (OSError, RuntimeError) as error:
        return 0, Fault("unreadable", getattr(error, "strerror", None) or "a loop of links")
    if not stat.S_ISREG(status.st_mode):
        return 0, Fault("not a regular file")
    if status.st_size > MAX_FILE_BYTES:
        return 0, Fault("too large", f"{status.st_size:,} bytes")
    return status.st_size, None


def _read(path: Path) -> tuple[bytes, Fault | None]:
    """(bytes, None) or (b"", fault): a file may vanish or be locked between listing and reading."""
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        return b"", Fault("unreadable", error.strerror or "")
    return (data, None) if len(data) <= MAX_FILE_BYTES else (b"", Fault("too large", "it grew"))
