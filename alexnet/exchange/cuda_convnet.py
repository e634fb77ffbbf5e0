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

What a layer applies to its sums, its neuron, is a layer of its own, of type `neuron`, or is named by the
layer itself under `neuron`; cuda-convnet2 leaves the name there when it makes the layer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from alexnet import paper
from alexnet.base.errors import IncompatibleError
from alexnet.conventions import CONVENTIONS, Convention
from alexnet.exchange.cuda_convnet_layers import (
    DROPOUTS,
    NORMS,
    CheckpointLayer,
    Stages,
    layers_by_name,
    number,
    stages_of,
)
from alexnet.exchange.imported import FoundWeights, misplaced, refused, settled
from alexnet.formats.pickles import read_pickle
from alexnet.models.arrays import in_words
from alexnet.network.table import Shape, is_connected, is_local, shapes

_KNOWN = ("original2012", "cifar13", "cifar11", "cifar18")


def read_cuda_convnet(
    path: Path, source: str = "", known: Mapping[str, Convention] = CONVENTIONS
) -> FoundWeights:
    """The weights of a checkpoint in our layout; nothing in the pickle is carried out.

    Which network it is follows from its layers, and what these say of themselves has to agree; where
    `source` names one of ours, that decides, and differences are noted. Raises DataError for what is no
    checkpoint, IncompatibleError with the differences for other networks.
    """
    stages = stages_of(layers_by_name(read_pickle(path), path), path)
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
    return FoundWeights(arrays, about, tuple(notes))


# --- Which network it is --------------------------------------------------------------------------


def _convention(
    stages: Stages, source: str, known: Mapping[str, Convention], path: Path
) -> tuple[Convention, list[str]]:
    """The network that `source` names, or the one whose layers, and what follows them, these are."""
    kinds = ["/".join(sorted({layer.type for layer in stage})) for stage in stages]
    found = {one for stage in stages for layer in stage for one in layer.followed_by}
    variant = "tanh" if "tanh" in found and "relu" not in found else ""
    asked = [source] if source in known else _KNOWN
    choices = [known[name].varied(variant) for name in asked]
    choices = [about for about in choices if kinds == [_type(row) for row in shapes(about)]]
    if source not in known:
        columns = max(map(len, stages))
        choices = [about for about in choices if columns == about.columns]
    if not choices:
        rows = (
            " ".join(
                (" and ".join(one.name for one in stage), *(f"+ {n}" for n in _after(stage[0])))
            )
            for stage in stages
        )
        raise IncompatibleError(
            f"The layers are not those of {', '.join(asked)}: {', '.join(rows)}."[:2000],
            where=path,
            remedy="A network whose layers agree but for what follows them can be named: "
            "--from NETWORK.",
        )
    wrong = {about.name: _differences(stages, about) for about in choices}
    about = min(choices, key=lambda one: len(wrong[one.name]))
    if wrong[about.name] and source not in known:
        raise refused(wrong[about.name], about, path)
    notes = [f"Network: {about.name}, {'as asked' if source in known else 'told by its layers'}."]
    notes += [f"It differs: {one}." for one in wrong[about.name]]
    if variant:
        notes.append("Its neurons are tanh.")
    if about.drops_out and not _tells_dropout(stages):
        notes.append(f"Taken on trust, for the file does not tell: the dropout of {about.name}.")
    return about, notes


def _after(layer: CheckpointLayer) -> tuple[str, ...]:
    """What follows a layer, but for the softmax at the end of the network."""
    found = layer.followed_by
    return found[:-1] if found[-1:] == ("softmax",) else found


def _tells_dropout(stages: Stages) -> bool:
    return any(one.drops_out or "dropout" in one.stored for stage in stages for one in stage)


def _differences(stages: Stages, about: Convention) -> list[str]:
    """How what follows the layers, in every column, differs from the network's."""
    wrong = []
    for stage, ours in zip(stages, about.layers, strict=True):
        last, drops = ours == about.output, "dropout" in ours.followed_by
        wanted = settled(one for one in ours.followed_by if one not in ("dropout", "softmax"))
        for layer in stage:
            wrong += misplaced(layer.name, _after(layer) if last else layer.followed_by, wanted)
            wrong += _wrong_numbers(layer, about)
            if _tells_dropout(stages) and layer.drops_out != drops:
                wrong.append(f"{layer.name} has {'no ' if drops else ''}dropout")
    return wrong


def _type(row: Shape) -> str:
    if is_connected(row.layer):
        return "fc"
    return "local" if is_local(row.layer) else "conv"


def _wrong_numbers(layer: CheckpointLayer, about: Convention) -> list[str]:
    """What a layer, and those that follow it, say of themselves and the network has otherwise."""
    wrong = []
    for one in (layer, *layer.followers):
        wanted: dict[str, float] = {}
        if one.type == "pool":
            wanted = {"sizeX": about.pool.size, "stride": about.pool.stride, "start": 0}
        elif one.type in NORMS:
            norm = about.within if one.kind == "norm within" else about.norm
            size = norm.n
            wanted = {"size": size, "scale": norm.alpha, "pow": norm.beta, "minDiv": norm.k}
            wanted |= {"sizeX": size, "blocked": 0}  # the former as the first versions call it
        elif one.type in DROPOUTS:
            wanted = {"keep": 1 - paper.DROPOUT, "enable": 1}
        if number(one.stored.get("dropout")):  # a share, which may be 0
            wanted["dropout"] = paper.DROPOUT
        wrong += _unequal(one, wanted)
    return wrong


def _unequal(layer: CheckpointLayer, wanted: Mapping[str, float]) -> list[str]:
    """Numbers that a layer has, in a list or not, and that are not those wanted."""
    wrong = []
    for key, value in wanted.items():
        given = layer.stored.get(key)
        numbers = map(number, given if isinstance(given, list) else [given])
        others = [n for n in numbers if n is not None and not np.isclose(n, value, rtol=1e-4)]
        if others:
            wrong.append(f"{layer.name} has {key} {others[0]:g}, not {value:g}")
    return wrong


# --- How it lies in memory ------------------------------------------------------------------------


def _matrices(layer: CheckpointLayer) -> list[Any]:
    """A layer's weights: one matrix for each input, which the first versions have without a list."""
    given = layer.stored.get("weights")
    return given if isinstance(given, list) and given else [given]


def _neurons(stage: Sequence[CheckpointLayer]) -> int:
    """Outputs of a fully connected stage: columns of its matrices."""
    firsts = [_matrices(layer)[:1] for layer in stage]
    return sum(one.shape[-1] for (one,) in firsts if isinstance(one, np.ndarray) and one.ndim == 2)


def _wrong(stage: Sequence[CheckpointLayer], row: Shape) -> list[str]:
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


def _wrong_inputs(stage: Sequence[CheckpointLayer], before: Sequence[str], row: Shape) -> list[str]:
    """Which layers of a stage do not read what they should: their own column, or all before."""
    wrong = []
    for n, layer in enumerate(stage):
        apart = row.layer.sees == "own column" and len(before) > 1
        wanted = before[n : n + 1] if apart else before
        if sorted(layer.sources) != sorted(wanted) or len(_matrices(layer)) != max(1, len(wanted)):
            read = " and ".join(layer.sources) or "images"
            wrong.append(f"{layer.name} reads {read}, not {' and '.join(wanted) or 'images'}")
    return wrong


def _laid_out(
    layer: CheckpointLayer, row: Shape, places: Mapping[str, int]
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
