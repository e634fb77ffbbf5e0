"""Which file belongs to which split and class: one rule for folders and archives, by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from alexnet.base.errors import DataError
from alexnet.base.names import distinct, kind_of_no_image, listed, one_form, printable
from alexnet.sources.reading import Reading, read_folders
from alexnet.sources.splits import TRAIN
from alexnet.sources.tree import Folder, in_one_form, tree_of

OUTSIDE = "outside class folders"


class Place(NamedTuple):
    """Where the files of a folder belong: split ("" where their content decides) and class number.

    The class is part `at` of their paths; where `over_split`, the part after it names the split.
    """

    split: str
    label: int
    at: int
    over_split: bool

    def key(self, path: Folder) -> str:
        """The name of a file in its split: CLASS/...; safe to print."""
        rest = path[self.at + 1 + self.over_split :]
        return printable("/".join((path[self.at], *rest)))


@dataclass(frozen=True)
class Layout:
    """The class names in order, and for each file its place, or None if it has none.

    `has_splits` is false where the content of the files has to part them.
    """

    classes: tuple[str, ...]
    titles: tuple[str, ...]
    splits: tuple[str, ...]
    has_splits: bool
    places: list[Place | None]
    ignored: Counter[str]
    warnings: tuple[str, ...]


def arrange(
    paths: Sequence[Folder],
    where: str,
    folders: Sequence[Folder] = (),
    leave_out: bool = False,
) -> Layout:
    """Read train/CLASS/..., val/CLASS/..., test/CLASS/... in any spelling, or CLASS/... alone.

    All may lie in other folders. `folders` are those that there are, with images or without; with
    `leave_out`, what cannot be read beside a training split is left out. Raises DataError where there
    are no class folders, a folder looks like a split and cannot be read as one, or a held-out class is
    unknown to training.
    """
    ignored: Counter[str] = Counter()
    images: Counter[Folder] = Counter()
    is_image = []
    for path in paths:
        kind = kind_of_no_image(path[-1])
        is_image.append(not kind)
        if kind:
            ignored[kind] += 1
        else:
            images[path[:-1]] += 1
    empty = dict.fromkeys((folder for folder in folders if folder not in images), 0)
    reading = read_folders(tree_of(images | empty), where, leave_out)
    classes = _classes(reading, images, where)
    place_of = {folder: _place(reading, classes, folder) for folder in images}
    places = [
        place_of[path[:-1]] if image else None for path, image in zip(paths, is_image, strict=True)
    ]
    outside = {folder: count for folder, count in images.items() if place_of[folder] is None}
    ignored[OUTSIDE] += sum(outside.values())
    warnings = [*reading.warnings, *_outside(outside, reading), *_without_images(folders, images)]
    names = tuple(printable(name) for name in classes)
    return Layout(
        classes=names,
        titles=distinct(names),
        splits=reading.splits,
        has_splits=reading.has_splits,
        places=places,
        ignored=+ignored,
        warnings=tuple(warnings),
    )


def _split_and_class(reading: Reading, folder: Folder) -> tuple[str, str, int] | None:
    """(split, class, place of the class in the path) of a folder; None outside class folders."""
    form = in_one_form(folder)
    if any(form[: len(out)] == out for out in reading.left_out):
        return None
    for at in range(min(len(form), reading.depth + 1)):
        split = reading.splits_at.get(form[:at])
        if split is None:
            continue
        if not reading.over_split:
            return split, form[at], at
        if len(form) > at + 1 and form[at + 1] in reading.over_split:
            return reading.over_split[form[at + 1]], form[at], at
    return None


def _place(reading: Reading, classes: dict[str, int], folder: Folder) -> Place | None:
    found = _split_and_class(reading, folder)
    if found is None:
        return None
    split, name, at = found
    return Place(split, classes[name], at, bool(reading.over_split))


def _classes(reading: Reading, images: Iterable[Folder], where: str) -> dict[str, int]:
    """The number of each class; raises DataError where training lacks a class that is held out."""
    members: dict[str, set[str]] = {}
    for folder in images:
        if found := _split_and_class(reading, folder):
            members.setdefault(found[0], set()).add(found[1])
    known = members.get(TRAIN) or members.get("") or set().union(*members.values())
    for split, names in members.items():
        if unknown := sorted(names - known):
            raise DataError(
                f"{split!r} has classes that training does not know: {listed(unknown)}.",
                where=where,
                remedy=f"Training knows: {listed(sorted(known), 50)}. Rename or remove the folders.",
            )
    return {name: n for n, name in enumerate(sorted(known))}


def _outside(outside: dict[Folder, int], reading: Reading) -> list[str]:
    """A sentence on the images that lie in no class folder, but for folders that are named already."""
    left = {
        folder: count
        for folder, count in outside.items()
        if not any(in_one_form(folder)[: len(named)] == named for named in reading.left_out)
    }
    if not left:
        return []
    names = [f"{'/'.join(folder) or '.'}/ ({count:,})" for folder, count in sorted(left.items())]
    return [f"Images outside class folders are not used: {listed(names)}."]


def _without_images(folders: Iterable[Folder], images: Iterable[Folder]) -> list[str]:
    """A sentence on the outermost folders that hold no image at all."""
    holding = {folder[:n] for folder in images for n in range(len(folder) + 1)} | {()}
    empty = sorted(
        "/".join(map(one_form, folder))
        for folder in folders
        if folder not in holding and folder[:-1] in holding
    )
    return [f"Folders without images are no classes: {listed(empty)}."] if empty else []
