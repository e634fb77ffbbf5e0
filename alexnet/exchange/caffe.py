"""Networks that Caffe trained, read as ours where they are ours.

Caffe's images are blue, green, red; ours red, green, blue: the input maps of conv1 are turned around
both ways. Its fc6 reads maps one after another, C x H x W, as ours does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from alexnet.base.errors import DataError, IncompatibleError
from alexnet.conventions import CONVENTIONS, Convention
from alexnet.exchange.caffe_schema import (
    StoredLayer,
    array_of,
    layers_in,
)
from alexnet.exchange.imported import FoundWeights, layer_names, misplaced, refused, settled
from alexnet.formats.protobuf import Message
from alexnet.models.arrays import in_words, parameter_shapes
from alexnet.network.table import Shape, is_connected, shapes

NAMES = ("caffe", "caffenet")  # the conventions that Caffe itself has
# What other types are called in our tables; a type that is neither here nor left out is refused.
_KINDS = {"ReLU": "relu", "TanH": "tanh", "LRN": "norm", "Pooling": "pool", "Softmax": "softmax"}
_UNCHANGED = ("Dropout", "Flatten", "Split")  # what they read, in tests
_LEFT_OUT = (
    *("Data", "DummyData", "HDF5Data", "HDF5Output", "ImageData", "Input", "MemoryData"),
    *("WindowData", "Accuracy", "ArgMax", "Silence", "SoftmaxWithLoss", "EuclideanLoss"),
    *("ContrastiveLoss", "HingeLoss", "InfogainLoss", "MultinomialLogisticLoss"),
    "SigmoidCrossEntropyLoss",
)


class _Stage(NamedTuple):
    """A layer with weights, and those that follow it: each reads what the one before it made."""

    weighted: StoredLayer
    followers: list[StoredLayer]


def read_caffe(
    path: Path, source: str = "", known: Mapping[str, Convention] = CONVENTIONS
) -> FoundWeights:
    """The weights of a `.caffemodel`, as stored but for their names, shapes and order of colours.

    Every layer is compared with the network's: its place, its type, its numbers. `source` names the
    network where the file has nothing but weighted layers, whose followers are then taken on trust.
    Raises DataError for damaged files, IncompatibleError with the differences for other networks.
    """
    layers = layers_in(Message.of_file(path))
    weighted = [layer for layer in layers if layer.blobs]
    if not weighted:
        raise DataError("It has no weights: not a trained network of Caffe's.", where=path)
    names, more = _our_names(weighted, known[NAMES[0]], path)
    about, notes = _convention(layers, names, source, known, path)
    arrays = {}
    for layer, ours in zip(weighted, names, strict=True):
        wanted = parameter_shapes(about.with_classes(1))
        for part, blob in zip(("weight", "bias"), layer.blobs, strict=False):
            array = array_of(blob, len(wanted[f"{ours}.{part}"]), f"{layer.name}, {part}")
            arrays[f"{ours}.{part}"] = array
        if len(layer.blobs) != 2:
            raise refused(
                [f"{layer.name} has {len(layer.blobs)} blobs, not weights and biases"], about, path
            )
    rows = arrays[f"{about.output.name}.bias"].shape
    about = about.with_classes((rows[0] if len(rows) == 1 else 0) or about.output.kernels)
    first = f"{about.layers[0].name}.weight"
    if arrays[first].ndim == 4:
        arrays[first] = arrays[first][:, ::-1]
    notes += more
    notes.append(f"{first}: blue, green, red turned into red, green, blue.")
    if skipped := [f"{one.name} ({one.type})" for one in layers if one.type in _LEFT_OUT]:
        notes.append(f"Left out, they have no weights: {', '.join(skipped)}.")
    return FoundWeights(arrays, about, tuple(notes))


def read_mean(path: Path) -> np.ndarray:
    """A mean image in Caffe's binaryproto: C x H x W or C x 1 x 1 numbers, blue first.

    Raises DataError for damaged files.
    """
    blob = Message.of_file(path)
    array = array_of(blob, 3, "the mean image")
    if array.ndim != 3 or array.shape[0] != 3:
        raise DataError(f"No mean image of three colours: {in_words(array.shape)}.", where=path)
    return array


# --- Which network it is --------------------------------------------------------------------------


def _convention(
    layers: Sequence[StoredLayer],
    names: Sequence[str],
    source: str,
    known: Mapping[str, Convention],
    path: Path,
) -> tuple[Convention, list[str]]:
    """Which of Caffe's two networks it is, by what follows its layers, and why."""
    asked = source if source in NAMES else ""
    types = {layer.type for layer in layers if not layer.blobs}
    variant = "tanh" if "TanH" in types and "ReLU" not in types else ""
    choices = {name: known[name].varied(variant) for name in NAMES}
    if not types - {*_LEFT_OUT, *_UNCHANGED}:
        about = choices[asked or NAMES[0]]
        stages = [_Stage(layer, []) for layer in layers if layer.blobs]
        if wrong := _wrong_numbers(stages, names, about):
            raise refused(wrong, about, path)
        why = "as asked" if asked else "by default: only --from can tell, caffe or caffenet"
        told = f"Network: {about.name}; the file has weighted layers only ({why})."
        return about, [told, "What follows its layers is taken on trust.", *_trusted(stages)]
    stages, broken = _stages(layers)
    found = {
        name: broken + _wrong_places(stages, names, about) + _wrong_numbers(stages, names, about)
        for name, about in choices.items()
    }
    name = min(NAMES, key=lambda one: len(found[one]))
    if asked and asked != name and not found[name]:
        raise IncompatibleError(
            f"The file's layers are in the order of {name}, not of {asked}.",
            where=path,
            remedy=f"Leave --from out, or say --from {name}.",
        )
    if wrong := found[asked or name]:
        raise refused(wrong, choices[asked or name], path)
    order = "pooling, then normalization" if name == "caffenet" else "normalization, then pooling"
    return choices[name], [f"Network: {name}, told by its layers: {order}.", *_trusted(stages)]


def _stages(layers: Sequence[StoredLayer]) -> tuple[list[_Stage], list[str]]:
    """The layers in the order in which they compute, and where they do not read one another so.

    Where the file does not tell what a layer reads, it is what the one before it in the file made.
    """
    stages: list[_Stage] = []
    wrong: list[str] = []
    blobs: set[str] = set()  # with what was computed last
    pad = 0.0  # of a layer of V0, for the convolution after it
    for layer in layers:
        if layer.type in _LEFT_OUT:
            continue
        is_linked = not (blobs and layer.bottoms) or blobs.issuperset(layer.bottoms)
        if layer.type == "Split" and not is_linked:  # of labels
            continue
        if not is_linked:
            wrong.append(f"{layer.name} reads {_all(layer.bottoms)}, not {_all(sorted(blobs))}")
        if layer.type in _UNCHANGED:
            blobs |= set(layer.tops) if blobs else set()
            continue
        blobs = set(layer.tops) or blobs
        if layer.type == "Padding":
            pad += sum(layer.numbers.get("pad", ()))
        elif layer.blobs:
            if pad and "pad" in layer.numbers:
                inside = [pad + one for one in layer.numbers["pad"]]
                layer = layer._replace(numbers={**layer.numbers, "pad": inside})
                pad = 0
            stages.append(_Stage(layer, []))
        elif not stages:
            wrong.append(f"{layer.name} ({layer.type}) comes before any weights")
        else:
            stages[-1].followers.append(layer)
    return stages, wrong


def _wrong_places(stages: Sequence[_Stage], names: Sequence[str], about: Convention) -> list[str]:
    """How the order of layers, and what follows each, differ from the network's."""
    ours = list(layer_names(about))
    if list(names) != ours:
        return [f"the layers are in the order {', '.join(names)}"]
    wrong = []
    for stage, row in zip(stages, about.layers, strict=True):
        kinds = settled(
            _KINDS.get(one.type, one.type or "an unknown type") for one in stage.followers
        )
        if row == about.output and kinds[-1:] == ("softmax",):  # left out where the loss has it
            kinds = kinds[:-1]
        wanted = settled(one for one in row.followed_by if one not in ("dropout", "softmax"))
        wrong += misplaced(stage.weighted.name, kinds, wanted)
    return wrong


def _wrong_numbers(stages: Sequence[_Stage], names: Sequence[str], about: Convention) -> list[str]:
    """What layers say of themselves and the network has otherwise."""
    rows = {row.layer.name: row for row in shapes(about)}
    wrong = []
    for stage, name in zip(stages, names, strict=True):
        kind = "InnerProduct" if is_connected(rows[name].layer) else "Convolution"
        if stage.weighted.type not in ("", kind):
            wrong.append(f"{stage.weighted.name} is of type {stage.weighted.type}, not {kind}")
            continue
        for layer in (stage.weighted, *stage.followers):
            wanted = numbers_of(layer.type, rows[name], about)
            for key, values in layer.numbers.items():
                others = [n for n in values if not np.isclose(n, wanted[key], rtol=1e-4)]
                if others:
                    wrong.append(f"{layer.name} has {key} {others[0]:g}, not {wanted[key]:g}")
    return wrong


def numbers_of(kind: str, row: Shape, about: Convention) -> dict[str, float]:
    """The numbers that a layer of this type has where a network of ours is computed by Caffe."""
    match kind:
        case "Convolution":
            size, stride, (pad, _) = row.layer.size, row.layer.stride, row.layer.padding
            sides = {"kernel_size": size, "stride": stride, "pad": pad}
            return {**sides, "group": row.groups, "dilation": 1}
        case "InnerProduct":
            return {"axis": 1, "transpose": 0}
        case "LRN":
            k, n, alpha, beta = about.norm
            return {"local_size": n, "alpha": alpha * n, "beta": beta, "k": k, "norm_region": 0}
        case "Pooling":
            size, stride = about.pool
            sides = {"kernel_size": size, "stride": stride, "pad": 0}
            return {**sides, "pool": 0, "global_pooling": 0}
    return {"negative_slope": 0}


def _trusted(stages: Sequence[_Stage]) -> list[str]:
    """A line on the layers that do not tell what they compute with, if there are any."""
    layers = [layer for stage in stages for layer in (stage.weighted, *stage.followers)]
    silent = ("", "Convolution", "LRN", "Pooling")
    names = [layer.name for layer in layers if layer.type in silent and not layer.numbers]
    if not names:
        return []
    return [f"Taken on trust, for the file does not tell: the numbers of {', '.join(names)}."]


def _all(names: Sequence[str]) -> str:
    return " and ".join(names) or "nothing"


def _our_names(
    weighted: Sequence[StoredLayer], about: Convention, path: Path
) -> tuple[list[str], list[str]]:
    """Our name of every layer with weights, and a line if the last one is called otherwise."""
    ours = list(layer_names(about))
    theirs = [layer.name for layer in weighted]
    last, notes = about.output.name, []
    unknown = [layer for layer in weighted if layer.name not in ours]
    names = list(theirs)
    if last not in theirs and len(unknown) == 1 and unknown[0] is weighted[-1]:
        notes.append(f"The last layer is called {unknown[0].name!r}; it is our {last}.")
        names[-1] = last
        unknown = []
    wrong = [f"{one.name} ({one.type}) has weights and is unknown" for one in unknown]
    wrong += [f"{name} is missing" for name in ours if name not in names]
    wrong += [f"{name} is there twice" for name in ours if names.count(name) > 1]
    if wrong:
        raise refused(wrong, about, path)
    return names, notes
