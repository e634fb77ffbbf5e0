"""Picture files by the names that people type: files themselves, and folders of them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

_IGNORED = {"Thumbs.db", "desktop.ini"}


def picture_files(names: Sequence[str]) -> list[str]:
    """The files named, and those in the folders named in the order of their paths; hidden ones are
    left out.
    """
    return [file for name in names for file in _below(name)]


def _below(name: str) -> Iterator[str]:
    if not os.path.isdir(name):
        yield name
        return
    for folder, inner, files in os.walk(name):
        inner[:] = sorted(one for one in inner if not one.startswith("."))
        for file in sorted(files):
            if not file.startswith(".") and file not in _IGNORED:
                yield os.path.join(folder, file)
