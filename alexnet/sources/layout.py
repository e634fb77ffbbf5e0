"""Which file belongs to which split and class: one rule for folders and archives, by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from alexnet.base.errors import DataError
from alexnet.base.names import is_hidden, printable

TRAIN = "train"
_TRAIN_NAMES = {"train", "training"}
_HELD_OUT = {"val": "val", "valid": "val", "validation": "val", "test": "test"}


@dataclass(frozen=True)
class Layout:
    """The class names in order, and for each file its (split, class index), or None if it has none.

    The split is "" where the file's content has to decide it.
    """

    classes: tuple[str, ...]
    splits: tuple[str, ...]
    places: list[tuple[str, int] | None]
    ignored: Counter[str]
    warnings: tuple[str, ...]


def is_train(name: str) -> bool:
    """Whether a folder of this name holds the training split."""
    return name.lower() in _TRAIN_NAMES


def arrange(paths: Sequence[tuple[str, ...]], where: object) -> Layout:
    """Read train/CLASS/... with val|valid|validation|test/CLASS/..., or CLASS/... alone.

    A held-out split is called "val"; a "test" beside a "val" keeps its name. Raises DataError where
    there are no class folders, or a held-out class is unknown to training.
    """
    ignored: Counter[str] = Counter()
    kept: list[tuple[str, ...] | None] = []
    for path in paths:
        hidden = any(is_hidden(part) for part in path)
        ignored["hidden"] += hidden
        kept.append(None if hidden else path)
    tops = {path[0].lower() for path in kept if path and len(path) > 1}
    if any(is_train(top) for top in tops):
        names = dict.fromkeys(_TRAIN_NAMES, TRAIN) | {
            top: _HELD_OUT[top] for top in tops if top in _HELD_OUT
        }
        if "val" not in names.values() and "test" in names:
            names["test"] = "val"
        split_of = [names.get(path[0].lower(), "") if path else "" for path in kept]
        class_of = [
            path[1] if path and split and len(path) > 2 else ""
            for path, split in zip(kept, split_of, strict=True)
        ]
        held_out_names = sorted(set(names.values()) - {TRAIN}, key=["val", "test"].index)
    else:
        split_of = [""] * len(kept)
        class_of = [path[0] if path and len(path) > 1 else "" for path in kept]
        held_out_names = []
    ignored["outside class folders"] += sum(
        path is not None and not name for path, name in zip(kept, class_of, strict=True)
    )
    if not any(class_of):
        raise _no_class_folders(sum(path is not None for path in kept), where)
    return _numbered(split_of, class_of, held_out_names, +ignored, where)


def _numbered(
    split_of: list[str],
    class_of: list[str],
    held_out: list[str],
    ignored: Counter[str],
    where: object,
) -> Layout:
    members: dict[str, set[str]] = {}
    for split, name in zip(split_of, class_of, strict=True):
        if name:
            members.setdefault(split, set()).add(name)
    classes = tuple(sorted(members.get(TRAIN, members.get("", set()))))
    held_out = [split for split in held_out if split in members]
    warnings = []
    for split in held_out:
        if unknown := sorted(members[split] - set(classes)):
            raise DataError(
                f"{split!r} has classes that training does not know: {_listed(unknown)}.",
                where=where,
                remedy=f"Training knows: {_listed(classes)}. Rename or remove the folders.",
            )
        if missing := sorted(set(classes) - members[split]):
            warnings.append(f"{split!r} has no images of: {_listed(missing)}.")
    by_content = not held_out
    index = {name: n for n, name in enumerate(classes)}
    places = [
        ("" if by_content else split, index[name]) if name else None
        for split, name in zip(split_of, class_of, strict=True)
    ]
    splits = (TRAIN, *held_out) if held_out else (TRAIN, "val")
    return Layout(classes, splits, places, ignored, tuple(warnings))


def _listed(names: Sequence[str]) -> str:
    return ", ".join(printable(name) for name in names)


def _no_class_folders(files: int, where: object) -> DataError:
    return DataError(
        f"{where} has {files} files but no class folders."
        if files
        else f"{where} has no images in class folders.",
        where=f"Training needs {where}/<class>/*.jpg, one folder for each class.",
        remedy="To name what is in a flat folder of images: alexnet predict MODEL FOLDER"
        if files
        else "Put the images there, those of each class in a folder of its own.",
    )
