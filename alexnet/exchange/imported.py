"""What comes of other people's weights, and the checks that all of them pass.

A reader hands over arrays by our names, still as the file has them; here they are compared with a
convention's table, turned into float32, and refused with every difference that was found.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import numpy as np

from alexnet.base.errors import DataError, IncompatibleError
from alexnet.conventions import Convention, Nonlinearity
from alexnet.models.arrays import listed, misfits, set_parameters
from alexnet.models.card import ModelCard
from alexnet.network.alexnet import AlexNet

_LONG = 200  # characters of a difference: names are the file's choice
_AT_ONCE = 2**22  # numbers looked at together


@dataclass(frozen=True)
class FoundWeights:
    """What a reader found: arrays by our names as stored, the network they are of, what was done."""

    arrays: Mapping[str, np.ndarray]
    convention: Convention  # with as many outputs as the weights have
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Imported:
    """Weights of ours: float32 by our names, with all that a model folder needs.

    `notes` are lines for people: what was turned around, renamed, left out or assumed.
    """

    arrays: Mapping[str, np.ndarray]
    convention: Convention
    classes: tuple[str, ...]
    titles: tuple[str, ...]
    statistics: Mapping[str, np.ndarray]  # `mean`: side x side x 3 float32, RGB, 0-255
    notes: tuple[str, ...]
    preprocessing: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def network(self) -> AlexNet:
        """The test network with these weights; every name and shape is checked once more."""
        network = AlexNet.without_weights(self.convention)
        set_parameters(network, self.arrays, "imported weights")
        return network.eval()

    @property
    def card(self) -> ModelCard:
        """What the weights need to be used rightly."""
        return ModelCard(
            self.classes, self.titles, self.statistics, self.preprocessing, self.provenance
        )


def refused(wrong: Iterable[str], convention: Convention, where: object) -> IncompatibleError:
    """The error that lists how weights differ from the network they should be of."""
    wrong = [one if len(one) < _LONG else f"{one[:_LONG]} ..." for one in wrong]
    return IncompatibleError(
        f"The weights are not of {convention.name} ({convention.about}): {listed(wrong)}.",
        where=where,
        remedy="alexnet summary NETWORK shows every layer; --from names another network or format.",
    )


def checked(weights: FoundWeights, where: Path) -> tuple[dict[str, np.ndarray], list[str]]:
    """The arrays in float32, and lines on what was converted.

    Raises IncompatibleError with all differences in names and shapes, DataError for numbers that are
    not finite or no floating-point numbers. Shapes are compared before anything is copied.
    """
    if wrong := misfits(weights.arrays, weights.convention):
        raise refused(wrong, weights.convention, where)
    for name, array in weights.arrays.items():
        if array.dtype.kind != "f":
            raise DataError(
                f"{name} is stored as {array.dtype}, without the scale that makes weights of it.",
                where=where,
                remedy="Save the weights as floating-point numbers.",
            )
    notes = [
        f"Stored as {kind}; converted to float32."
        for kind in sorted({str(array.dtype) for array in weights.arrays.values()} - {"float32"})
    ]
    arrays = {}
    for name, array in weights.arrays.items():
        with np.errstate(over="ignore"):  # what is too large for float32 is found below
            arrays[name] = np.array(array, np.float32, order="C")
        if not is_finite(arrays[name]):
            raise DataError(f"{name} has numbers that are not finite.", where=where)
    return arrays, notes


def is_finite(array: np.ndarray) -> bool:
    """Whether every number is one, looked at in pieces."""
    flat = array.reshape(-1)
    return all(
        bool(np.isfinite(flat[first : first + _AT_ONCE]).all())
        for first in range(0, len(flat), _AT_ONCE)
    )


def settled(followers: Iterable[str]) -> tuple[str, ...]:
    """What follows a layer, with nonlinearities before max pooling where they stand behind it.

    The largest of a window stays the largest under a function that rises: both orders compute the same.
    """
    found: list[str] = []
    for one in followers:
        is_moved = one in get_args(Nonlinearity) and found[-1:] == ["pool"]
        found.insert(len(found) - is_moved, one)
    return tuple(found)


def misplaced(name: str, found: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """How what follows a layer differs from what should, if it does."""
    if tuple(found) == tuple(wanted):
        return []
    told = ", ".join(found) or "nothing"
    return [f"{name} is followed by {told}, not {', '.join(wanted) or 'nothing'}"]


def layer_names(convention: Convention) -> Iterator[str]:
    """The names of a network's layers, in order."""
    return (layer.name for layer in convention.layers)
