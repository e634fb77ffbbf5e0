"""The account of what became of each image: duplicates, and labels that contradict each other."""

from __future__ import annotations

from collections.abc import Iterator

from alexnet.prepared.batches import Account, batches, in_two_classes, in_two_splits
from alexnet.prepared.work import ImageOutcome
from alexnet.sources import LabelledImage, Source
from alexnet.sources.base import Fault


def account_of(given: list[tuple[str, str, bytes]], size: int) -> dict[str, Account]:
    """The accounts of (split, key, content), whose classes are the first parts of their keys."""
    classes = tuple(sorted({key.split("/")[0] for _, key, _ in given}))

    def images() -> Iterator[LabelledImage]:
        for split, key, data in given:
            fault = None if data else Fault("unreadable")
            yield LabelledImage(split, key, classes.index(key.split("/")[0]), data, fault)

    splits = tuple(dict.fromkeys(split for split, _, _ in given))
    source = Source("x", "x", classes, classes, splits, len(given), "", images)
    accounts = {split: Account(split) for split in splits}
    for batch in batches(source, size, 100):
        bad = ImageOutcome(reason="truncated")
        accounts[batch.split].add(
            batch, [bad if data == b"bad" else ImageOutcome(64, 64) for data in batch.contents]
        )
    return accounts


def test_one_image_in_two_classes_is_no_duplicate_but_a_contradiction() -> None:
    given = [
        *(("train", f"cat/{n}", data) for n, data in enumerate((b"1", b"2", b"1", b"bad", b""))),
        *(("train", f"dog/{n}", data) for n, data in enumerate((b"3", b"2", b"2", b"3", b"bad"))),
        *(("val", f"dog/{n}", data) for n, data in enumerate((b"1", b"3", b"9", b""))),
    ]
    for size in (1, 2, 100):
        accounts = account_of(given, size)
        assert accounts["train"].summary() == {
            "inputs": 10, "accepted": 3, "rejected": 3, "duplicates": 2, "contradictions": 2,
        }  # fmt: skip
        assert [row[0] for row in accounts["train"].rejected_rows] == ["cat/3", "cat/4", "dog/4"]
        contradictions = [row for row in accounts["train"].refused if row[2] == "in two classes"]
        assert contradictions == [
            ("dog/1", "train", "in two classes", "the same bytes as cat/1"),
            ("dog/2", "train", "in two classes", "the same bytes as cat/1"),
        ]
        assert accounts["val"].summary()["accepted"] == 3
        both = [*accounts.values()]
        assert in_two_splits(both) == [("val/dog/0", "train/cat/0"), ("val/dog/1", "train/dog/0")]
        assert in_two_classes(both) == [
            ("train/dog/1", "train/cat/1"),
            ("train/dog/2", "train/cat/1"),
            ("val/dog/0", "train/cat/0"),
        ]


def test_statistics_are_of_training_or_of_what_there_is_instead() -> None:
    for splits in (("train", "val"), ("val",), ("all",)):
        given = [LabelledImage(split, f"a/{split}", 0, split.encode()) for split in splits]
        source = Source("x", "x", ("a",), ("a",), splits, len(given), "", given.__iter__)
        assert [batch.with_sums for batch in batches(source, 5, 100)] == [
            split == splits[0] for split in splits
        ]
