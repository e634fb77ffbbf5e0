"""The layers of a cuda-convnet checkpoint: what is stored of each, and which of them read which.

A layer that follows another without weights of its own (a neuron, pooling, normalization, dropout) is
kept with the weighted one whose sums it ends up changing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from alexnet.base.errors import DataError
from alexnet.exchange.imported import settled

_MOST_LAYERS = 300
_WEIGHTED = ("conv", "local", "fc")
_POOLS = {"max": "pool", "avg": "average pool"}
NORMS = {"cmrnorm": "norm", "rnorm": "norm within", "cnorm": "contrast normalization"}
DROPOUTS = ("dropout", "dropout2")
_NEURONS = {"ident": "", "tanh[1,1]": "tanh", "tanh[1.0,1.0]": "tanh"}  # [a,b]: a * tanh(b * x)
_PASSING = ("pool", "neuron", "softmax", *DROPOUTS, *NORMS)
_LEFT_OUT = ("data", "cost")  # beginnings of types that compute nothing of the network


@dataclass
class CheckpointLayer:
    """One layer of a checkpoint; `sources` are the weighted layers that each input comes from."""

    name: str
    type: str
    inputs: list[str]
    stored: Mapping[str, Any]
    sources: list[str] = field(default_factory=list)
    followers: list[CheckpointLayer] = field(default_factory=list)  # each reads the one before it
    depth: int = 0  # of weighted layers, this one counted

    @property
    def kind(self) -> str:
        """What a layer that follows another is called in our tables; "" where it changes nothing."""
        match self.type:
            case "pool":
                told = self.stored.get("pool")
                known = _POOLS.get(told) if isinstance(told, str) else None
                return known or f"pooling {str(told)[:40]!r}"
            case "neuron":
                return _neuron(self.stored.get("neuron", "an unknown one"))
            case "rnorm" if self.stored.get("crossMap"):
                return "norm"
        return NORMS.get(self.type, self.type)

    @property
    def followed_by(self) -> tuple[str, ...]:
        """What is done with its sums, but for dropout, in the words of our tables."""
        chain, kinds = [self, *self.followers], []
        for one, after in zip_longest(chain, chain[1:]):
            if one is not self:
                kinds.append(one.kind)
            if one.type != "neuron" and (after is None or after.type != "neuron"):
                kinds.append(_neuron(one.stored.get("neuron", "")))
        return settled(kind for kind in kinds if kind and kind not in DROPOUTS)

    @property
    def drops_out(self) -> bool:
        """Whether some of its outputs are dropped: by a layer, or as a share that a layer names."""
        chain = [self, *self.followers]
        return any(one.type in DROPOUTS or number(one.stored.get("dropout")) for one in chain)


Stages = list[list[CheckpointLayer]]


def layers_by_name(found: Any, path: Path) -> dict[str, CheckpointLayer]:
    """Every layer by name, sources first."""
    state = found.get("model_state") if isinstance(found, dict) else None
    stored = state.get("layers") if isinstance(state, dict) else None
    listed = list(stored.values()) if isinstance(stored, dict) else stored
    if not isinstance(listed, list) or not 0 < len(listed) <= _MOST_LAYERS:
        raise DataError("Not a checkpoint of cuda-convnet: no model_state with layers.", where=path)
    named = [_layer(one, listed, path) for one in listed]
    layers = {layer.name: layer for layer in named}
    if len(layers) != len(named):
        raise DataError("Two layers of the checkpoint have one name.", where=path)
    return layers


def _layer(one: Any, listed: Sequence[Any], path: Path) -> CheckpointLayer:
    name, kind = (one.get("name"), one.get("type")) if isinstance(one, dict) else (None, None)
    if not isinstance(name, str) or not isinstance(kind, str):
        raise DataError("The checkpoint has a layer without a name or type.", where=path)
    given = one.get("inputs", [])
    inputs: list[str] = []
    for entry in given if isinstance(given, list) else [None]:
        if isinstance(entry, int) and 0 <= entry < len(listed):
            entry = listed[entry].get("name") if isinstance(listed[entry], dict) else None
        if not isinstance(entry, str):
            raise DataError(f"The inputs of layer {name!r} are no layers.", where=path)
        inputs.append(entry)
    return CheckpointLayer(name, kind, inputs, one)


def stages_of(layers: Mapping[str, CheckpointLayer], path: Path) -> Stages:
    """The weighted layers by how many such layers are before them; in each stage a before b."""
    done: set[str] = set()
    # Layers wait for their inputs: after so many turns all are done, or in a circle.
    for _ in layers:
        for layer in layers.values():
            if layer.name not in done and all(name in done for name in layer.inputs):
                _place(layer, layers, path)
                done.add(layer.name)
    if missing := [name for name in layers if name not in done]:
        raise DataError(
            f"Inputs of {', '.join(sorted(missing)[:8])} are missing, or go in a circle.",
            where=path,
        )
    weighted = [layer for layer in layers.values() if layer.type in _WEIGHTED]
    if not weighted:
        raise DataError("The checkpoint has no layers with weights.", where=path)
    for layer in weighted:
        read = [name for name in layer.inputs if layers[name].type != "data"]
        for name, before in zip(read, layer.sources, strict=True):
            _require_end(layer.name, name, layers[before], path)
    deepest = max(layer.depth for layer in weighted)
    return [
        sorted((layer for layer in weighted if layer.depth == depth), key=lambda one: one.name)
        for depth in range(1, deepest + 1)
    ]


def _place(layer: CheckpointLayer, layers: Mapping[str, CheckpointLayer], path: Path) -> None:
    """A layer's sources and depth, from those of its inputs."""
    before = [layers[name] for name in layer.inputs]
    if layer.type in _WEIGHTED:
        layer.depth = 1 + max((one.depth for one in before), default=0)
        for one in before:
            if one.type == "data":
                continue
            source = [one.name] if one.type in _WEIGHTED else one.sources
            if len(source) != 1:
                raise DataError(
                    f"Layer {layer.name!r} reads {one.name!r}, which comes from no weights.",
                    where=path,
                )
            layer.sources += source
        return
    if layer.type.startswith(_LEFT_OUT):
        return
    if layer.type not in _PASSING or len(before) != 1:
        raise DataError(
            f"Layer {layer.name!r} is of type {layer.type!r}, which none of our networks has.",
            where=path,
        )
    layer.depth = before[0].depth
    layer.sources = [before[0].name] if before[0].type in _WEIGHTED else before[0].sources
    if layer.sources:
        followed = layers[layer.sources[0]]
        _require_end(layer.name, layer.inputs[0], followed, path)
        followed.followers.append(layer)


def _require_end(reader: str, name: str, source: CheckpointLayer, path: Path) -> None:
    """Refuse a layer that does not read the last of what follows `source`: none of ours divides there."""
    end = [source, *source.followers][-1].name
    if end != name:
        raise DataError(
            f"Layer {reader!r} reads {name!r}; the last of what follows {source.name!r} is {end!r}.",
            where=path,
        )


def number(given: Any) -> float | None:
    """A stored number, infinity for whole ones that are too large; None for anything else."""
    if not isinstance(given, int | float | np.number | np.bool_):
        return None
    try:
        return float(given)
    except OverflowError:
        return math.inf


def _neuron(given: Any) -> str:
    """What a neuron computes, in our words where we have it, else in theirs; "" for nothing.

    `given` is a text, "relu" or "tanh[a,b]", or what that program makes of it: a `type` and `params`.
    """
    if isinstance(given, Mapping):
        params = given.get("params")
        numbers = list(map(number, params.values())) if isinstance(params, Mapping) else []
        told = str(given.get("type"))
        given = (
            f"{told}[{','.join(f'{n:g}' for n in numbers if n is not None)}]" if numbers else told
        )
    return _NEURONS.get(str(given).replace(" ", ""), str(given)[:40])
