"""A tar file of class folders. Nothing is extracted, and no name becomes a path."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from alexnet.base.errors import DataError
from alexnet.base.names import is_hidden, printable
from alexnet.formats import tar
from alexnet.formats.tar import Member
from alexnet.sources.base import (
    MAX_FILE_BYTES,
    Fault,
    LabelledImage,
    Source,
    identity_of,
    split_by_content,
)
from alexnet.sources.layout import TRAIN, arrange, is_train

SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")


def is_archive(path: Path) -> bool:
    """Whether the name says that this is a tar file."""
    return path.name.lower().endswith(SUFFIXES)


def open_archive(path: Path, spec: str, validation_share: float) -> Source:
    """The images of a tar file in the order of its members.

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

    def images() -> Iterator[LabelledImage]:
        contents = read_members(path, [member for member, _, _ in listed])
        for (_, parts, (split, label)), (data, fault) in zip(listed, contents, strict=True):
            key = printable("/".join(parts[1:] if split else parts))
            chosen = split or (TRAIN if fault else split_by_content(data, validation_share))
            yield LabelledImage(chosen, key, label, data, fault)

    names = tuple(printable(name) for name in layout.classes)
    return Source(
        spec=spec,
        found=printable(path.name),
        classes=names,
        titles=names,
        splits=layout.splits,
        count=len(listed),
        identity=identity_of([*((m.parts, m.size) for m in members), validation_share]),
        images=images,
        ignored=dict(ignored + layout.ignored),
        warnings=layout.warnings,
        truncated=truncated,
    )


def list_members(path: Path) -> tuple[list[Member], Counter[str], str]:
    """The regular files of a tar file, a count of the rest by kind, and where it breaks off.

    Raises DataError where it is none, or unpacks to far more than images would.
    """
    found: list[Member] = []
    ignored: Counter[str] = Counter()
    name = ""
    try:
        with tar.unpacked(path) as stream:
            for member in tar.members(stream):
                name = "/".join(member.parts) or "."
                if member.ignored:
                    ignored[member.ignored] += 1
                else:
                    found.append(member)
    except (tar.BreaksOff, *tar.UNREADABLE) as error:
        if not name:
            raise DataError(f"Not a readable tar file: {error}.", where=path) from error
        if isinstance(error, tar.BreaksOff) and error.inside:
            if not member.ignored:
                found.pop()
            return found, ignored, f"inside {printable(name)}"
        return found, ignored, f"after {printable(name)}"
    return found, ignored, ""


def read_members(path: Path, members: Iterable[Member]) -> Iterator[tuple[bytes, Fault | None]]:
    """(bytes, None) or (b"", fault) for each member; members must be in the order of the archive."""
    with tar.unpacked(path) as stream:
        for member in members:
            if member.size > MAX_FILE_BYTES:
                yield b"", Fault("too large", f"{member.size:,} bytes")
                continue
            try:
                stream.skip_to(member.offset)
                data = stream.read(member.size)
            except tar.UNREADABLE as error:  # it was changed since it was listed
                yield b"", Fault("unreadable", str(error))
                continue
            yield (data, None) if len(data) == member.size else (b"", Fault("truncated"))


def _without_common_root(paths: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Drop the one folder that everything lies in (imagenette2/train/...), if there is one."""
    visible = [path for path in paths if not any(is_hidden(part) for part in path)]
    roots = {path[0] for path in visible}
    deep = any(len(path) > 2 for path in visible)
    if len(roots) != 1 or not deep or any(is_train(root) for root in roots):
        return paths
    return [path[1:] if path and path[0] in roots else path for path in paths]
