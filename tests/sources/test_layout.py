"""Which folders are splits, which are classes, and what is refused because nobody can tell."""

from __future__ import annotations

import unicodedata
from collections import Counter

import pytest

from alexnet.base.errors import DataError
from alexnet.base.names import is_hidden
from alexnet.sources.layout import arrange
from alexnet.sources.splits import roles, settled


def placed(paths: str, leave_out: bool = False) -> dict[str, list[str]]:
    """split -> the keys of its files; "" is the split that contents decide."""
    parts = [tuple(path.split("/")) for path in paths.split()]
    layout = arrange(parts, "photos", leave_out=leave_out)
    found: dict[str, list[str]] = {}
    for path, place in zip(parts, layout.places, strict=True):
        if place:
            assert place.key(path).startswith(layout.classes[place.label] + "/")
            found.setdefault(place.split, []).append(place.key(path))
    return found


def refusal(paths: str) -> DataError:
    with pytest.raises(DataError) as error:
        arrange([tuple(path.split("/")) for path in paths.split()], "photos")
    assert error.value.exit_code == 3 and error.value.remedy
    return error.value


BOTH = {"train": ["a/1.jpg", "b/2.jpg"], "val": ["a/3.jpg", "b/4.jpg"]}


@pytest.mark.parametrize(
    ("train", "val"),
    [
        *[
            ("train", name)
            for name in (
                "val",
                "Val",
                "valid",
                "validation",
                "dev",
                "devel",
                "eval",
                "test",
                "Testing",
            )
        ],
        *[
            ("train", name)
            for name in ("test_set", "holdout", "held_out", "val2017", "valid-images")
        ],
        *[
            (name, "val")
            for name in ("Train", "TRAIN", "training", "trainset", "train_images", "1_train")
        ],
        *[("Training", "Testing"), ("TrainSet", "TestSet"), ("train_jpg", "test_jpg")],
        *[("seg_train", "seg_test"), ("seg_train/seg_train", "seg_test/seg_test")],
        *[
            ("images/train", "images/val"),
            ("train/images", "val/images"),
            ("x/y/z/train", "x/y/z/val"),
        ],
        *[("train/pets", "val/pets"), ("my-pets-train", "my-pets-val")],
    ],
)
def test_splits_in_the_spellings_that_people_use(train: str, val: str) -> None:
    assert placed(f"{train}/a/1.jpg {train}/b/2.jpg {val}/a/3.jpg {val}/b/4.jpg README.md") == BOTH


def test_splits_inside_class_folders() -> None:
    paths = "a/train/1.jpg b/train/2.jpg a/val/3.jpg b/val/4.jpg"
    assert placed(paths) == BOTH
    assert placed(paths.replace("val", "Test")) == BOTH
    assert "a/, b/, c/" in refusal(f"{paths} c/5.jpg").where.replace(": 2 images", "").replace(
        ": 1 image", ""
    )


def test_things_that_are_called_as_splits_are() -> None:
    assert roles(["bullet_train", "test tube", "training_shoe", "evaluator", "cat"]) == {}
    assert placed("train/1.jpg bus/2.jpg car/3.jpg") == {
        "": ["train/1.jpg", "bus/2.jpg", "car/3.jpg"]  # vehicles
    }
    assert settled(roles(["train", "dev", "eval"])) == {
        "train": "train",
        "dev": "val",
        "eval": "test",
    }
    assert settled(roles(["train", "eval"]))["eval"] == "val"


@pytest.mark.parametrize(
    ("paths", "named"),
    [
        ("train/a/1.jpg train/b/2.jpg val/3.jpg val/4.jpg", "val/: 2 images"),
        ("train/a/1.jpg train/b/2.jpg val/a/3.jpg test/4.jpg", "test/: 1 image"),
        ("train/a/1.jpg train/b/2.jpg val/images/3.jpg", "val/: 1 image"),
        ("train/a/1.jpg train/b/2.jpg test1/3.jpg test1/4.jpg", "test1/: 2 images"),
        ("train/a/1.jpg train/b/2.jpg later/a/3.jpg later/b/4.jpg", "later/: 2 images"),
        ("train/a/1.jpg train/b/2.jpg val/a/1.jpg more/b/4.jpg", "more/: 1 image"),
        ("train/a/1.jpg train/b/2.jpg unsorted/4.jpg", "unsorted/: 1 image"),
        ("a/1.jpg b/2.jpg val/3.jpg", "val/: 1 image"),
        ("a/1.jpg b/2.jpg val/a/3.jpg val/b/4.jpg", "val/: 2 images"),
    ],
)
def test_what_looks_like_a_split_and_cannot_be_read_as_one_stops(paths: str, named: str) -> None:
    error = refusal(paths)
    assert error.where == named and "alexnet data prepare photos --val" in error.remedy
    left = placed(paths, leave_out=True)
    folder = named.split("/")[0]
    kept = [path for path in paths.split() if not path.startswith(f"{folder}/")]
    assert Counter(key for keys in left.values() for key in keys) == Counter(
        "/".join(path.split("/")[-2:]) for path in kept
    )
    layout = arrange([tuple(path.split("/")) for path in paths.split()], "photos", leave_out=True)
    assert any(named in one for one in layout.warnings)


@pytest.mark.parametrize(
    ("paths", "named"),
    [
        (
            "part1/a/1.jpg part1/b/2.jpg part2/a/3.jpg part2/b/4.jpg",
            "part1/: 2 images, part2/: 2 images",
        ),
        ("train/a/1.jpg val/a/2.jpg Validation/a/3.jpg", "Validation/: 1 image, val/: 1 image"),
        ("train/a/1.jpg TRAIN/a/3.jpg", "TRAIN/: 1 image, train/: 1 image"),
        ("train/1.jpg test/2.jpg test/3.jpg", "test/: 2 images, train/: 1 image"),
        ("train/train/1.jpg test1/test1/2.jpg", "test1/: 1 image, train/: 1 image"),
        ("pets/train/a/1.jpg pets/val/a/2.jpg docs/3.jpg", "docs/: 1 image, pets/: 2 images"),
        ("trian/a/1.jpg trian/b/2.jpg val/a/3.jpg", "trian/: 2 images, val/: 1 image"),
        ("x/learn/a/1.jpg x/learn/b/2.jpg x/test/b/3.jpg", "learn/: 2 images, test/: 1 image"),
    ],
)
def test_what_is_not_clear_is_refused_with_each_folder(paths: str, named: str) -> None:
    assert ", ".join(sorted(refusal(paths).where.split(", "))) == named


def test_what_is_left_without_held_out_images_is_read_as_if_it_were_alone() -> None:
    assert placed("more/train/a/1.jpg more/val/a/3.jpg test/2.jpg", leave_out=True) == {
        "train": ["a/1.jpg"],
        "val": ["a/3.jpg"],
    }
    for paths in ("pets/a/1.jpg pets/b/2.jpg test/3.jpg", "pets/a/1.jpg pets/b/2.jpg test/c/3.jpg"):
        assert placed(paths, leave_out=True) == {"": ["a/1.jpg", "b/2.jpg"]}
    with pytest.raises(DataError, match="class folders of the same names"):  # never a class "learn"
        placed("learn/a/1.jpg learn/b/2.jpg test/a/3.jpg", leave_out=True)


def test_folders_beside_splits_that_are_read_are_named() -> None:
    paths = "train/a/1.jpg train/b/2.jpg val/a/3.jpg val/b/4.jpg figures/5.png"
    assert placed(paths) == BOTH
    layout = arrange([tuple(path.split("/")) for path in paths.split()], "photos")
    assert layout.warnings == ("Left out: figures/: 1 image.",)
    assert layout.ignored == {"outside class folders": 1}


@pytest.mark.parametrize("split", ["val", "test"])
def test_a_held_out_split_alone_is_no_class(split: str) -> None:
    parts = [("Pets", split.title(), name, "1.jpg") for name in "ab"]
    layout = arrange(parts, "photos")
    assert layout.classes == ("a", "b") and layout.splits == (split,)


def test_names_of_classes_are_compared_in_one_form_of_unicode() -> None:
    composed, apart = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    paths = [("train", composed, "1.jpg"), ("train", "b", "2.jpg"), ("val", apart, "3.jpg")]
    layout = arrange([*paths, ("train", apart, "4.jpg")], "photos")
    assert layout.classes == ("b", composed)
    assert [place and (place.split, place.label) for place in layout.places] == [
        *(("train", 1), ("train", 0), ("val", 1), ("train", 1)),
    ]


def test_what_is_no_image_is_counted_by_kind_and_decides_nothing() -> None:
    layout = arrange(
        [
            ("a", "1.jpg"),
            ("a", "1.MOV"),
            ("b", "2"),
            ("b", "x.csv"),
            ("docs", "x.txt"),
            ("README",),
        ],
        "photos",
    )
    assert layout.classes == ("a", "b")
    assert layout.ignored == {".mov": 1, ".csv": 1, ".txt": 1, "README": 1}


@pytest.mark.parametrize(
    "name",
    ["@eaDir", "#recycle", "__MACOSX", ".AppleDouble", "Thumbs.db", "lost+found", "$RECYCLE.BIN"],
)
def test_litter_is_known_by_its_name(name: str) -> None:
    assert is_hidden(name) and not is_hidden(f"my {name}")
