"""A tar file of class folders. Nothing is extracted, and no name becomes a path."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from alexnet.base.errors import DataError
from alexnet.base.names import is_hidden, listed, printable
from alexnet.formats import tar
from alexnet.formats.tar import Member
from alexnet.sources.archive_links import with_links
from alexnet.sources.base import (
    MAX_FILE_BYTES,
    Fault,
    Files,
    LabelledImage,
    Source,
    identity_of,
    split_by_content,
    stamp_of,
)
from alexnet.sources.layout import Place, arrange
from alexnet.sources.splits import TRAIN, role_of
from alexnet.sources.tree import Folder

SUFFIXES = (
    *(".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz", ".tbz2", ".tar.xz", ".txz"),
    *(".tar.zst", ".tzst"),
)
_HIDDEN = "hidden"


def is_archive(path: Path) -> bool:
    """Whether the name says that this is a tar file."""
    return path.name.lower().endswith(SUFFIXES)


def open_archive(path: Path, spec: str, validation_share: float, leave_out: bool = False) -> Source:
    """The images of a tar file in the order of their bytes in it: links come after what they name.

    Devices and other members that are not regular files are counted as ignored. Where the archive
    breaks off, everything before counts and `truncated` says where. `leave_out` is that of `arrange`.
    Raises DataError where there are no class folders, or no tar file at all.
    """
    files = Files(path, [()], np.array([stamp_of(path.stat())], np.uint64))
    content = list_members(path)
    layout = arrange(
        [member.parts for member in content.members],
        printable(str(path)),
        content.folders,
        leave_out,
    )
    placed = [
        (member, place)
        for member, place in zip(content.members, layout.places, strict=True)
        if place is not None
    ]
    placed.sort(key=lambda one: one[0].offset)

    def images() -> Iterator[LabelledImage]:
        return read(placed)

    def images_of(split: str) -> Iterator[LabelledImage]:
        return read([one for one in placed if one[1].split == split])

    def read(wanted: list[tuple[Member, Place]]) -> Iterator[LabelledImage]:
        contents = read_members(path, [member for member, _ in wanted])
        for (member, place), (data, fault) in zip(wanted, contents, strict=True):
            by_content = TRAIN if fault else split_by_content(data, validation_share)
            yield LabelledImage(
                place.split or by_content, place.key(member.parts), place.label, data, fault
            )

    return Source(
        spec=spec,
        found=printable(path.name),
        classes=layout.classes,
        titles=layout.titles,
        splits=layout.splits,
        has_splits=layout.has_splits,
        counts=Counter(place.split for _, place in placed),
        images_of=images_of,
        count=len(placed),
        identity=identity_of(
            [*((m.parts, m.size, place) for m, place in placed), validation_share]
        ),
        images=images,
        ignored=dict(content.ignored + layout.ignored),
        warnings=(*layout.warnings, *content.warnings),
        truncated=content.truncated,
        validation_share=validation_share,
        files=files,
    )


@dataclass
class Content:
    """What an archive holds: its files, with links as the files that they name, and all else.

    A link that names no file of it has kept its `ignored`. `truncated` is where the archive breaks off.
    """

    members: list[Member] = field(default_factory=list)
    folders: list[Folder] = field(default_factory=list)
    ignored: Counter[str] = field(default_factory=Counter)
    warnings: list[str] = field(default_factory=list)
    truncated: str = ""


def list_members(path: Path) -> Content:
    """The files of a tar file, a count of the rest by kind, and where it breaks off.

    Raises DataError where it is none, or unpacks to far more than images would.
    """
    found: list[Member] = []
    content = Content()
    try:
        with tar.unpacked(path) as stream:
            for member in tar.members(stream):
                found.append(member)
    except (tar.BreaksOff, *tar.UNREADABLE) as error:
        if not found:
            raise DataError(f"Not a readable tar file: {error}.", where=path) from error
        is_inside = isinstance(error, tar.BreaksOff) and error.inside
        name = printable("/".join(found[-1].parts) or ".")
        content.truncated = f"inside {name}" if is_inside else f"after {name}"
        if is_inside:
            found.pop()
    resolved, lost = with_links(found, path)
    hidden = set[Folder]()
    for member in resolved:
        litter = next((n for n, part in enumerate(member.parts, 1) if is_hidden(part)), 0)
        if litter:
            hidden.add(member.parts[:litter])  # a folder counts once, whatever is in it
        elif member.ignored == tar.FOLDER:
            content.folders.append(member.parts)
        elif member.ignored in ("", tar.HARD_LINK, tar.SYMBOLIC_LINK):
            content.members.append(member)
        else:
            content.ignored[member.ignored] += 1
    content.ignored += Counter({_HIDDEN: len(hidden), tar.SYMBOLIC_LINK: len(lost)})
    parted = [tuple(name.split("/")) for name in lost]
    content.folders += [parts for parts in parted if role_of(parts[-1])]  # splits that are missing
    if lost:
        content.warnings.append(
            f"Links that lead out of the archive, or back to where they lie: {listed(lost)}. To pack "
            "what they lead to: tar --dereference -cf set.tar FOLDER"
        )
    return content


def read_members(path: Path, members: Iterable[Member]) -> Iterator[tuple[bytes, Fault | None]]:
    """(bytes, None) or (b"", fault) for each member; members must be in the order of their bytes."""
    last: Member | None = None
    data, fault = b"", None
    with tar.unpacked(path) as stream:
        for member in members:
            if member.ignored:
                yield b"", Fault("unreadable", "a link to nothing in the archive")
                continue
            if not last or (member.offset, member.size) != (last.offset, last.size):
                data, fault = _read(stream, member)
                last = member
            yield data, fault


def _read(stream: tar.Unpacked, member: Member) -> tuple[bytes, Fault | None]:
    if member.size > MAX_FILE_BYTES:
        return b"", Fault("too large", f"{member.size:,} bytes")
    try:
        stream.skip_to(member.offset)
        data = stream.read(member.size)
    except tar.UNREADABLE as error:  # it was changed since it was listed
        return b"", Fault("unreadable", str(error))
    return (data, None) if len(data) == member.size else (b"", Fault("truncated"))
