"""What of a source a network is evaluated on."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from alexnet.base.errors import UsageError
from alexnet.sources import Source, open_source
from alexnet.sources.labelled import labelled

Tree = Callable[..., Path]


def opened(root: Path, packed: bool) -> Source:
    if packed:
        with tarfile.open(root.with_suffix(".tar"), "w") as archive:
            archive.add(root, ".")
        return open_source(str(root.with_suffix(".tar")))
    return open_source(str(root))


@pytest.mark.parametrize("packed", [False, True])
def test_of_splits_it_is_the_one_that_is_there_or_asked_for(tree: Tree, packed: bool) -> None:
    whole = opened(tree("train/a/1.jpg train/b/2.jpg val/a/3.jpg val/b/4.jpg test/a/5.jpg"), packed)
    for asked, split in (("", "val"), ("val", "val"), ("test", "test"), ("train", "train")):
        part = labelled(whole, asked)
        wanted = [image for image in whole.images() if image.split == split]
        assert list(part.images()) == wanted
        assert part.splits == (split,) and part.count == len(wanted) and part.classes == ("a", "b")
        if part.listed and part.files:
            root = part.files.root
            assert [one.path for one in part.listed()] == [
                root.joinpath(*p) for p in part.files.paths
            ]
            assert len(part.files.stamps_N4) == part.count
    with pytest.raises(UsageError, match="no split 'vall'") as error:
        labelled(whole, "vall")
    assert "Did you mean 'val'?" in error.value.remedy


@pytest.mark.parametrize("packed", [False, True])
def test_without_splits_it_is_every_image(tree: Tree, packed: bool) -> None:
    whole = opened(tree(" ".join(f"{name}/{n}.jpg" for name in "ab" for n in range(20))), packed)
    part = labelled(whole)
    assert part.splits == ("all",) and part.count == 40
    assert {image.data for image in part.images()} == {image.data for image in whole.images()}
    assert {image.split for image in part.images()} == {"all"}
    with pytest.raises(UsageError, match="no splits"):
        labelled(whole, "val")


def test_a_test_split_alone_is_evaluated(tree: Tree) -> None:
    part = labelled(open_source(str(tree("Testing/a/1.jpg Testing/b/2.jpg"))))
    assert [(image.split, image.key) for image in part.images()] == [
        ("test", "a/1.jpg"),
        ("test", "b/2.jpg"),
    ]


def test_a_set_that_is_generated_keeps_its_validation_split() -> None:
    whole = open_source("synthetic:60x3")
    part = labelled(whole)
    assert list(part.images()) == [image for image in whole.images() if image.split == "val"]
    assert part.count == len(list(part.images())) > 0
