"""Caffe's files: `.caffemodel` read and written, in all three encodings that its layers have had.

Field numbers are those of BVLC/caffe's schema. A network is a row of layers, each with a name, a type,
the blobs it reads (bottoms) and makes (tops), and its parameters, weights first, then biases. Caffe's
pictures are blue, green, red; ours red, green, blue: the input maps of conv1 are turned around both ways.
Its fc6 reads maps one after another, C x H x W, as ours does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from alexnet.conventions import CONVENTIONS, Convention, Nonlinearity
from alexnet.errors import DataError, IncompatibleError
from alexnet.files import drafts
from alexnet.network.alexnet import AlexNet
from alexnet.network.exchange import protobuf
from alexnet.network.exchange.classes import classes_text
from alexnet.network.exchange.imported import (
    Weights,
    expected,
    in_words,
    layer_names,
    misplaced,
    refused,
    settled,
)
from alexnet.network.exchange.protobuf import Message
from alexnet.network.exchange.prototxt import deploy_text, layers_of
from alexnet.network.table import Shape, is_connected, shapes
from alexnet.network.weights import ModelCard, parameters_of

NAMES = ("caffe", "caffenet")  # the conventions that Caffe itself has
# In the order in which they get their names: the weights come last.
_WRITTEN = ("classes.txt", "mean.binaryproto", "deploy.prototxt", "model.caffemodel")
_NET_NAME, _NET_V1, _NET_LAYER = 1, 2, 100


class _Encoding(NamedTuple):
    """The numbers of a layer's fields in one version of the schema."""

    version: int
    name: int
    type: int
    bottom: int
    top: int
    blobs: int


_V0, _V1, _V2 = (
    _Encoding(version=0, name=1, type=2, bottom=2, top=3, blobs=50),
    _Encoding(version=1, name=4, type=5, bottom=2, top=3, blobs=6),
    _Encoding(version=2, name=1, type=2, bottom=3, top=4, blobs=7),
)
_V0_INSIDE = 1  # the field of a V1 layer with what V0 has, but for bottoms and tops
# Of a blob: its four sides before there were shapes, its numbers, its shape, its numbers in float64.
_SIDES, _DATA, _SHAPE, _DOUBLES, _DIM = (1, 2, 3, 4), 5, 7, 8, 1
_DIMENSIONS = 8  # of a blob, at most


class _Number(NamedTuple):
    """Where a layer has one of its numbers, and what the schema says where it has none."""

    fields: tuple[int, ...]  # of the message for its type: for both axes, then for each
    v0: int = 0  # of the layer itself, in V0; 0 where V0 has none
    default: float = 0
    is_whole: bool = True


# The fields of a layer with the message for its type, in V1 and V2, and what of it decides the outputs.
_MESSAGES = {"Convolution": (10, 106), "InnerProduct": (17, 117), "LRN": (18, 118),
             "Pooling": (19, 121), "ReLU": (30, 123)}  # fmt: skip
_NUMBERS = {
    "Convolution": {
        "kernel_size": _Number((4, 11, 12), 8),
        "stride": _Number((6, 13, 14), 10, 1),
        "pad": _Number((3, 9, 10), 7),
        "group": _Number((5,), 9, 1),
        "dilation": _Number((18,), default=1),
    },
    "Padding": {"pad": _Number((), 7)},  # V0's: a layer before the convolution
    "InnerProduct": {"axis": _Number((5,), default=1), "transpose": _Number((6,))},
    "LRN": {  # its alpha is divided by the window
        "local_size": _Number((1,), 13, 5),
        "alpha": _Number((2,), 14, 1, is_whole=False),
        "beta": _Number((3,), 15, 0.75, is_whole=False),
        "k": _Number((5,), 22, 1, is_whole=False),
        "norm_region": _Number((4,)),  # 1: within a map
    },
    "Pooling": {
        "pool": _Number((1,), 11),  # 0 the largest, 1 the average
        "kernel_size": _Number((2, 5, 6), 8),
        "stride": _Number((3, 7, 8), 10, 1),
        "pad": _Number((4, 9, 10), 7),
        "global_pooling": _Number((12,)),
    },
    "ReLU": {"negative_slope": _Number((1,), is_whole=False)},
}
_WEIGHTED, _OUTPUTS = ("Convolution", "InnerProduct"), 1  # in whose message the first is how many
# What V1's numbers of types, and V0's names, are called in V2.
_TYPES = {
    **{"1": "Accuracy", "2": "BNLL", "3": "Concat", "4": "Convolution", "5": "Data"},
    **{"6": "Dropout", "7": "EuclideanLoss", "8": "Flatten", "9": "HDF5Data"},
    **{"10": "HDF5Output", "11": "Im2col", "12": "ImageData", "13": "InfogainLoss"},
    **{"14": "InnerProduct", "15": "LRN", "16": "MultinomialLogisticLoss", "17": "Pooling"},
    **{"18": "ReLU", "19": "Sigmoid", "20": "Softmax", "21": "SoftmaxWithLoss", "22": "Split"},
    **{"23": "TanH", "24": "WindowData", "25": "Eltwise", "26": "Power"},
    **{"27": "SigmoidCrossEntropyLoss", "28": "HingeLoss", "29": "MemoryData", "30": "ArgMax"},
    **{"31": "Threshold", "32": "DummyData", "33": "Slice", "34": "MVN", "35": "AbsVal"},
    **{"36": "Silence", "37": "ContrastiveLoss", "38": "Exp", "39": "Deconvolution"},
    **{"accuracy": "Accuracy", "bnll": "BNLL", "concat": "Concat", "conv": "Convolution"},
    **{"data": "Data", "dropout": "Dropout", "euclidean_loss": "EuclideanLoss"},
    **{"flatten": "Flatten", "hdf5_data": "HDF5Data", "hdf5_output": "HDF5Output"},
    **{"im2col": "Im2col", "images": "ImageData", "infogain_loss": "InfogainLoss"},
    **{"innerproduct": "InnerProduct", "lrn": "LRN", "padding": "Padding", "pool": "Pooling"},
    **{"multinomial_logistic_loss": "MultinomialLogisticLoss", "relu": "ReLU"},
    **{"sigmoid": "Sigmoid", "softmax": "Softmax", "softmax_loss": "SoftmaxWithLoss"},
    **{"split": "Split", "tanh": "TanH", "window_data": "WindowData"},
}
# What other types are called in our tables; a type that is neither here nor left out is refused.
_KINDS = {"ReLU": "relu", "TanH": "tanh", "LRN": "norm", "Pooling": "pool", "Softmax": "softmax"}
_UNCHANGED = ("Dropout", "Flatten", "Split")  # what they read, in tests
_LEFT_OUT = (
    *("Data", "DummyData", "HDF5Data", "HDF5Output", "ImageData", "Input", "MemoryData"),
    *("WindowData", "Accuracy", "ArgMax", "Silence", "SoftmaxWithLoss", "EuclideanLoss"),
    *("ContrastiveLoss", "HingeLoss", "InfogainLoss", "MultinomialLogisticLoss"),
    "SigmoidCrossEntropyLoss",
)


class _Layer(NamedTuple):
    """A layer as stored; `numbers` are those of its type, none where the file does not tell."""

    name: str
    type: str
    bottoms: Sequence[str]
    tops: Sequence[str]
    blobs: Sequence[Message]
    numbers: Mapping[str, Sequence[float]]


class _Stage(NamedTuple):
    """A layer with weights, and those that follow it: each reads what the one before it made."""

    weighted: _Layer
    followers: list[_Layer]


# --- Reading --------------------------------------------------------------------------------------


def read(path: Path, source: str = "", known: Mapping[str, Convention] = CONVENTIONS) -> Weights:
    """The weights of a `.caffemodel`, as stored but for their names, shapes and order of colours.

    Every layer is compared with the network's: its place, its type, its numbers. `source` names the
    network where the file has nothing but weighted layers, whose followers are then taken on trust.
    Raises DataError for damaged files, IncompatibleError with the differences for other networks.
    """
    layers = _layers(Message.of_file(path))
    weighted = [layer for layer in layers if layer.blobs]
    if not weighted:
        raise DataError("It has no weights: not a trained network of Caffe's.", where=path)
    names, more = _our_names(weighted, known[NAMES[0]], path)
    about, notes = _convention(layers, names, source, known, path)
    arrays = {}
    for layer, ours in zip(weighted, names, strict=True):
        wanted = expected(about.with_classes(1))
        for part, blob in zip(("weight", "bias"), layer.blobs, strict=False):
            array = _array(blob, len(wanted[f"{ours}.{part}"]), f"{layer.name}, {part}")
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
    return Weights(arrays, about, tuple(notes))


def read_mean(path: Path) -> np.ndarray:
    """A mean image in Caffe's binaryproto: C x H x W or C x 1 x 1 numbers, blue first.

    Raises DataError for damaged files.
    """
    blob = Message.of_file(path)
    array = _array(blob, 3, "the mean image")
    if array.ndim != 3 or array.shape[0] != 3:
        raise DataError(f"No mean image of three colours: {in_words(array.shape)}.", where=path)
    return array


def _layers(net: Message) -> list[_Layer]:
    """The layers of either field, in order."""
    if _NET_LAYER in net.numbers:
        return [_layer(one, one, _V2) for one in net.messages(_NET_LAYER)]
    found = []
    for one in net.messages(_NET_V1):
        inside = list(one.messages(_V0_INSIDE))
        found.append(_layer(inside[0], one, _V0) if inside else _layer(one, one, _V1))
    return found


def _layer(one: Message, around: Message, fields: _Encoding) -> _Layer:
    """A layer whose bottoms and tops are in `around`."""
    told = map(str, one.integers(fields.type)) if fields is _V1 else one.texts(fields.type)
    kind = ([""] + [_TYPES.get(kind, kind) if fields is not _V2 else kind for kind in told])[-1]
    return _Layer(
        one.text(fields.name),
        kind,
        around.texts(fields.bottom),
        around.texts(fields.top),
        list(one.messages(fields.blobs)),
        _numbers(one, fields.version, kind),
    )


def _numbers(one: Message, version: int, kind: str) -> dict[str, Sequence[float]]:
    """What decides a layer's outputs, with the schema's defaults; nothing where all of it is missing."""
    keys = _NUMBERS.get(kind, {})
    inside = one
    if version:
        if kind not in _MESSAGES or not (given := [*one.messages(_MESSAGES[kind][version - 1])]):
            return {}
        inside = given[-1]
    elif not one.numbers & {key.v0 for key in keys.values()}:
        return {}
    found: dict[str, Sequence[float]] = {}
    for name, (fields, v0, default, is_whole) in keys.items():
        values: list[float] = []
        for field in fields if version else filter(None, [v0]):
            values += inside.integers(field) if is_whole else inside.floats(field, "<f4").tolist()
        found[name] = values or [default]
    return found


# --- Which network it is --------------------------------------------------------------------------


def _convention(
    layers: Sequence[_Layer],
    names: Sequence[str],
    source: str,
    known: Mapping[str, Convention],
    path: Path,
) -> tuple[Convention, list[str]]:
    """Which of Caffe's two networks it is, by what follows its layers, and why."""
    asked = source if source in NAMES else ""
    types = {layer.type for layer in layers if not layer.blobs}
    applied: Nonlinearity = "tanh" if "TanH" in types and "ReLU" not in types else "relu"
    choices = {name: known[name].with_nonlinearity(applied) for name in NAMES}
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


def _stages(layers: Sequence[_Layer]) -> tuple[list[_Stage], list[str]]:
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
            wanted = _wanted(layer.type, rows[name], about)
            for key, values in layer.numbers.items():
                others = [n for n in values if not np.isclose(n, wanted[key], rtol=1e-4)]
                if others:
                    wrong.append(f"{layer.name} has {key} {others[0]:g}, not {wanted[key]:g}")
    return wrong


def _wanted(kind: str, row: Shape, about: Convention) -> dict[str, float]:
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
    weighted: Sequence[_Layer], about: Convention, path: Path
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


def _array(blob: Message, dimensions: int, what: str) -> np.ndarray:
    """A blob's numbers in its shape, leading sides of 1 left out down to so many dimensions.

    Raises DataError where there are more or fewer numbers than the shape says.
    """
    numbers = blob.numbers
    dtype, field = ("<f8", _DOUBLES) if _DOUBLES in numbers else ("<f4", _DATA)
    flat = blob.floats(field, dtype)
    if _SHAPE in numbers:
        shape = next(iter(blob.messages(_SHAPE))).integers(_DIM)
    else:
        shape = [(blob.integers(side) or [1])[-1] for side in _SIDES]
    if len(shape) > _DIMENSIONS:
        raise blob.error(f"{what}: numbers in {len(shape):,} dimensions", blob.at)
    while len(shape) > dimensions and shape[0] == 1:
        shape = shape[1:]
    if math.prod(shape) != len(flat) or min(shape, default=1) < 0:
        raise blob.error(f"{what}: {len(flat):,} numbers for {in_words(shape)}", blob.at)
    return flat.reshape(shape)


# --- Writing --------------------------------------------------------------------------------------


def write(network: AlexNet, card: ModelCard, out: Path) -> list[Path]:
    """Write a folder that Caffe and OpenCV can read; returns the files written.

    `model.caffemodel`, `deploy.prototxt` (the network for ten pictures), `mean.binaryproto` and
    `classes.txt`; files of these names are replaced once all of them are whole. Raises
    IncompatibleError for networks that Caffe has no layers for.
    """
    about = network.convention
    if about.name not in NAMES:
        raise IncompatibleError(
            f"Caffe cannot compute {about.name}: {_why_not(about)}.",
            where=out,
            remedy="The networks caffe and caffenet can be written for Caffe; others as ONNX.",
        )
    files = [out / name for name in _WRITTEN]
    mean_CHW = card.mean_HWC.transpose(2, 0, 1)[::-1]
    contents: list[protobuf.Chunks] = [
        [classes_text(card.classes, card.titles).encode()],
        _blob((1, *mean_CHW.shape), mean_CHW, with_sides=True),
        [deploy_text(about).encode()],
        _net(network),
    ]
    with drafts(files) as places:
        for place, content in zip(places, contents, strict=True):
            with open(place, "wb") as file:
                file.writelines(content)
    return files[::-1]


def _net(network: AlexNet) -> protobuf.Chunks:
    arrays, about = parameters_of(network), network.convention
    first = f"{about.layers[0].name}.weight"
    arrays[first] = arrays[first][:, ::-1]
    content = protobuf.text(_NET_NAME, f"alexnet {about.name}")
    rows = {row.layer.name: row for row in shapes(about)}
    row = next(iter(rows.values()))
    for layer in layers_of(about):
        row = rows.get(layer.name, row)  # that of the layer with weights, for what follows it
        parts = [protobuf.text(_V2.name, layer.name), protobuf.text(_V2.type, layer.type)]
        parts += [protobuf.text(_V2.bottom, one) for one in layer.bottoms]
        parts += [protobuf.text(_V2.top, one) for one in layer.tops]
        for part in ("weight", "bias"):
            if (name := f"{layer.name}.{part}") in arrays:
                blob = _blob(arrays[name].shape, arrays[name])
                parts.append(protobuf.message(_V2.blobs, blob))
        parts += [_parameters(layer.type, row, about)]
        content += protobuf.message(_NET_LAYER, *parts)
    return content


def _parameters(kind: str, row: Shape, about: Convention) -> protobuf.Chunks:
    """The message with a layer's numbers, those left out that the schema has already."""
    if kind not in _MESSAGES:
        return []
    keys = _NUMBERS[kind]
    parts = [protobuf.integer(_OUTPUTS, row.layer.kernels)] if kind in _WEIGHTED else []
    for name, value in _wanted(kind, row, about).items():
        if value != keys[name].default:
            write_number = protobuf.integer if keys[name].is_whole else protobuf.single
            parts.append(write_number(keys[name].fields[0], value))  # type: ignore[arg-type]
    return protobuf.message(_MESSAGES[kind][_V2.version - 1], *parts)


def _blob(shape: Sequence[int], array: np.ndarray, with_sides: bool = False) -> protobuf.Chunks:
    """A blob; `with_sides` in the old way, which readers of mean images know."""
    if with_sides:
        about = [
            chunk
            for number, side in zip(_SIDES, shape, strict=True)
            for chunk in protobuf.integer(number, side)
        ]
    else:
        about = protobuf.message(_SHAPE, protobuf.packed_integers(_DIM, shape))
    return [*about, *protobuf.packed_floats(_DATA, array)]


def _why_not(about: Convention) -> str:
    """What of a network Caffe has no layer for."""
    followers = {one for layer in about.layers for one in layer.followed_by}
    if any(layer.padding[0] != layer.padding[1] for layer in about.layers):
        return "its pictures are padded on two sides only"
    if any(layer.name.startswith("local") for layer in about.layers):
        return "it has locally connected layers"
    if "norm within" in followers or (about.columns > 1 and about.norm_groups > 1):
        return "its normalization is not over all maps"
    return "it has no agreed form there"
