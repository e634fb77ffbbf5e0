"""What is in a folder, to be compared with another."""

from __future__ import annotations

from pathlib import Path

_OF_ITS_PLACE = (
    "source.stamps"  # of a prepared set: times and numbers of the files it was made from
)


def contents(folder: Path) -> dict[str, bytes]:
    """The bytes of every file in a folder and those inside it, by its path in the folder.

    Where a prepared set notes how to know its source again is left out.
    """
    found = (path for path in folder.rglob("*") if path.is_file() and path.name != _OF_ITS_PLACE)
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}
