"""The files below a folder, over links too: one rule for all that read folders of images."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from alexnet.base.errors import DataError
from alexnet.base.names import is_hidden, printable

Names = tuple[str, ...]  # of a file or folder and those it lies in, from the outermost
_MOST_LINKS = 8  # folders that are links, one in another


@dataclass
class Walk:
    """What a walk met beside files: folders, how much litter, and links back to where they lie."""

    folders: list[Names] = field(default_factory=list)
    hidden: int = 0
    loops: list[Names] = field(default_factory=list)


def walk(root: Path | str, met: Walk) -> Iterator[tuple[Names, os.DirEntry[str]]]:
    """Every file below `root`, in no order; litter is left out, and what links lead to is walked.

    A link to a folder that it lies in is not followed, so that there is an end. Raises DataError for a
    folder that cannot be read.
    """
    # Each folder with the real places of the links that were taken to it.
    stack: list[tuple[Names, Names]] = [((), ())]
    while stack:
        folder, taken = stack.pop()
        for entry in _entries(os.path.join(root, *folder)):
            path = (*folder, entry.name)
            if is_hidden(entry.name):
                met.hidden += 1
            elif entry.is_dir(follow_symlinks=False):
                met.folders.append(path)
                stack.append((path, taken))
            elif entry.is_symlink() and os.path.isdir(entry.path):
                here = os.path.realpath(os.path.dirname(entry.path))
                if _is_loop(os.path.realpath(entry.path), (*taken, here)):
                    met.loops.append(path)
                else:
                    met.folders.append(path)
                    stack.append((path, (*taken, here)))
            else:
                yield path, entry


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


def _is_loop(target: str, places: Names) -> bool:
    """Whether a link's target holds the link itself, or one of those that led to it."""
    inside = target.rstrip(os.sep) + os.sep
    return len(places) > _MOST_LINKS or any((place + os.sep).startswith(inside) for place in places)
