"""The folders of a set with their numbers of images: what its layout is read from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from alexnet.base.names import one_form

Folder = tuple[str, ...]  # the names of a folder and of those it lies in, from the outermost


@dataclass
class Node:
    """A folder that holds images: how many itself (`direct`), and how many with all inside."""

    path: Folder
    direct: int = 0
    total: int = 0
    children: dict[str, Node] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Its own name, in one form of Unicode; the root has none."""
        return self.path[-1] if self.path else ""

    @property
    def has_folders(self) -> bool:
        """Whether there are folders of images in it."""
        return any(node.total for node in self.children.values())

    def inner(self) -> Iterator[Node]:
        """The folders in it that hold images, in the order of their names."""
        yield from (
            self.children[name] for name in sorted(self.children) if self.children[name].total
        )


def tree_of(images: Mapping[Folder, int]) -> Node:
    """The tree of the folders with so many images each; names that differ in form alone are one."""
    root = Node(())
    for folder, count in images.items():
        node = root
        node.total += count
        for name in in_one_form(folder):
            node = node.children.setdefault(name, Node((*node.path, name)))
            node.total += count
        node.direct += count
    return root


def in_one_form(folder: Folder) -> Folder:
    """A folder's path as the tree has it."""
    return tuple(map(one_form, folder))


def with_same_folders(nodes: list[Node], besides: Collection[str]) -> list[Node]:
    """Those that hold two folders or more of the same names as another, and most of their images there.

    Names in `besides` do not count.
    """
    nodes = [node for node in nodes if 2 * node.direct < node.total]
    inner = [
        {one.name for one in node.inner() if one.name.casefold() not in besides} for node in nodes
    ]
    sharing = set[int]()
    times = Counter(name for names in inner for name in names)
    by_name: dict[str, list[int]] = {}
    for n, names in enumerate(inner):
        for name in names:
            if times[name] > 1:
                by_name.setdefault(name, []).append(n)
    first: dict[int, Counter[int]] = {}
    for places in by_name.values():
        for n in places[1:]:  # with the first that has the name: linear, and enough to find one
            first.setdefault(n, Counter())[places[0]] += 1
    for n, others in first.items():
        for other, count in others.items():
            if count >= 2:
                sharing |= {n, other}
    return [nodes[n] for n in sorted(sharing)]
