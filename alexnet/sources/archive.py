"""A tar file of class folders. Nothing is extracted, and no name becomes a path."""

from __future__ import annotations

import lzma
import tarfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from alexnet.errors import DataError
from alexnet.sources.base import (
    MAX_FILE_BYTES,
    Picture,
    Source,
    identity_of,
    printable,
    split_by_content,
)
from alexnet.sources.layout import TRAIN, arrange, is_hidden, is_train

SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
_BROKEN = (tarfile.TarError, EOFError, OSError, zlib.error, lzma.LZMAError)


@dataclass(frozen=True, slots=True)
class Member:
    """A regular file of an archive: its name in parts, and where its bytes are once unpacked."""

    parts: tuple[str, ...]
    offset: int
    size: int


def is_archive(path: Path) -> bool:
    """Whether the name says that this is a tar file."""
    return path.name.lower().endswith(SUFFIXES)


def open_archive(path: Path, spec: str, validation_share: float) -> Source:
    """The pictures of a tar file in the order of its members.

    Links, devices and other members that are not regular files are counted as ignored. Where the
    archive breaks off, everything before counts and `truncated` says where. Raises DataError where
    there are no class folders, or no tar file at all.
    """
    members, ignored, truncated = list_members(path)
    paths = _without_common_root([member.parts for member in members])
    layout = arrange(paths, where=printable(str(path)))
    listed = [
        (member, parts, place)
        for member, parts, place in zip(members, paths, layout.places, strict=True)
        if place is not None
    ]

    def pictures() -> Iterator[Picture]:
        contents = read_members(path, [member for member, _, _ in listed])
        for (_, parts, (split, label)), (data, fault) in zip(listed, contents, strict=True):
            key = printable("/".join(parts[1:] if split else parts))
            chosen = split or (TRAIN if fault else split_by_content(data, validation_share))
            yield Picture(chosen, key, label, data, fault)

    names = tuple(printable(name) for name in layout.classes)
    return Source(
        spec=spec,
        found=printable(path.name),
        classes=names,
        titles=names,
        splits=layout.splits,
        count=len(listed),
        identity=identity_of([*((m.parts, m.size) for m in members), validation_share]),
        pictures=pictures,
        ignored=dict(ignored + layout.ignored),
        warnings=layout.warnings,
        truncated=truncated,
    )


def list_members(path: Path) -> tuple[list[Member], Counter[str], str]:
    """The regular files of a tar file, a count of the rest by kind, and where it breaks off."""
    members: list[Member] = []
    ignored: Counter[str] = Counter()
    name, cut = "", False
    try:
        with tarfile.open(path, "r:*", tarinfo=_Header) as archive:
            while (info := archive.next()) is not None:
                archive.members.clear()  # type: ignore[attr-defined]  # or it keeps every header
                name, cut = info.name, False
                if info.isreg() and not info.issparse():
                    parts = tuple(part for part in name.split("/") if part not in ("", "."))
                    members.append(Member(parts, info.offset_data, info.size))
                    cut = True  # until the next header is reached
                elif not info.isdir():
                    ignored["links" if info.issym() or info.islnk() else "not regular files"] += 1
    except _BreaksOff:
        return members, ignored, f"after {printable(name)}"
    except _BROKEN as error:
        if not name:
            raise DataError("Not a readable tar file.", where=path) from error
        if cut:
            members.pop()
        return members, ignored, f"inside {printable(name)}"
    return members, ignored, ""


def read_members(path: Path, members: Iterable[Member]) -> Iterator[tuple[bytes, str]]:
    """(bytes, "") or (b"", fault) for each member; members must be in the order of the archive."""
    with tarfile.open(path, "r:*") as archive:
        stream = archive.fileobj  # what the archive holds, decompressed: offsets count in it
        assert stream is not None
        for member in members:
            if member.size > MAX_FILE_BYTES:
                yield b"", f"too large: {member.size:,} bytes"
                continue
            stream.seek(member.offset)
            data = stream.read(member.size)
            yield (data, "") if len(data) == member.size else (b"", "truncated")


class _BreaksOff(tarfile.ReadError):
    """Where a header should be there is none, and no end mark either."""


class _Header(tarfile.TarInfo):
    """tarfile takes a missing or damaged header for the end of the archive; here it is an error."""

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> _Header:
        try:
            return super().fromtarfile(archive)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]  # the proper end: an empty block
            raise
        except Exception as error:
            raise _BreaksOff(str(error)) from error


def _without_common_root(paths: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Drop the one folder that everything lies in (imagenette2/train/...), if there is one."""
    visible = [path for path in paths if not any(is_hidden(part) for part in path)]
    roots = {path[0] for path in visible}
    deep = any(len(path) > 2 for path in visible)
    if len(roots) != 1 or not deep or any(is_train(root) for root in roots):
        return paths
    return [path[1:] if path and path[0] in roots else path for path in paths]
