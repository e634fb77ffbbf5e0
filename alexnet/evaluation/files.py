"""Image files by the names that people type: files themselves, and folders of them."""

from __future__ import annotations

import os
from collections.abc import Sequence

from alexnet.base.errors import DataError
from alexnet.base.names import is_hidden, printable


def image_files(names: Sequence[str]) -> list[str]:
    """The files named, and all in the folders named in the order of their paths, part by part; hidden
    ones are left out.

    Links to folders inside are not followed: they stand among the files, where they are no images.
    Raises DataError for a folder that cannot be read.
    """
    return [file for name in names for file in (_below(name) if os.path.isdir(name) else [name])]


def _below(root: str) -> list[str]:
    found: list[tuple[str, ...]] = []
    stack: list[tuple[str, ...]] = [()]
    while stack:
        folder = stack.pop()
        for entry in _entries(os.path.join(root, *folder)):
            if not is_hidden(entry.name):
                inner = entry.is_dir(follow_symlinks=False)
                (stack if inner else found).append((*folder, entry.name))
    return [os.path.join(root, *path) for path in sorted(found)]


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        raise DataError(
            f"Cannot read the folder: {error.strerror}.",
            where=printable(folder),
            remedy="Change its permissions, or move it elsewhere.",
        ) from error
