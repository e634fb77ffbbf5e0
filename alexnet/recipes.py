"""Recipes: functions that return one complete configuration, and why it departs from the paper."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from alexnet.config import (
    Anneal,
    CheckpointConfig,
    Epochs,
    Images,
    NetworkConfig,
    OptimizerConfig,
    RunConfig,
    StartConfig,
    Steps,
)
from alexnet.errors import UsageError, did_you_mean


@dataclass(frozen=True)
class Recipe:
    """A configuration, why each key that differs from the paper's does so, and what to expect."""

    config: RunConfig
    departures: Mapping[str, str]  # dotted key -> reason
    expected: str

    @property
    def name(self) -> str:
        return self.config.recipe


def paper() -> Recipe:
    """The paper: sections 3 to 5, ninety epochs, the rate divided by ten when validation stalls."""
    return Recipe(
        config=RunConfig(recipe="paper"),
        departures={},
        expected="ILSVRC-2012 validation, ten views: 40.7 % top-1 and 18.2 % top-5 error (table 2)",
    )


def one_column() -> Recipe:
    """The net for one GPU of section 3.2: half the kernels of conv1 to conv4, in one column."""
    return Recipe(
        config=RunConfig(recipe="one_column", network=NetworkConfig(convention="one_column")),
        departures={"network.convention": "what the two columns are compared with in section 3.2"},
        expected="ILSVRC-2010: 1.7 and 1.2 points above the paper's 37.5 % top-1 and 17.0 % top-5 error",
    )


def no_links() -> Recipe:
    """Two columns that meet in the fully connected layers only: conv3 sees its own (section 3.2)."""
    return Recipe(
        config=RunConfig(recipe="no_links", network=NetworkConfig(convention="no_links")),
        departures={"network.convention": "what the exchange before conv3 is worth"},
        expected="ILSVRC-2012 validation: 41.8 % top-1 and 19.3 % top-5 error in a log of the original "
        "program, against 40.7 and 18.2",
    )


def small() -> Recipe:
    """The same network and augmentation for thousands of pictures rather than a million.

    With the paper's start the logits are the same for every picture to begin with, and training needs
    thousands of steps to leave ln(classes): a million pictures have them, a few thousand do not.
    """
    return Recipe(
        config=RunConfig(
            recipe="small",
            network=NetworkConfig(start=StartConfig(rule="he", gain=0.6, bias=0.0)),
            optimizer=OptimizerConfig(batch=Images(64)),
            schedule=Anneal(warmup=Epochs(1)),
            length=Epochs(13),
            checkpoint=CheckpointConfig(every=Steps(250)),
        ),
        departures={
            "network.start.rule": "keeps the signal alive through all eight layers, so that the first "
            "steps already teach every layer",
            "network.start.gain": "pixels have a deviation near 64 and logits should have one near 1: "
            "each of the eight layers takes the same part of the way, so that none learns too fast",
            "network.start.bias": "ones keep units active where weights are too small to; with these "
            "weights they would only drown the differences between pictures",
            "optimizer.batch": "more updates from the same number of pictures",
            "schedule.kind": "a plateau needs many epochs to be seen; a planned fall uses every step",
            "schedule.warmup": "at the full rate the first steps would undo the start",
            "length": "half an hour on two cores for ten thousand pictures",
            "checkpoint.every": "an epoch has some hundred steps only",
        },
        expected="imagenette: see results/imagenette-small/",
    )


def quickstart() -> Recipe:
    """`small`, shortened for the built-in photographs and a few minutes on two cores."""
    parent = small()
    return Recipe(
        config=replace(
            parent.config,
            recipe="quickstart",
            optimizer=replace(parent.config.optimizer, batch=Images(32)),
            schedule=Anneal(warmup=Epochs(0.3)),
            length=Epochs(4),
        ),
        departures={
            **parent.departures,
            "optimizer.batch": "a few minutes leave time for a few hundred updates only",
            "length": "a few minutes on two cores",
        },
        expected="builtin:photos, ten views: 25 % top-1 error or less (chance is 95 %)",
    )


RECIPES: Mapping[str, Callable[[], Recipe]] = {
    recipe.__name__: recipe for recipe in (paper, one_column, no_links, small, quickstart)
}


def recipe(name: str) -> Recipe:
    """The recipe called `name`; raises UsageError with the nearest known name."""
    if name not in RECIPES:
        raise UsageError(f"There is no recipe {name!r}.", remedy=did_you_mean(name, RECIPES))
    return RECIPES[name]()
