"""How a tree of folders is meant: which are splits, which are classes, and what stops because it may be
either.

No part of the training images takes the place of a validation set that is there: what looks like a
split and cannot be read as one is named, and ends it, unless the caller asked to leave it out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from shlex import quote

from alexnet.base.errors import DataError
from alexnet.base.names import listed, printable
from alexnet.sources.refusals import (
    counted,
    no_class_folders,
    no_classes_in,
    path_of,
    train_by_another_name,
    unclear,
)
from alexnet.sources.splits import GENERIC, TEST, TRAIN, VAL, role_of, roles, settled
from alexnet.sources.tree import Folder, Node, with_same_folders

_FEWEST_THINGS = 2  # class folders beside a folder "train" that make it a class, of vehicles


@dataclass(frozen=True)
class Reading:
    """`splits_at`: the folders that hold class folders, and their splits ("": content decides).

    `over_split` has the split of each folder inside a class folder, where the splits are there.
    """

    splits_at: Mapping[Folder, str]
    splits: tuple[str, ...]
    has_splits: bool
    over_split: Mapping[str, str] = field(default_factory=dict)
    left_out: tuple[Folder, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def depth(self) -> int:
        """How deep the deepest folder with class folders lies."""
        return max(map(len, self.splits_at), default=0)


def read_folders(root: Node, where: str, leave_out: bool) -> Reading:
    """What the folders below `root` mean; with `leave_out`, what cannot be read beside training images
    is left out. Raises DataError where that is not clear.
    """
    base = _without_wrappers(root)
    tops = list(base.inner())
    if not tops:
        raise no_class_folders(root.total, where)
    named = settled(roles([node.name for node in base.children.values()]))
    _require_one_each(base, named, where)
    split_tops = [node for node in tops if node.name in named]
    if not split_tops or _is_a_thing(tops, split_tops, named):
        return _by_class(root, base, named, where)
    return _by_split(base, named, where, leave_out)


def _without_wrappers(root: Node) -> Node:
    """The folder that splits or classes lie in: `root`, or the one folder in it, and so on."""
    while len(inner := list(root.inner())) == 1:
        (only,) = inner
        deeper = list(only.inner())
        named = settled(roles([node.name for node in deeper]))
        holds = {named[one.name] for one in deeper if one.name in named and one.has_folders}
        is_outer = len(holds) > 1 if role_of(only.name) else holds or not only.direct
        if not deeper or not is_outer:
            break
        root = only
    return root


def _is_a_thing(tops: list[Node], split_tops: list[Node], named: Mapping[str, str]) -> bool:
    """Whether a folder called "train" is a class, beside others that are folders of images like it."""
    return (
        len(tops) > _FEWEST_THINGS
        and [named[node.name] for node in split_tops] == [TRAIN]
        and split_tops[0].name.casefold() == TRAIN
        and not split_tops[0].has_folders
        and len(named) == 1
    )


def _by_class(root: Node, base: Node, named: Mapping[str, str], where: str) -> Reading:
    """Class folders alone, or with their splits inside; content parts what has no splits."""
    tops = list(base.inner())
    with_splits = [node for node in tops if _splits_inside(node)]
    if with_splits:
        if len(with_splits) == len(tops) and all(map(_is_split_inside, tops)):
            return _classes_over_splits(base, tops)
        raise DataError(
            "Some folders hold splits (train/, val/ ...), and it is not clear what they are.",
            where=counted(tops, base),
            remedy=f"Give the one that is meant: {quote(path_of(where, with_splits[0]))}; or sort the "
            "images into train/CLASS/ and val/CLASS/.",
        )
    if same := with_same_folders(tops, GENERIC):
        common = Counter(name for node in same for name in node.children).most_common(3)
        raise DataError(
            "These folders hold folders of the same names "
            f"({listed([name for name, _ in common], 3)}), as splits do: they are not read as classes.",
            where=counted(same, base),
            remedy="If they are splits, call them train, val and test. If they are classes, put them "
            "into one folder called train.",
        )
    warnings = []
    if base is not root:
        warnings.append(
            f"All images lie in {printable('/'.join(base.path))}/: its folders are classes."
        )
    if things := [node.name for node in tops if node.name in named]:
        warnings.append(f"The folder {things[0]!r} is read as a class: it holds no folders.")
    return Reading({base.path: ""}, (TRAIN, VAL), has_splits=False, warnings=tuple(warnings))


def _splits_inside(node: Node) -> bool:
    """Whether a folder holds a training and a held-out split."""
    inside = {role_of(inner.name) for inner in node.inner()} - {""}
    return TRAIN in inside and len(inside) > 1


def _is_split_inside(node: Node) -> bool:
    """Whether a class folder holds splits, which hold images, and nothing else."""
    return not node.direct and all(
        role_of(inner.name) and not inner.has_folders for inner in node.inner()
    )


def _classes_over_splits(base: Node, tops: Sequence[Node]) -> Reading:
    """CLASS/train/..., CLASS/val/..."""
    over = settled(roles([inner.name for node in tops for inner in node.inner()]))
    if VAL not in over.values():
        over = {name: VAL if role == TEST else role for name, role in over.items()}
    splits = tuple(split for split in (TRAIN, VAL, TEST) if split in over.values())
    return Reading({base.path: ""}, splits, has_splits=True, over_split=over)


def _by_split(base: Node, named: Mapping[str, str], where: str, leave_out: bool) -> Reading:
    """Folders of splits, what is beside them, and what of it cannot be read."""
    tops = {named[node.name]: node for node in base.inner() if node.name in named}
    levels = _class_levels(tops)
    readable = {role: node for role, node in levels.items() if node.has_folders}
    unread = [
        node for name, node in base.children.items() if named.get(name) not in {"", None, *readable}
    ]
    others = [node for node in base.inner() if node.name not in named]
    held_out = [role for role in (VAL, TEST) if role in readable]
    if TRAIN not in readable:
        return _without_train(base, readable, list(tops.values()), others, where, leave_out)
    known = set(readable[TRAIN].children)
    if held_out:
        alike = [node for node in others if known & set(node.children)]
        left, stops = [node for node in others if node not in alike], [*unread, *alike]
    else:
        left, stops = [], [*unread, *others]
    if stops and not leave_out:
        raise unclear(stops, base, where, readable[TRAIN])
    left += stops
    if VAL not in readable and TEST in readable:
        readable[VAL] = readable.pop(TEST)
    held_out = [role for role in (VAL, TEST) if role in readable]
    splits_at = {node.path: role if held_out else "" for role, node in readable.items()}
    return Reading(
        splits_at,
        (TRAIN, *held_out) if held_out else (TRAIN, VAL),
        has_splits=bool(held_out),
        left_out=tuple(node.path for node in left),
        warnings=(f"Left out: {counted(left, base)}.",) if left else (),
    )


def _without_train(
    base: Node,
    readable: Mapping[str, Node],
    tops: Sequence[Node],
    others: Sequence[Node],
    where: str,
    leave_out: bool,
) -> Reading:
    """Held-out splits alone; or folders of classes beside some that look like splits."""
    unread = [
        node
        for node in tops
        if not any(node.path == one.path[: len(node.path)] for one in readable.values())
    ]
    if readable and not others and not unread:
        held_out = [role for role in (VAL, TEST) if role in readable]
        splits_at = {readable[role].path: role for role in held_out}
        return Reading(splits_at, tuple(held_out), has_splits=True)
    if not others:
        raise no_classes_in(unread, base, where)
    known = {name for node in readable.values() for name in node.children} - GENERIC
    if alike := [node for node in others if known & set(node.children)]:
        raise train_by_another_name(alike, tops, base)
    if not leave_out:
        raise unclear(tops, base, where, train=None)
    rest = replace(base, children={node.name: node for node in others})
    reading = read_folders(rest, where, leave_out)
    return replace(
        reading,
        left_out=(*reading.left_out, *(node.path for node in tops)),
        warnings=(*reading.warnings, f"Left out: {counted(tops, base)}."),
    )


def _class_levels(tops: Mapping[str, Node]) -> dict[str, Node]:
    """Of each split the folder that holds its class folders: seg_train/seg_train, val/images."""
    levels = {role: _below_itself(node) for role, node in tops.items()}
    while levels and all(_is_wrapper(node) for node in levels.values()):
        levels = {role: next(node.inner()) for role, node in levels.items()}
    return levels


def _below_itself(node: Node) -> Node:
    """Down to the last folder that is alone in the one before and has no class's name."""
    while len(inner := list(node.inner())) == 1:
        (only,) = inner
        is_class = only.name != node.name and only.name.casefold() not in GENERIC
        if is_class and not role_of(only.name):
            break
        node = only
    return node


def _is_wrapper(node: Node) -> bool:
    """Whether a split's images lie in one folder, and there in folders."""
    inner = list(node.inner())
    return (
        len(inner) == 1 and not node.direct and not inner[0].direct and bool(list(inner[0].inner()))
    )


def _require_one_each(base: Node, named: Mapping[str, str], where: str) -> None:
    """Raise DataError where two folders beside each other are the same split."""
    by_role: dict[str, list[Node]] = {}
    for name, role in named.items():
        if base.children[name].total:
            by_role.setdefault(role, []).append(base.children[name])
    for role, nodes in by_role.items():
        if len(nodes) > 1:
            raise DataError(
                f"Several folders are the split {role!r} by their names.",
                where=counted(nodes, base),
                remedy="Put their images into one of them, or give the others a name that is no split's.",
            )
