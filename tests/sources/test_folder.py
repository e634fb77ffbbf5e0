"""Class-per-folder directories: what counts, what is ignored, what is rejected by name."""

from __future__ import annotations

import os
import re
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from alexnet.base.errors import DataError
from alexnet.cli.main import app
from alexnet.sources import Source, open_source

Tree = Callable[..., Path]


def places(source: Source) -> dict[str, list[str]]:
    """split -> class/file of every image that has bytes."""
    found: dict[str, list[str]] = {}
    for image in source.images():
        assert image.key.split("/")[0] == source.classes[image.label]
        if not image.fault:
            found.setdefault(image.split, []).append(image.key)
    return found


@pytest.mark.parametrize("held_out", ["val", "valid", "validation", "test", "Val"])
def test_train_beside_a_held_out_folder(tree: Tree, held_out: str) -> None:
    root = tree(f"train/dog/1.jpg train/cat/2.jpg train/cat/deep/3.png {held_out}/dog/4.jpg")
    source = open_source(str(root))
    assert source.classes == ("cat", "dog")
    assert source.splits == ("train", "val")
    assert places(source) == {
        "train": ["cat/2.jpg", "cat/deep/3.png", "dog/1.jpg"],
        "val": ["dog/4.jpg"],
    }
    assert source.count == 4


def test_training_is_another_word_for_train(tree: Tree) -> None:
    source = open_source(str(tree("Training/a/1.jpg validation/a/2.jpg")))
    assert places(source) == {"train": ["a/1.jpg"], "val": ["a/2.jpg"]}


def test_a_test_folder_beside_val_keeps_its_name(tree: Tree) -> None:
    source = open_source(str(tree("train/a/1.jpg val/a/2.jpg test/a/3.jpg")))
    assert source.splits == ("train", "val", "test")
    assert [image.split for image in source.images()] == ["test", "train", "val"]


def test_class_folders_alone_are_split_by_content_not_by_name(tree: Tree, tmp_path: Path) -> None:
    paths = [f"{'cat' if n % 2 else 'dog'}/{n:03d}.jpg" for n in range(200)]
    source = open_source(str(tree(" ".join(paths))), validation_share=0.2)
    held_out = {p.data for p in source.images() if p.split == "val"}
    assert 20 <= len(held_out) <= 60  # 40 expected, standard deviation 5.7
    for number, path in enumerate(reversed(paths)):  # other names, other order
        (tmp_path / "photos" / path).rename(tmp_path / "photos" / "cat" / f"new-{number}.jpg")
    renamed = open_source(str(tmp_path / "photos"), validation_share=0.2)
    assert {p.data for p in renamed.images() if p.split == "val"} == held_out
    assert renamed.identity != source.identity


def test_nothing_is_held_out_where_the_share_is_zero(tree: Tree) -> None:
    source = open_source(str(tree("a/1.jpg a/2.jpg b/3.jpg")), validation_share=0)
    assert places(source) == {"train": ["a/1.jpg", "a/2.jpg", "b/3.jpg"]}


def test_litter_is_ignored_and_counted(tree: Tree) -> None:
    root = tree(
        "a/1.jpg a/._1.jpg a/.DS_Store b/2.jpg b/Thumbs.db .ipynb_checkpoints/x.jpg"
        " .hidden/3.jpg readme.txt"
    )
    (root / "empty").mkdir()
    source = open_source(str(root), validation_share=0)
    assert source.classes == ("a", "b")
    assert places(source) == {"train": ["a/1.jpg", "b/2.jpg"]}
    assert source.ignored == {"hidden": 5, ".txt": 1}
    assert source.warnings == ("Folders without images are no classes: empty.",)


def test_what_links_lead_to_is_read_and_pipes_and_links_to_nothing_are_rejected(
    tree: Tree, tmp_path: Path, jpeg: Callable[[int], bytes]
) -> None:
    root = tree("a/1.jpg b/2.jpg")
    outside = tmp_path / "outside.jpg"
    outside.write_bytes(jpeg(50))
    (root / "a" / "out.jpg").symlink_to(outside)
    (root / "a" / "in.jpg").symlink_to(root / "b" / "2.jpg")
    (root / "a" / "loop").symlink_to(root)
    (root / "a" / "gone.jpg").symlink_to(root / "nothing")
    (root / "a" / "self").symlink_to(root / "a" / "self")
    os.mkfifo(root / "b" / "pipe.jpg")  # opening it would wait for ever
    source = open_source(str(root), validation_share=0)
    images = {p.key: p for p in source.images()}
    faults = {key: p.fault for key, p in images.items() if p.fault}
    assert faults.pop("a/self").reason == "unreadable"
    assert faults == {
        "a/gone.jpg": ("unreadable", "a link to nothing"),
        "b/pipe.jpg": ("not a regular file", ""),
    }
    assert images["a/in.jpg"].data == images["b/2.jpg"].data
    assert images["a/out.jpg"].data == jpeg(50)
    assert not any(images[key].data for key in (*faults, "a/self"))
    assert source.ignored == {"links in a loop": 1}
    assert any("a/loop" in one for one in source.warnings)


@pytest.mark.parametrize("links", ["classes", "splits", "chain"])
def test_linked_folders_are_read_as_folders(tree: Tree, tmp_path: Path, links: str) -> None:
    store = tree("train/a/1.jpg train/b/2.jpg val/a/3.jpg val/b/4.jpg", name="store")
    root = tmp_path / "set"
    root.mkdir()
    for split in ("train", "val"):
        if links == "classes":
            (root / split).mkdir()
            for name in ("a", "b"):
                (root / split / name).symlink_to(store / split / name)
        elif links == "splits":
            (root / split).symlink_to(os.path.relpath(store / split, root))
        else:
            (tmp_path / f"{split}-1").symlink_to(store / split)
            (root / split).symlink_to(tmp_path / f"{split}-1")
    linked, plain = open_source(str(root)), open_source(str(store))
    assert list(linked.images()) == list(plain.images())
    assert linked.warnings == ()


@pytest.mark.parametrize("target", ["nowhere/val", ".", "val"])
@pytest.mark.parametrize("packed", [False, True])
def test_a_split_whose_link_leads_to_no_folder_is_not_made_of_training_images(
    tree: Tree, tmp_path: Path, packed: bool, target: str
) -> None:
    path = tree("train/a/1.jpg train/b/2.jpg")
    (path / "val").symlink_to(target)
    if packed:
        with tarfile.open(tmp_path / "photos.tar", "w") as archive:
            archive.add(path, ".")
        path = tmp_path / "photos.tar"
    with pytest.raises(DataError, match="cannot be read as splits") as error:
        open_source(str(path))
    assert error.value.where == "val/: 0 images"
    assert open_source(str(path), validation_share=0).count == 2


def test_links_that_lead_to_each_other_end(tree: Tree, tmp_path: Path) -> None:
    root = tree("a/1.jpg b/2.jpg")
    (root / "a" / "other").symlink_to(root / "b")
    (root / "b" / "other").symlink_to(root / "a")
    source = open_source(str(root), validation_share=0)
    assert [p.key for p in source.images()] == [
        *("a/1.jpg", "a/other/2.jpg", "b/2.jpg", "b/other/1.jpg"),
    ]
    assert source.ignored == {"links in a loop": 2}


def test_a_file_that_vanishes_is_an_image_with_a_fault(tree: Tree) -> None:
    root = tree("a/1.jpg a/2.jpg")
    source = open_source(str(root), validation_share=0)
    (root / "a" / "1.jpg").unlink()
    assert [(p.key, p.fault) for p in source.images()] == [
        ("a/1.jpg", ("unreadable", "No such file or directory")),
        ("a/2.jpg", None),
    ]


def test_names_that_are_not_utf8_are_escaped_and_still_read(tree: Tree) -> None:
    root = tree("a/1.jpg")
    strange = os.fsencode(root / "a") + b"/\xff\n.jpg"
    os.rename(os.fsencode(root / "a" / "1.jpg"), strange)
    (image,) = open_source(str(root), validation_share=0).images()
    assert image.key == "a/\\xff\\n.jpg"
    assert image.data


def test_a_held_out_class_that_training_lacks_is_an_error_with_both_lists(tree: Tree) -> None:
    root = tree("train/cat/1.jpg train/dog/2.jpg val/cat/3.jpg val/wolf/4.jpg")
    with pytest.raises(DataError) as error:
        open_source(str(root))
    assert error.value.what == "'val' has classes that training does not know: wolf."
    assert "cat, dog" in error.value.remedy


@pytest.mark.parametrize("paths", ["1.jpg 2.jpg 3.jpg", ""])
def test_a_folder_without_class_folders_is_told_what_to_do(tree: Tree, paths: str) -> None:
    root = tree(paths)
    with pytest.raises(DataError) as error:
        open_source(str(root))
    assert error.value.exit_code == 3
    assert "no " in error.value.what and "class folders" in error.value.what
    assert f"{root}/<class>/*.jpg" in error.value.where
    verbs = {
        str(one.name or one.callback.__name__) for one in app.registered_commands if one.callback
    }
    named = re.findall(r"alexnet (\w+)", error.value.remedy)
    assert len(named) == bool(paths) and verbs.issuperset(named), "a remedy is a verb that there is"
