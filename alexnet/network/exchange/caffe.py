"""Caffe's files: `.caffemodel` read and written, in all three encodings that its layers have had.

Field numbers are those of BVLC/caffe's schema. A network is a row of layers, each with a name, a type,
the blobs it reads (bottoms) and makes (tops), and its parameters, weights first, then biases. Caffe's
pictures are blue, green, red; ours red, green, blue: the input maps of conv1 are turned around both ways.
Its fc6 reads maps one after another, C x H x W, as ours does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from alexnet.conventions import CONVENTIONS, Convention
from alexnet.errors import DataError, IncompatibleError
from alexnet.files import Writer, write_atomically
from alexnet.network.alexnet import AlexNet
from alexnet.network.exchange import protobuf
from alexnet.network.exchange.classes import classes_text
from alexnet.network.exchange.imported import (
    Weights,
    expected,
    in_words,
    layer_names,
    refused,
)
from alexnet.network.exchange.protobuf import Message
from alexnet.network.exchange.prototxt import deploy_text, layers_of
from alexnet.network.weights import ModelCard, parameters_of

NAMES = ("caffe", "caffenet")  # the conventions that Caffe itself has
_WRITTEN = ("model.caffemodel", "deploy.prototxt", "mean.binaryproto", "classes.txt")
_NET_NAME, _NET_V1, _NET_LAYER = 1, 2, 100


class _Encoding(NamedTuple):
    """The numbers of a layer's fields in one version of the schema."""

    name: int
    type: int
    bottom: int
    top: int
    blobs: int
    lrn: int  # its parameters of a normalization, in a message; 0 where they are the layer's own


_V0, _V1, _V2 = (
    _Encoding(name=1, type=2, bottom=2, top=3, blobs=50, lrn=0),
    _Encoding(name=4, type=5, bottom=2, top=3, blobs=6, lrn=18),
    _Encoding(name=1, type=2, bottom=3, top=4, blobs=7, lrn=118),
)
_V0_INSIDE = 1  # the field of a V1 layer with what V0 has, but for bottoms and tops
# Of a blob: its four sides before there were shapes, its numbers, its shape, its numbers in float64.
_SIDES, _DATA, _SHAPE, _DOUBLES, _DIM = (1, 2, 3, 4), 5, 7, 8, 1
# Of a normalization: window, alpha (divided by the window), beta, whether within a map, k.
_LRN = {"n": (1, 13), "alpha": (2, 14), "beta": (3, 15), "k": (5, 22)}
_LRN_DEFAULTS = {"n": 5.0, "alpha": 1.0, "beta": 0.75, "k": 1.0}
_LRN_REGION = 4
# Numbers that V1 has for the types told apart here, and what V0 called them.
_TYPES = {
    **{"4": "Convolution", "14": "InnerProduct", "15": "LRN", "17": "Pooling", "18": "ReLU"},
    **{"conv": "Convolution", "innerproduct": "InnerProduct", "lrn": "LRN", "pool": "Pooling"},
    **{"5": "Data", "1": "Accuracy", "21": "SoftmaxWithLoss", "20": "Softmax", "6": "Dropout"},
    **{"22": "Split", "36": "Silence", "23": "TanH", "19": "Sigmoid", "relu": "ReLU"},
    **{"dropout": "Dropout", "softmax": "Softmax"},
}
# What computes something else than our layers do, without weights; what is not here is left out.
_OTHERS = {"TanH", "Sigmoid", "AbsVal", "BNLL", "ELU", "Exp", "Log", "MVN", "Power", "Eltwise"}
_KNOWN = {"Convolution", "InnerProduct", "LRN", "Pooling", "ReLU", "Dropout", "Softmax", "Input"}


class _Layer(NamedTuple):
    """A layer as stored; `lrn` has a normalization's parameters where the file tells them."""

    name: str
    type: str
    bottoms: Sequence[str]
    tops: Sequence[str]
    blobs: Sequence[Message]
    lrn: Mapping[str, float]


# --- Reading --------------------------------------------------------------------------------------


def read(path: Path, source: str = "", known: Mapping[str, Convention] = CONVENTIONS) -> Weights:
    """The weights of a `.caffemodel`, as stored but for their names, shapes and order of colours.

    `source` names the network where the file has nothing but weighted layers; where it has more and they
    are another's, that is an error. Raises DataError for damaged files, IncompatibleError with the
    differences for other networks.
    """
    layers = _layers(Message.of_file(path))
    weighted = [layer for layer in layers if layer.blobs]
    if not weighted:
        raise DataError("It has no weights: not a trained network of Caffe's.", where=path)
    name, notes = _convention(layers, source, path)
    about = known[name]
    if others := [f"{one.name} is of type {one.type}" for one in layers if one.type in _OTHERS]:
        raise refused(others, about, path)
    names, more = _our_names(weighted, about, path)
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
    skipped = [f"{one.name} ({one.type})" for one in layers if one.type not in _KNOWN]
    notes += more
    notes.append(f"{first}: blue, green, red turned into red, green, blue.")
    if skipped:
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
    kind = ([""] + [_TYPES.get(kind, kind) for kind in told])[-1]
    return _Layer(
        one.text(fields.name),
        kind,
        around.texts(fields.bottom),
        around.texts(fields.top),
        list(one.messages(fields.blobs)),
        _lrn(one, fields) if kind == "LRN" else {},
    )


def _lrn(one: Message, fields: _Encoding) -> dict[str, float]:
    """A normalization's parameters as Caffe counts them: those given, the schema's defaults else."""
    given = list(one.messages(fields.lrn)) if fields.lrn else [one]
    if not given or (not fields.lrn and not one.numbers & {v0 for _, v0 in _LRN.values()}):
        return {}
    found = dict(_LRN_DEFAULTS)
    for key, (number, number_v0) in _LRN.items():
        at = number if fields.lrn else number_v0
        if at in given[0].numbers:
            values: Sequence[float] = (
                given[0].integers(at) if key == "n" else given[0].floats(at, "<f4").tolist()
            )
            found[key] = float(values[-1])
    if fields.lrn:
        found["within"] = float((given[0].integers(_LRN_REGION) or [0])[-1])
    return found


def _convention(layers: Sequence[_Layer], source: str, path: Path) -> tuple[str, list[str]]:
    """Which of Caffe's two networks it is, by what its first normalization reads, and why."""
    asked = source if source in NAMES else ""
    norms = [layer for layer in layers if layer.type == "LRN"]
    pools = [layer for layer in layers if layer.type == "Pooling"]
    if not norms and not pools:
        name = asked or NAMES[0]
        why = "as asked" if asked else "by default: only --from can tell, caffe or caffenet"
        return name, [f"Network: {name}; the file has weighted layers only ({why})."]
    if not norms or not pools:
        lacks = "normalization" if pools else "pooling"
        raise IncompatibleError(
            f"The network has no {lacks}: neither of Caffe's two AlexNets.", where=path
        )
    if set(norms[0].bottoms) & set(pools[0].tops):
        name = "caffenet"
    elif set(norms[0].tops) & set(pools[0].bottoms):
        name = "caffe"
    else:
        name = "caffenet" if layers.index(pools[0]) < layers.index(norms[0]) else "caffe"
    if asked and asked != name:
        raise IncompatibleError(
            f"The file's layers are in the order of {name}, not of {asked}.",
            where=path,
            remedy=f"Leave --from out, or say --from {name}.",
        )
    _require_norm(norms, name, path)
    order = "pooling, then normalization" if name == "caffenet" else "normalization, then pooling"
    return name, [f"Network: {name}, told by its layers: {order}."]


def _require_norm(norms: Sequence[_Layer], name: str, path: Path) -> None:
    ours = CONVENTIONS[name].norm
    wanted = {
        "n": ours.n, "alpha": ours.alpha * ours.n, "beta": ours.beta, "k": ours.k, "within": 0
    }  # fmt: skip
    wrong = [
        f"{layer.name} has {key} {value:g}, not {wanted[key]:g}"
        for layer in norms
        for key, value in layer.lrn.items()
        if not np.isclose(value, wanted[key], rtol=1e-4)
    ]
    if wrong:
        raise refused(wrong, CONVENTIONS[name], path)


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
    while len(shape) > dimensions and shape[0] == 1:
        shape = shape[1:]
    count = 1
    for side in shape:
        count *= side
    if count != len(flat) or min(shape, default=1) < 0 or len(shape) > 8:
        raise blob.error(f"{what}: {len(flat):,} numbers for {in_words(shape[:8])}", blob.at)
    return flat.reshape(shape)


# --- Writing --------------------------------------------------------------------------------------


def write(network: AlexNet, card: ModelCard, out: Path) -> list[Path]:
    """Write a folder that Caffe and OpenCV can read; returns the files written.

    `model.caffemodel`, `deploy.prototxt` (the network for ten pictures), `mean.binaryproto` and
    `classes.txt`; files of these names are replaced. Raises IncompatibleError for networks that Caffe
    has no layers for.
    """
    about = network.convention
    if about.name not in NAMES:
        raise IncompatibleError(
            f"Caffe cannot compute {about.name}: {_why_not(about)}.",
            where=out,
            remedy="The networks caffe and caffenet can be written for Caffe; others as ONNX.",
        )
    files = [out / name for name in _WRITTEN]
    weights, deploy, mean, classes = files
    content = _net(network)

    def fill(file: Writer) -> None:
        for chunk in content:
            file.write(chunk)

    write_atomically(weights, fill)
    write_atomically(deploy, deploy_text(about).encode())
    mean_CHW = card.mean_HWC.transpose(2, 0, 1)[::-1]
    blob = _blob((1, *mean_CHW.shape), mean_CHW, with_sides=True)
    write_atomically(mean, b"".join(blob))
    write_atomically(classes, classes_text(card.classes, card.titles).encode())
    return files


def _net(network: AlexNet) -> protobuf.Chunks:
    arrays, about = parameters_of(network), network.convention
    first = f"{about.layers[0].name}.weight"
    arrays[first] = arrays[first][:, ::-1]
    content = protobuf.text(_NET_NAME, f"alexnet {about.name}")
    for layer in layers_of(about):
        parts = [protobuf.text(_V2.name, layer.name), protobuf.text(_V2.type, layer.type)]
        parts += [protobuf.text(_V2.bottom, one) for one in layer.bottoms]
        parts += [protobuf.text(_V2.top, one) for one in layer.tops]
        for part in ("weight", "bias"):
            if (name := f"{layer.name}.{part}") in arrays:
                blob = _blob(arrays[name].shape, arrays[name])
                parts.append(protobuf.message(_V2.blobs, blob))
        content += protobuf.message(_NET_LAYER, *parts)
    return content


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
