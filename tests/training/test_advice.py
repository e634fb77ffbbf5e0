"""What is told of a plan before it is trained."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from alexnet.config import RunConfig
from alexnet.recipes import recipe
from alexnet.settings import asked_for, with_settings
from alexnet.training.advice import warnings

TITLES = ("cat", "dog", "cup", "moon")


def told(
    train: Sequence[int], val: Sequence[int], settings: Sequence[str] = (), name: str = "small"
) -> list[str]:
    config: RunConfig = with_settings(recipe(name).config, settings)
    titles = [*TITLES, *(f"class {k}" for k in range(4, len(train)))][: len(train)]
    again = "alexnet data prepare pets"
    return list(warnings(config, {"train": train, "val": val}, titles, again))


def test_nothing_is_said_of_enough_images() -> None:
    assert told([900] * 10, [40] * 10) == []


def test_few_images_are_better_trained_from_a_trained_network() -> None:
    few, updates = told([30] * 10, [20] * 10)
    assert few.startswith("300 training images of 10 classes") and "--init MODEL" in few
    assert "13 epochs in batches of 64 are 61 updates" in updates
    assert told([30] * 10, [20] * 10, ["network.start.model=elsewhere"]) == []


def test_the_epochs_that_are_proposed_are_enough() -> None:
    counts = [30] * 10, [20] * 10
    epochs = float(told(*counts)[1].rpartition("--epochs ")[2])
    assert len(told(*counts, asked_for(epochs=epochs))) == 1, "only that the images are few"
    assert len(told(*counts, asked_for(epochs=epochs - 1))) == 2


def test_the_papers_start_needs_more_updates_than_thousands_of_images_make() -> None:
    (said,) = told([300] * 10, [20] * 10, name="paper", settings=["length=90"])
    assert "are 2,110 updates" in said and "--recipe small" in said
    assert told([60_000] * 10, [20] * 10, name="paper") == []
    assert told([300] * 10, [20] * 10, name="cifar11") == [], "four layers get away sooner"


@pytest.mark.parametrize(("images", "is_said"), [(11, True), (99, True), (100, False)])
def test_few_validation_images_are_told_with_what_they_can_show(images: int, is_said: bool) -> None:
    said = told([900, 900], [images - 5, 5])
    assert bool(said) == is_said
    if images == 11:
        assert "11 validation images" in said[0] and "21 to 72 %" in said[0]
        assert "alexnet data prepare pets --val 0.3" in said[0]


def test_a_batch_larger_than_the_set_is_told() -> None:
    said = told([10, 30], [60, 60], asked_for(batch=128, epochs=500))
    assert any(
        "a batch of 128 is more than all 40 training images" in one and "3.2 epochs" in one
        for one in said
    )


def test_classes_without_images_and_unequal_ones_are_named() -> None:
    said = told([2000, 100, 0, 400], [100, 50, 3, 0])
    lacks = [one for one in said if one.startswith("classes without")]
    assert [one.partition(";")[0] for one in lacks] == [
        "classes without training images: cup",
        "classes without validation images: moon",
    ]
    (unequal,) = [one for one in said if one.startswith("very unequal")]
    assert '2,000 training images of "cat", 100 of "dog"' in unequal and "20.0 %" in unequal
    assert told([2000, 300], [100, 50]) == []
