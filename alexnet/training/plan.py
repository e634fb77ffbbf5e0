"""What a run is to be: its configuration and its images, before anything is trained."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from shlex import quote

from alexnet.base.errors import UsageError
from alexnet.config import RunConfig
from alexnet.conventions import CONVENTIONS
from alexnet.prepared import PreparedDataset, open_or_prepare
from alexnet.recipes import PAPER_FROM, Recipe, paper, recipe_for, small
from alexnet.recipes import recipe as find_recipe
from alexnet.settings import WARM_UP, Setting, keys_of, shortened, with_settings
from alexnet.training.advice import warnings
from alexnet.training.checks import per_class, require_splits, require_trainable


@dataclass(frozen=True)
class Plan:
    """What is to be trained, on which images; `notes` say what was chosen for the user, `warnings` what
    speaks against it.

    Where nobody asked for its warm-up (`own_warm_up` is false), a run that goes on keeps the one that it
    began with. Raises DataError where there is nothing to tell apart, to train on or to validate on.
    """

    config: RunConfig
    dataset: PreparedDataset
    notes: tuple[str, ...] = ()
    own_warm_up: bool = True
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        require_trainable(self.dataset.classes, per_class(self.dataset), self.dataset.folder)


def make_plan(
    data: str,
    recipe: str = "",
    settings: Sequence[str | Setting] = (),
    download: bool = False,
) -> Plan:
    """The plan for `data`, a prepared set or what one is made from, which is prepared if need be.

    Without a recipe, the number of training images chooses it. Settings and the names of classes are
    looked at before images are: raises UsageError for a setting that does not exist or fit, DataError
    where there is nothing to tell apart.
    """
    side = _side(recipe, settings)
    dataset = open_or_prepare(data, download, side, require_splits)
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
    own = WARM_UP in keys_of(settings)
    plan = Plan(config, dataset, tuple(notes), own)
    again = f"alexnet data prepare {quote(dataset.description['source']['spec'])} --side {side}"
    told = [*_said_of(dataset), *warnings(config, per_class(dataset), dataset.titles, again)]
    return replace(plan, warnings=tuple(f"! {one}" for one in told))


def _said_of(dataset: PreparedDataset) -> Iterator[str]:
    """What was left out or is in doubt in the images that a set was made from."""
    yield from dataset.description["warnings"]
    if both := dataset.description["in_two_classes"]:
        first, second = both[0]
        yield (
            f"images in two classes: {len(both):,} ({second} = {first} ...), so that labels are wrong; "
            f"alexnet data info {quote(str(dataset.folder))} names them"
        )


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
