"""What is said of folders that cannot be read: each with its number of images, and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from shlex import quote

from alexnet.base.errors import DataError
from alexnet.base.names import listed, printable
from alexnet.sources.tree import Node


def unclear(nodes: Sequence[Node], base: Node, where: str, train: Node | None) -> DataError:
    """What stops beside splits that can be read."""
    flat = [node for node in nodes if not node.has_folders]
    why = (
        "Their images have no classes: there are no class folders in them"
        if len(flat) == len(nodes)
        else "They are no splits by their names, or have no class folders"
    )
    leave = f"alexnet data prepare {quote(where)} --val 0.1"
    if train is None:
        return DataError(
            f"There are class folders, no train/, and folders that look like splits. {why}."
            if len(flat) == len(nodes)
            else "There are splits, no train/, and other folders beside them.",
            where=counted(nodes, base),
            remedy="Put the class folders that are for training into a folder called train; or leave "
            f"these out, and hold out a tenth of the others: {leave}",
        )
    beside = printable(base.children[train.path[len(base.path)]].name)
    return DataError(
        f"Folders beside {beside}/ cannot be read as splits. {why}.",
        where=counted(nodes, base),
        remedy="Sort their images into class folders as in training, and call them val or test; or leave "
        f"them out, and hold out a tenth of training where no other split is: {leave}",
    )


def train_by_another_name(alike: Sequence[Node], tops: Sequence[Node], base: Node) -> DataError:
    """What stops where a held-out split has the class folders that are in a folder of no split's name."""
    return DataError(
        f"There is no train/, and {listed([node.name for node in alike], 3)} "
        f"{'holds' if len(alike) == 1 else 'hold'} class folders of the same names as "
        f"{listed([node.name for node in tops], 3)}.",
        where=counted([*alike, *tops], base),
        remedy="If it is for training, call it train; if the sets have nothing to do with each other, "
        "give the one that is meant.",
    )


def no_classes_in(nodes: Sequence[Node], base: Node, where: str) -> DataError:
    """What stops where splits hold images and no class folders."""
    return DataError(
        f"{where} has splits but no class folders in them: their images have no classes.",
        where=counted(nodes, base),
        remedy="Training needs train/<class>/*.jpg, one folder for each class. To name what is in a "
        "flat folder: alexnet predict MODEL FOLDER",
    )


def no_class_folders(images: int, where: str) -> DataError:
    """What is said of a folder or archive without class folders that hold images."""
    return DataError(
        f"{where} has {images:,} images but no class folders."
        if images
        else f"{where} has no images in class folders.",
        where=f"Training needs {where}/<class>/*.jpg, one folder for each class.",
        remedy="To name what is in a flat folder of images: alexnet predict MODEL FOLDER"
        if images
        else "Put the images there, those of each class in a folder of its own.",
    )


def counted(nodes: Sequence[Node], base: Node) -> str:
    """Folders with their numbers of images."""
    rows = [
        f"{'/'.join(node.path[len(base.path) :])}/: {node.total:,} image{'' if node.total == 1 else 's'}"
        for node in nodes
    ]
    return listed(rows, 20)


def path_of(where: str, node: Node) -> str:
    """The path of a folder in the set that is called `where`."""
    return "/".join((where.rstrip("/"), *node.path))
