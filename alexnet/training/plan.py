"""What a run is to be: its configuration and its images, before anything is trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from alexnet.base.errors import UsageError
from alexnet.config import RunConfig
from alexnet.conventions import CONVENTIONS
from alexnet.prepared import PreparedDataset, open_or_prepare
from alexnet.recipes import PAPER_FROM, Recipe, paper, recipe_for, small
from alexnet.recipes import recipe as find_recipe
from alexnet.settings import WARM_UP, Setting, keys_of, shortened, with_settings
from alexnet.training.checks import require_trainable


@dataclass(frozen=True)
class Plan:
    """What is to be trained, on which images; `notes` say what was chosen for the user.

    Where nobody asked for its warm-up (`own_warm_up` is false), a run that goes on keeps the one that it
    began with. Raises DataError where there is nothing to tell apart, to train on or to validate on.
    """

    config: RunConfig
    dataset: PreparedDataset
    notes: tuple[str, ...] = ()
    own_warm_up: bool = True

    def __post_init__(self) -> None:
        require_trainable(self.dataset)


def make_plan(
    data: str,
    recipe: str = "",
    settings: Sequence[str | Setting] = (),
    download: bool = False,
) -> Plan:
    """The plan for `data`, a prepared set or what one is made from, which is prepared if need be.

    Without a recipe, the number of training images chooses it. Settings are looked at before images are:
    raises UsageError for one that does not exist or fit.
    """
    side = _side(recipe, settings)
    dataset = open_or_prepare(data, download, side)
    notes = []
    if recipe:
        chosen = find_recipe(recipe)
    else:
        images = len(dataset.split("train")) if "train" in dataset.splits else 0
        chosen = recipe_for(images)
        notes.append(_why(chosen, images))
    config = with_settings(chosen.config, settings)
    if note := shortened(config, chosen.config, settings):
        notes.append(f"! {note}")
    return Plan(config, dataset, tuple(notes), own_warm_up=WARM_UP in keys_of(settings))


def _side(recipe: str, settings: Sequence[str | Setting]) -> int:
    """The side of the images that will be trained on, in pixels; raises UsageError for wrong settings.

    Where the recipe is still open, it is enough that the settings fit one that may be chosen.
    """
    may_be = [find_recipe(recipe)] if recipe else [paper(), small()]
    for one in may_be:
        try:
            config = with_settings(one.config, settings)
        except UsageError as error:
            wrong = error
        else:
            return CONVENTIONS[config.network.convention].side
    raise wrong


def _why(chosen: Recipe, images: int) -> str:
    """Why a recipe was chosen."""
    are = "fewer than" if images < PAPER_FROM else "at least"
    return f"chosen  {chosen.name}: {images:,} training images are {are} {PAPER_FROM:,}"
