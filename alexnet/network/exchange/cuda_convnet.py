"""Checkpoints of cuda-convnet and cuda-convnet2, the programs of 2011 to 2014 (`akrizhevsky/...`).

A checkpoint is a pickle with `model_state` -> `layers`: dictionaries with `name`, `type`, `inputs`
(numbers of layers, or their names) and, where there are any, `weights` (a matrix for each input) and
`biases`. How they lie in memory is what that program's `layer.py` makes and its kernels read
(`filter_acts.cu` names the axes of shared and of unshared filters):

    convolution          (C*S*S, K), biases K        C maps that one kernel sees, S x S its window
    locally connected    (P*C*S*S, K), biases K*P    P = Y*X places row after row; biases K x Y x X
    fully connected      (inputs, outputs), biases 1 x outputs

A layer on two GPUs is two layers, a and b, which read their own column or both; here they become one:
kernels of the first column before those of the second, and so the maps that they read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from alexnet import paper
from alexnet.conventions import CONVENTIONS, Convention
from alexnet.errors import DataError, IncompatibleError
from alexnet.network.exchange import pickles
from alexnet.network.exchange.imported import Weights, in_words, refused
from alexnet.network.table import Shape, is_connected, is_local, shapes

_MOST_LAYERS = 300
_WEIGHTED = ("conv", "local", "fc")
_NORMS = {"cmrnorm": "norm", "rnorm": "norm within", "cnorm": "norm within"}
_PASSING = ("pool", "neuron", "dropout", "dropout2", "softmax", *_NORMS)
_LEFT_OUT = ("data", "cost")  # beginnings of types that compute nothing of the network
_FOLLOWERS = ("pool", "average pool", "norm", "norm within")
_KNOWN = ("original2012", "cifar13", "cifar11", "cifar18")


@dataclass
class _Layer:
    """One layer of a checkpoint; `sources` are the weighted layers that each input comes from."""

    name: str
    type: str
    inputs: list[str]
    stored: Mapping[str, Any]
    sources: list[str] = field(default_factory=list)
    followers: list[_Layer] = field(default_factory=list)  # pooling, normalization
    depth: int = 0  # of weighted layers, this one counted

    @property
    def kind(self) -> str:
        """What a layer that follows another is called in our tables."""
        if self.type == "pool":
            return "average pool" if self.stored.get("pool") == "avg" else "pool"
        return "norm" if self.stored.get("crossMap") else _NORMS[self.type]


Stages = list[list[_Layer]]


def read(path: Path, source: str = "", known: Mapping[str, Convention] = CONVENTIONS) -> Weights:
    """The weights of a checkpoint in our layout; nothing in the pickle is carried out.

    Which network it is follows from its layers, and what these say of themselves has to agree; where
    `source` names one of ours, that decides, and differences are noted. Raises DataError for what is no
    checkpoint, IncompatibleError with the differences for other networks.
    """
    stages = _stages(_layers(pickles.read(path), path), path)
    about, notes = _convention(stages, source, known, path)
    about = about.with_classes(_neurons(stages[-1]) or about.output.kernels)
    rows = shapes(about)
    wrong = [line for stage, row in zip(stages, rows, strict=True) for line in _wrong(stage, row)]
    befores: Stages = [[], *stages]
    for before, stage, row in zip(befores, stages, rows, strict=False):
        wrong += _wrong_inputs(stage, [one.name for one in before], row)
    if wrong:
        raise refused(wrong, about, path)
    arrays = {}
    places = {layer.name: n for stage in stages for n, layer in enumerate(stage)}
    for stage, row in zip(stages, rows, strict=True):
        parts = [_laid_out(layer, row, places) for layer in stage]
        arrays[f"{row.layer.name}.weight"] = np.concatenate([weight for weight, _ in parts])
        arrays[f"{row.layer.name}.bias"] = np.concatenate([bias for _, bias in parts])
        names = " and ".join(layer.name for layer in stage)
        if names != row.layer.name:
            notes.append(f"{names}: our {row.layer.name}.")
    return Weights(arrays, about, tuple(notes))


# --- What the file has ----------------------------------------------------------------------------


def _layers(found: Any, path: Path) -> dict[str, _Layer]:
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


def _layer(one: Any, listed: Sequence[Any], path: Path) -> _Layer:
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
    return _Layer(name, kind, inputs, one)


def _stages(layers: Mapping[str, _Layer], path: Path) -> Stages:
    """The weighted layers by how many such layers are before them; in each stage a before b."""
    done: set[str] = set()
    for (
        _
    ) in layers:  # a layer waits for its inputs: all are done after so many turns, or in a circle
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
    deepest = max(layer.depth for layer in weighted)
    return [
        sorted((layer for layer in weighted if layer.depth == depth), key=lambda one: one.name)
        for depth in range(1, deepest + 1)
    ]


def _place(layer: _Layer, layers: Mapping[str, _Layer], path: Path) -> None:
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
    if layer.sources and (layer.type == "pool" or layer.type in _NORMS):
        layers[layer.sources[0]].followers.append(layer)


# --- Which network it is --------------------------------------------------------------------------


def _convention(
    stages: Stages, source: str, known: Mapping[str, Convention], path: Path
) -> tuple[Convention, list[str]]:
    """The network that `source` names, or the one whose layers, and what follows them, these are."""
    kinds = [stage[0].type for stage in stages]
    found = [[one.kind for one in stage[0].followers] for stage in stages]
    for name in [source] if source in known else _KNOWN:
        about = known[name]
        if kinds != [_type(row) for row in shapes(about)]:
            continue
        followers = [
            [one for one in layer.followed_by if one in _FOLLOWERS] for layer in about.layers
        ]
        wrong = [
            f"{stage[0].name} is followed by {', '.join(these) or 'nothing'}, "
            f"not {', '.join(those) or 'nothing'}"
            for stage, these, those in zip(stages, found, followers, strict=True)
            if these != those
        ]
        wrong += [line for stage in stages for one in stage for line in _wrong_numbers(one, about)]
        if source in known:
            return about, [f"Network: {name}, as asked.", *(f"It differs: {one}." for one in wrong)]
        if max(map(len, stages)) == about.columns and followers == found:
            if wrong:
                raise refused(wrong, about, path)
            return about, [f"Network: {name}, told by its layers."]
    rows = (
        " ".join((" and ".join(layer.name for layer in stage), *(f"+ {one}" for one in these)))
        for stage, these in zip(stages, found, strict=True)
    )
    raise IncompatibleError(
        f"The layers are not those of {source if source in known else ', '.join(_KNOWN)}: "
        f"{', '.join(rows)}."[:2000],
        where=path,
        remedy="A network whose layers agree but for what follows them can be named: --from NETWORK.",
    )


def _type(row: Shape) -> str:
    if is_connected(row.layer):
        return "fc"
    return "local" if is_local(row.layer) else "conv"


def _wrong_numbers(layer: _Layer, about: Convention) -> list[str]:
    """What the layers that follow one say of themselves and the network has otherwise."""
    wrong = []
    for one in layer.followers:
        wanted: dict[str, float] = {}
        if one.type == "pool":
            wanted |= {"sizeX": about.pool.size, "stride": about.pool.stride, "start": 0}
        else:
            norm = about.within if one.kind == "norm within" else about.norm
            size = norm.n
            wanted |= {"size": size, "scale": norm.alpha, "pow": norm.beta, "minDiv": norm.k}
            wanted["sizeX"] = size  # as the first versions call it
        wrong += _unequal(one, wanted)
    return wrong


def _unequal(layer: _Layer, wanted: Mapping[str, float]) -> list[str]:
    """Numbers that a layer has, in a list or not, and that are not those wanted."""
    wrong = []
    for key, value in wanted.items():
        given = layer.stored.get(key)
        given = given[0] if isinstance(given, list) and given else given
        if isinstance(given, int | float | np.number) and not np.isclose(given, value, rtol=1e-4):
            wrong.append(f"{layer.name} has {key} {float(given):g}, not {value:g}")
    return wrong


# --- How it lies in memory ------------------------------------------------------------------------


def _matrices(layer: _Layer) -> list[Any]:
    """A layer's weights: one matrix for each input, which the first versions have without a list."""
    given = layer.stored.get("weights")
    return given if isinstance(given, list) and given else [given]


def _neurons(stage: Sequence[_Layer]) -> int:
    """Outputs of a fully connected stage: columns of its matrices."""
    firsts = [_matrices(layer)[:1] for layer in stage]
    return sum(one.shape[-1] for (one,) in firsts if isinstance(one, np.ndarray) and one.ndim == 2)


def _wrong(stage: Sequence[_Layer], row: Shape) -> list[str]:
    """How a stage's matrices, biases and geometry differ from a row of our table."""
    wrong, ours = [], row.layer
    if len(stage) > paper.COLUMNS or ours.kernels % len(stage):
        return [f"{' and '.join(layer.name for layer in stage)} are no halves of {ours.name}"]
    K, places = ours.kernels // len(stage), row.outputs[1] ** 2 if is_local(ours) else 1
    for layer in stage:
        matrices = _matrices(layer)
        if row.inputs_seen % len(matrices):
            wrong.append(
                f"{layer.name} has {len(matrices)} matrices for {row.inputs_seen:,} inputs"
            )
            continue
        inputs = row.weights_per_kernel // len(matrices)
        wanted: tuple[int, ...] = (places * inputs, K)
        for matrix in matrices:
            if not isinstance(matrix, np.ndarray):
                wrong.append(f"{layer.name} has no matrix of weights")
            elif matrix.shape != wanted or matrix.dtype.kind != "f":
                told = f"{in_words(matrix.shape)} {matrix.dtype}"
                wrong.append(f"{layer.name} is {told}, not {in_words(wanted)}")
        biases = layer.stored.get("biases")
        if (
            not isinstance(biases, np.ndarray)
            or biases.size != K * places
            or biases.dtype.kind != "f"
        ):
            size = f"{biases.size:,}" if isinstance(biases, np.ndarray) else "no"
            wrong.append(f"{layer.name} has {size} biases, not {K * places:,}")
        if not is_connected(ours):  # padding is kept below zero: where the first window begins
            geometry = {"filterSize": ours.size, "stride": ours.stride, "padding": -ours.padding[0]}
            wrong += _unequal(layer, geometry)
    return wrong


def _wrong_inputs(stage: Sequence[_Layer], before: Sequence[str], row: Shape) -> list[str]:
    """Which layers of a stage do not read what they should: their own column, or all before."""
    wrong = []
    for n, layer in enumerate(stage):
        apart = row.layer.sees == "own column" and len(before) > 1
        wanted = before[n : n + 1] if apart else before
        if sorted(layer.sources) != sorted(wanted) or len(_matrices(layer)) != max(1, len(wanted)):
            read = " and ".join(layer.sources) or "pictures"
            wrong.append(f"{layer.name} reads {read}, not {' and '.join(wanted) or 'pictures'}")
    return wrong


def _laid_out(
    layer: _Layer, row: Shape, places: Mapping[str, int]
) -> tuple[np.ndarray, np.ndarray]:
    """A layer's weights, kernels first, and biases; the matrices of the first column's maps first.

    Everything fits: `_wrong` and `_wrong_inputs` found nothing.
    """
    matrices, ours = _matrices(layer), row.layer
    if len(matrices) > 1:
        order = sorted(range(len(matrices)), key=lambda n: places[layer.sources[n]])
        matrices = [matrices[n] for n in order]
    K, S = matrices[0].shape[1], ours.size
    bias = layer.stored["biases"].reshape(-1)
    if is_connected(ours):
        return np.concatenate(matrices).T, bias
    Y, X = row.outputs[1:] if is_local(ours) else (1, 1)
    weight_PCSSK = np.concatenate([one.reshape(Y * X, -1, S, S, K) for one in matrices], axis=1)
    if is_local(ours):
        return weight_PCSSK.transpose(4, 1, 2, 3, 0).reshape(K, -1, S, S, Y, X), bias
    return weight_PCSSK[0].transpose(3, 0, 1, 2), bias
