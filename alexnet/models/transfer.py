"""A network that starts with another's weights (section 6): layer by layer, classes by name."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

import torch

from alexnet.base.errors import IncompatibleError
from alexnet.conventions import Convention
from alexnet.models.arrays import in_words, parameter_shapes
from alexnet.network.alexnet import AlexNet
from alexnet.network.compare import differences

# Properties with which the same weights make another network.
_OF_ALL = ("images", "colours", "normalization", "normalization within a map", "pooling")
_OF_A_LAYER = ("stride", "padding", "then")


@torch.no_grad()
def take_over(
    network: AlexNet, classes: Sequence[str], other: AlexNet, their_classes: Sequence[str]
) -> list[str]:
    """Copy every layer of `other` that `network` has in the same shape; returns what was done, in words.

    The output layer is taken where the classes are the same, in whatever order; otherwise it keeps its
    fresh start. Weights that read what dropout has halved in one network and not in the other are
    scaled, so that the test networks agree. Raises IncompatibleError where no layer fits.
    """
    output = network.convention.output.name
    here, there = parameter_shapes(network.convention), parameter_shapes(other.convention)
    taken, fresh = [], []
    for layer in network.layers:
        weight = f"{layer.name}.weight"
        why = ""
        if weight not in there:
            why = "there is none"
        elif layer.name == output and set(classes) != set(their_classes):
            why = f"other classes, {len(classes)} instead of {len(their_classes)}"
        elif here[weight] != there[weight]:
            why = f"{in_words(here[weight])} instead of {in_words(there[weight])}"
        if why:
            fresh.append(f"{layer.name} ({why})")
            continue
        rows: list[int] | slice = slice(None)
        if layer.name == output:
            rows = [their_classes.index(name) for name in classes]
        scale = _scale(layer.name, network.convention, other.convention)
        mine, theirs = network.weight_and_bias(layer.name), other.weight_and_bias(layer.name)
        mine[0].copy_(theirs[0][rows] * scale)
        mine[1].copy_(theirs[1][rows])
        taken.append(layer.name)
    if not taken:
        raise IncompatibleError(
            f"No layer of {_called(other.convention)} fits {_called(network.convention)}: "
            f"{'; '.join(fresh)}.",
            remedy=_same_network(network.convention, other.convention),
        )
    said = [f"taken over: {', '.join(taken)}"]
    if fresh:
        said.append(f"starts anew: {', '.join(fresh)}")
    unlike = [
        f"{row.what}: {row.first} there, {row.second} here"
        for row in differences(other.convention, network.convention)
        if row.what in _OF_ALL or row.what.partition(" ")[2] in _OF_A_LAYER
    ]
    if unlike:
        said.append(
            f"! these weights belong to another network, {other.convention.name}; "
            f"{'; '.join(unlike)}"
        )
    return said


def _called(convention: Convention) -> str:
    """A network's name and, in brackets, its variant."""
    return f"{convention.name!r}" + (f" ({convention.variant})" if convention.variant else "")


def _same_network(mine: Convention, theirs: Convention) -> str:
    """The settings that make `mine` the network of `theirs`, as they are typed."""
    settings = [
        shlex.quote(f"network.{key}={value}")
        for key, value, now in (
            ("convention", theirs.name, mine.name),
            ("variant", theirs.variant, mine.variant),
        )
        if value != now
    ]
    if not settings:
        return "Start with a model of the same network."
    return f"Train the same network: {' '.join(f'--set {one}' for one in settings)}"


def _scale(layer: str, mine: Convention, theirs: Convention) -> float:
    """2 or 1/2 where the layer's inputs are halved by dropout in one network's tests only."""
    mine_halves, theirs_halve = (_reads_halved(layer, one) for one in (mine, theirs))
    return {(True, False): 2.0, (False, True): 0.5}.get((mine_halves, theirs_halve), 1.0)


def _reads_halved(layer: str, convention: Convention) -> bool:
    names = [row.name for row in convention.layers]
    before = convention.layers[names.index(layer) - 1] if names.index(layer) else None
    halves = before is not None and "dropout" in before.followed_by
    return halves and not convention.inverted_dropout
