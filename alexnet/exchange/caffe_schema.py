"""What Caffe's files are made of: layers with blobs, in all three encodings that they have had.

Field numbers are those of BVLC/caffe's schema. A network is a row of layers, each with a name, a type,
the blobs it reads (bottoms) and makes (tops), its parameters, weights first, then biases, and the numbers
that its type computes with.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from alexnet.base.errors import DataError
from alexnet.exchange.prototxt import CaffeLayer
from alexnet.formats import protobuf
from alexnet.formats.protobuf import Chunks, Message
from alexnet.models.arrays import in_words

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
# NVIDIA's Caffe has them as bytes, and what they are; the gradients' (11, 13) are no weights.
_RAW_TYPE, _RAW = 10, 12
_RAW_TYPES = {0: "<f8", 1: "<f4", 2: "<f2"}
_WHOLE_NUMBERS = {3: "INT", 4: "UINT", 5: "BOOL"}
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


class StoredLayer(NamedTuple):
    """A layer as stored; `numbers` are those of its type, none where the file does not tell."""

    name: str
    type: str
    bottoms: Sequence[str]
    tops: Sequence[str]
    blobs: Sequence[Message]
    numbers: Mapping[str, Sequence[float]]


# --- Reading --------------------------------------------------------------------------------------


def layers_in(net: Message) -> list[StoredLayer]:
    """The layers of either field, in order."""
    if _NET_LAYER in net.numbers:
        return [_layer(one, one, _V2) for one in net.messages(_NET_LAYER)]
    found = []
    for one in net.messages(_NET_V1):
        inside = list(one.messages(_V0_INSIDE))
        found.append(_layer(inside[0], one, _V0) if inside else _layer(one, one, _V1))
    return found


def _layer(one: Message, around: Message, fields: _Encoding) -> StoredLayer:
    """A layer whose bottoms and tops are in `around`."""
    told = map(str, one.integers(fields.type)) if fields is _V1 else one.texts(fields.type)
    kind = ([""] + [_TYPES.get(kind, kind) if fields is not _V2 else kind for kind in told])[-1]
    return StoredLayer(
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


def array_of(blob: Message, dimensions: int, what: str) -> np.ndarray:
    """A blob's numbers in its shape, leading sides of 1 left out down to so many dimensions.

    Raises DataError where there are more or fewer numbers than the shape says, where two fields have
    different ones, and for whole numbers.
    """
    if _SHAPE in blob.numbers:
        shape = next(iter(blob.messages(_SHAPE))).integers(_DIM)
    else:
        shape = [(blob.integers(side) or [1])[-1] for side in _SIDES]
    if len(shape) > _DIMENSIONS:
        raise blob.error(f"{what}: numbers in {len(shape):,} dimensions", blob.at)
    while len(shape) > dimensions and shape[0] == 1:
        shape = shape[1:]
    found = [flat for flat in _fields_of(blob, what) if len(flat)] or [np.empty(0, "<f4")]
    for flat in found:
        if math.prod(shape) != len(flat) or min(shape, default=1) < 0:
            raise blob.error(f"{what}: {len(flat):,} numbers for {in_words(shape)}", blob.at)
    if not all(np.array_equal(found[0], other) for other in found[1:]):
        raise blob.error(f"{what}: two fields with different numbers", blob.at)
    return found[0].reshape(shape)


def _fields_of(blob: Message, what: str) -> Iterator[np.ndarray]:
    """The numbers of every field of a blob that can have them, the ones that Caffe prefers first."""
    yield blob.floats(_DOUBLES, "<f8")
    yield blob.floats(_DATA, "<f4")
    if not (contents := blob.views(_RAW)):
        return
    kind = (blob.integers(_RAW_TYPE) or [0])[-1]
    if kind in _WHOLE_NUMBERS:
        raise DataError(
            f"{what}: stored as {_WHOLE_NUMBERS[kind]}, without the scale that makes weights of it.",
            where=blob.where,
            remedy="Save the weights as floating-point numbers.",
        )
    if kind not in _RAW_TYPES:
        raise blob.error(f"{what}: numbers of the unknown type {kind}", blob.at)
    size = np.dtype(_RAW_TYPES[kind]).itemsize
    if len(contents[-1]) % size:
        told = f"{what}: {len(contents[-1]):,} bytes of numbers of {size}"
        raise blob.error(told, blob.at)
    yield np.frombuffer(contents[-1], _RAW_TYPES[kind])


# --- Writing --------------------------------------------------------------------------------------


def net_of(name: str, layers: Iterable[Sequence[Chunks]]) -> Chunks:
    """A whole file: the network's name and its layers, each as `encoded`."""
    content = protobuf.text(_NET_NAME, name)
    for layer in layers:
        content += protobuf.message(_NET_LAYER, *layer)
    return content


def encoded(
    layer: CaffeLayer, arrays: Sequence[np.ndarray], outputs: int, numbers: Mapping[str, float]
) -> Sequence[Chunks]:
    """A layer with its weights and biases, if it has any, and the numbers of its type.

    `outputs` is how many kernels or neurons it has, for the layers with weights.
    """
    parts = [protobuf.text(_V2.name, layer.name), protobuf.text(_V2.type, layer.type)]
    parts += [protobuf.text(_V2.bottom, one) for one in layer.bottoms]
    parts += [protobuf.text(_V2.top, one) for one in layer.tops]
    parts += [protobuf.message(_V2.blobs, blob_of(one)) for one in arrays]
    return [*parts, _parameters(layer.type, outputs, numbers)]


def _parameters(kind: str, outputs: int, numbers: Mapping[str, float]) -> Chunks:
    """The message with a layer's numbers, those left out that the schema has already."""
    if kind not in _MESSAGES:
        return []
    keys = _NUMBERS[kind]
    parts = [protobuf.integer(_OUTPUTS, outputs)] if kind in _WEIGHTED else []
    for name, value in numbers.items():
        if value != keys[name].default:
            write_number = protobuf.integer if keys[name].is_whole else protobuf.single
            parts.append(write_number(keys[name].fields[0], value))  # type: ignore[arg-type]
    return protobuf.message(_MESSAGES[kind][_V2.version - 1], *parts)


def blob_of(array: np.ndarray, with_sides: bool = False) -> Chunks:
    """A blob; `with_sides` in the old way, which readers of mean images know."""
    if with_sides:
        about = [
            chunk
            for number, side in zip(_SIDES, array.shape, strict=True)
            for chunk in protobuf.integer(number, side)
        ]
    else:
        about = protobuf.message(_SHAPE, protobuf.packed_integers(_DIM, array.shape))
    return [*about, *protobuf.packed_floats(_DATA, array)]
