"""Every recipe is built, and says why it departs from the paper."""

from __future__ import annotations

import pytest

from alexnet.base.errors import UsageError
from alexnet.config import RunConfig
from alexnet.recipes import RECIPES, recipe, recipe_for
from alexnet.settings import differences, from_yaml, to_yaml


@pytest.mark.parametrize("name", RECIPES)
def test_every_departure_has_a_reason_and_every_reason_a_departure(name: str) -> None:
    built = recipe(name)
    assert built.name == name
    departing = {
        row.key
        for row in differences(RunConfig(), built.config)
        if row.second is not None and row.key != "recipe"
    }
    assert set(built.departures) == departing
    assert all(built.departures.values())


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_can_be_written_and_read(name: str) -> None:
    config = recipe(name).config
    assert from_yaml(to_yaml(config)) == config


def test_the_paper_departs_from_nothing() -> None:
    assert recipe("paper").config == RunConfig()


@pytest.mark.parametrize(("images", "name"), [(0, "small"), (99_999, "small"), (100_000, "paper")])
def test_the_number_of_training_images_chooses_a_recipe(images: int, name: str) -> None:
    assert recipe_for(images).name == name


def test_the_nearest_recipe_is_named() -> None:
    with pytest.raises(UsageError, match="Did you mean 'small'"):
        recipe("smal")
