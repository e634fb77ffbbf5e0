"""Networks side by side: what decides what each computes, in words, and what differs between two."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from alexnet import paper
from alexnet.conventions import Convention
from alexnet.network.table import Shape, is_connected, shapes
from alexnet.paper import Normalization

_NONE = "none"


class PropertyDifference(NamedTuple):
    """One property in which two networks differ, and what each has there."""

    what: str
    first: str
    second: str


def differences(first: Convention, second: Convention) -> list[PropertyDifference]:
    """Every property that is not the same in both, from the images to the parameters."""
    mine, theirs = properties(first), properties(second)
    return [
        PropertyDifference(what, mine.get(what, _NONE), theirs.get(what, _NONE))
        for what in merged(list(mine), list(theirs))
        if mine.get(what, _NONE) != theirs.get(what, _NONE)
    ]


def properties(convention: Convention) -> dict[str, str]:
    """All that decides what a network computes and how it starts, and what it costs."""
    rows = shapes(convention)
    found = {
        "images": f"{convention.crop}×{convention.crop} of {convention.side}×{convention.side}",
        "colours": _colours(convention),
    }
    for row in rows:
        found |= {f"{row.layer.name} {what}": text for what, text in _layer(row, convention)}
    followers = {one for layer in convention.layers for one in layer.followed_by}
    if "norm" in followers:
        over = "" if convention.columns == 1 else f", over {convention.norm_over}"
        found["normalization"] = _normalization(convention.norm) + over
    if "norm within" in followers:
        found["normalization within a map"] = _normalization(convention.within)
    size, stride = convention.pool
    edge = ", windows over the edge too" if convention.overhang else ""
    found["pooling"] = f"{size}×{size}, stride {stride}{edge}"
    if "dropout" in followers:
        found["dropout"] = (
            "kept outputs doubled in training"
            if convention.inverted_dropout
            else "outputs halved at test time"
        )
    found["parameters"] = f"{sum(row.parameters for row in rows):,}"
    found["multiply-adds"] = f"{sum(row.multiply_adds for row in rows):,}"
    return found


def _layer(row: Shape, convention: Convention) -> Iterator[tuple[str, str]]:
    layer = row.layer
    yield "kernels", kernels(row, convention)
    yield "each sees", sees(row, convention)
    if not is_connected(layer):
        yield "stride", str(layer.stride)
        yield "padding", "{}, {}".format(*layer.padding)
        yield "output", size_of(row.outputs)
    yield "then", followers(row)
    yield "first weights", f"deviation {layer.deviation:g}"
    yield "first biases", f"{layer.bias:g}"


def kernels(row: Shape, convention: Convention) -> str:
    """A layer's kernels, column 1 + column 2 where there are two: "48+48"."""
    parts = 1 if row.layer == convention.output else convention.columns
    return "+".join([str(row.layer.kernels // parts)] * parts)


def sees(row: Shape, convention: Convention) -> str:
    """What each kernel sees: "5×5×48 own", "9216 both"; of one column, only how much."""
    layer = row.layer
    is_one = convention.columns == 1 and layer.sees != "image"
    whose = "" if is_one else layer.sees.removesuffix(" columns").removesuffix(" column")
    window = "" if is_connected(layer) else f"{layer.size}×{layer.size}×"
    return f"{window}{row.inputs_seen} {whose}".rstrip()


def followers(row: Shape) -> str:
    """What follows a layer's sums: "ReLU, LRN, pool"."""
    names = {"relu": "ReLU", "norm": "LRN", "norm within": "LRN within maps"}
    return ", ".join(names.get(one, one) for one in row.layer.followed_by)


def size_of(maps: tuple[int, int, int]) -> str:
    """Height × width × maps."""
    return f"{maps[1]}×{maps[2]}×{maps[0]}"


def _colours(convention: Convention) -> str:
    if convention.divisors == (1.0, 1.0, 1.0):
        return f"0-{paper.LARGEST_VALUE} minus the mean"
    divisors = ", ".join(f"{one:g}" for one in convention.divisors)
    return f"0-{paper.LARGEST_VALUE} minus the mean, divided by {divisors}"


def _normalization(row: Normalization) -> str:
    return f"k={row.k:g}, n={row.n}, alpha={row.alpha:g}, beta={row.beta:g}"


def merged(first: list[str], second: list[str]) -> list[str]:
    """Both lists' entries once, each where its own list has it."""
    together = list(first)
    for place, name in enumerate(second):
        if name not in together:
            before = together.index(second[place - 1]) + 1 if place else 0
            together.insert(before, name)
    return together
