"""Links in an archive: each is the file or folder that it leads to inside it; nothing outside is read."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from alexnet.base.errors import DataError
from alexnet.formats import tar
from alexnet.formats.tar import Member
from alexnet.sources.tree import Folder

_MOST_HOPS = 40  # of links, one leading to the next
_MOST_INSIDE = 8  # links to folders, one inside another
_MOST_TIMES = 20  # as many files as there are members, over links to folders


def with_links(members: list[Member], where: Path) -> tuple[list[Member], list[str]]:
    """Every link as the files that it leads to; and the names of those that may stand for folders and do
    not lead to any.

    A hard link is the file of its name that came before, a symbolic link one anywhere in the archive. One
    that has the name of a file and leads to none keeps its `ignored`. Raises DataError where links to
    folders come to far more files than there are.
    """
    files: dict[Folder, Member] = {}
    links: dict[Folder, str] = {}
    resolved: list[Member] = []
    for member in members:
        if member.ignored == tar.HARD_LINK and (target := files.get(tar.parts_of(member.target))):
            member = replace(target, parts=member.parts)
        if member.ignored == tar.SYMBOLIC_LINK:
            links[member.parts] = member.target
        elif not member.ignored:
            files[member.parts] = member
        resolved.append(member)
    if not links:
        return resolved, []
    return _followed(resolved, files, links, where)


def _followed(
    members: list[Member], files: dict[Folder, Member], links: Mapping[Folder, str], where: Path
) -> tuple[list[Member], list[str]]:
    found: list[Member] = []
    lost: list[str] = []
    real = {link: _real(link, links) for link in links}
    for member in members:
        place = real.get(member.parts) if member.ignored == tar.SYMBOLIC_LINK else None
        if place in files:
            member = replace(files[place], parts=member.parts)
        found.append(member)
    inside = _Inside(sorted(filter(_is_file, found), key=lambda one: one.parts), real)
    kept: list[Member] = []
    for member in found:
        before = len(kept)
        if member.ignored == tar.SYMBOLIC_LINK:
            for rest, file in inside.of_link(member.parts, ()):
                kept.append(replace(file, parts=(*member.parts, *rest)))
                if len(kept) > _MOST_TIMES * len(members):
                    raise DataError(
                        "Links to folders in the archive come to far more files than there are.",
                        where=where,
                        remedy="If that is right, unpack it and give the folder.",
                    )
            if len(kept) == before and not _is_file(member):
                lost.append("/".join(member.parts))
                continue
        if len(kept) == before:
            kept.append(member)
    return kept, lost


def _is_file(member: Member) -> bool:
    """Whether a member is a file, or a link to nothing that has the name of one."""
    is_link = member.ignored in (tar.HARD_LINK, tar.SYMBOLIC_LINK)
    return not member.ignored or (is_link and "." in member.parts[-1])


@dataclass
class _Inside:
    """What lies in the folders of an archive: files in the order of their paths, and links to folders."""

    files: list[Member]
    real: Mapping[Folder, Folder | None]

    def __post_init__(self) -> None:
        self._paths = [file.parts for file in self.files]
        folders = {path[:n] for path in (*self._paths, *self.real) for n in range(1, len(path))}
        self._links = sorted(link for link, place in self.real.items() if place in folders)
        to_folders = set(self._links)
        self.files = [file for file in self.files if file.parts not in to_folders]
        self._paths = [file.parts for file in self.files]

    def of_link(self, link: Folder, taken: tuple[Folder, ...]) -> Iterator[tuple[Folder, Member]]:
        """The files in the folder that a link leads to, by their paths in it; none of a loop."""
        place = self.real[link]
        places = (*taken, link[:-1])
        is_loop = place is None or any(one[: len(place)] == place for one in places)
        if place is None or is_loop or len(places) > _MOST_INSIDE:
            return
        for file in _below(self._paths, place):
            yield self._paths[file][len(place) :], self.files[file]
        for number in _below(self._links, place):
            inner = self._links[number]
            for rest, member in self.of_link(inner, places):
                yield (*inner[len(place) :], *rest), member


def _below(paths: list[Folder], folder: Folder) -> Iterator[int]:
    """Where in a sorted list the paths are that lie in a folder."""
    for number in range(bisect_left(paths, folder), len(paths)):
        if paths[number][: len(folder)] != folder:
            return
        if len(paths[number]) > len(folder):
            yield number


def _real(path: Folder, links: Mapping[Folder, str]) -> Folder | None:
    """Where a path leads to over links; None where that is out of the archive, or without end."""
    done: list[str] = []
    todo, hops = list(reversed(path)), 0
    while todo:
        part = todo.pop()
        if part == "..":
            if not done:
                return None
            done.pop()
            continue
        target = links.get((*done, part))
        if target is None:
            done.append(part)
            continue
        hops += 1
        if hops > _MOST_HOPS or target.startswith("/"):
            return None
        todo += reversed(tar.parts_of(target))
    return tuple(done)
