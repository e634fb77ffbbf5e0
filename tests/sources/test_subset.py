"""Part of a source: which images it has, and what they are called."""

from collections import Counter

import pytest

from alexnet.base.errors import UsageError
from alexnet.sources import open_source
from alexnet.sources.subset import subset

WHOLE = open_source("synthetic:60x4")


def test_of_each_class_the_first_are_held_out_and_the_next_trained_on() -> None:
    part = subset(WHOLE, "part", ("class3", "class1"), train=5, held_out=2)
    images = list(part.images())
    assert part.classes == ("class3", "class1") and part.count == len(images)
    assert part.splits == ("train", "val", "test")
    originals = {one.key: one for one in WHOLE.images()}
    assert all(originals[one.key].data == one.data for one in images)
    assert all(part.classes[one.label] == one.key.split("/")[0] for one in images)
    counts = Counter((one.split, one.label) for one in images)
    assert [counts["train", k] for k in (0, 1)] == [5, 5]
    assert [counts["val", k] for k in (0, 1)] == [2, 2]
    tested = {one.key for one in images if one.split == "test"}
    assert tested == {
        one.key
        for one in originals.values()
        if one.split == "val" and one.key.split("/")[0] in part.classes
    }
    trained = [key for key, one in originals.items() if one.split == "train" and "class3" in key]
    assert [one.key for one in images if one.label == 0 and one.split != "test"] == trained[:7]


def test_without_limits_it_is_its_source() -> None:
    part = subset(WHOLE, "part")
    assert [(one.key, one.label, one.split) for one in part.images()] == [
        (one.key, one.label, one.split) for one in WHOLE.images()
    ]
    assert part.splits == ("train", "val")


def test_what_is_asked_for_is_part_of_its_identity() -> None:
    parts = [
        subset(WHOLE, "part", *asked)
        for asked in ((), (("class1",),), ((), 3), ((), 3, 1), (("class1", "class2"),))
    ]
    assert len({part.identity for part in (*parts, WHOLE)}) == 6


def test_a_class_that_is_not_there_is_named() -> None:
    with pytest.raises(UsageError, match="no class 'class9'"):
        subset(WHOLE, "part", ("class9",))
