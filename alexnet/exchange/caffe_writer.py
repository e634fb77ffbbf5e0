"""Networks of ours, written for Caffe and for OpenCV, which reads Caffe's files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from alexnet.base.errors import IncompatibleError
from alexnet.base.files import drafts
from alexnet.conventions import Convention
from alexnet.exchange.caffe import NAMES, numbers_of
from alexnet.exchange.caffe_schema import blob_of, encoded, net_of
from alexnet.exchange.classes import classes_text
from alexnet.exchange.prototxt import deploy_text, layers_of
from alexnet.formats.protobuf import Chunks
from alexnet.models.arrays import parameters_of
from alexnet.models.card import ModelCard
from alexnet.network.alexnet import AlexNet
from alexnet.network.table import shapes

# In the order in which they get their names: the weights come last.
_WRITTEN = ("classes.txt", "mean.binaryproto", "deploy.prototxt", "model.caffemodel")


def write_caffe(network: AlexNet, card: ModelCard, out: Path) -> list[Path]:
    """Write a folder that Caffe and OpenCV can read; returns the files written.

    `model.caffemodel`, `deploy.prototxt` (the network for ten images), `mean.binaryproto` and
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
    contents: list[Chunks] = [
        [classes_text(card.classes, card.titles).encode()],
        blob_of(mean_CHW[np.newaxis], with_sides=True),
        [deploy_text(about).encode()],
        _net(network),
    ]
    with drafts(files) as places:
        for place, content in zip(places, contents, strict=True):
            with open(place, "wb") as file:
                file.writelines(content)
    return files[::-1]


def _net(network: AlexNet) -> Chunks:
    arrays, about = parameters_of(network), network.convention
    first = f"{about.layers[0].name}.weight"
    arrays[first] = arrays[first][:, ::-1]
    rows = {row.layer.name: row for row in shapes(about)}
    row = next(iter(rows.values()))
    layers = []
    for layer in layers_of(about):
        row = rows.get(layer.name, row)  # that of the layer with weights, for what follows it
        names = [f"{layer.name}.{part}" for part in ("weight", "bias")]
        blobs = [arrays[name] for name in names if name in arrays]
        layers.append(encoded(layer, blobs, row.layer.kernels, numbers_of(layer.type, row, about)))
    return net_of(f"alexnet {about.name}", layers)


def _why_not(about: Convention) -> str:
    """What of a network Caffe has no layer for."""
    followers = {one for layer in about.layers for one in layer.followed_by}
    if any(layer.padding[0] != layer.padding[1] for layer in about.layers):
        return "its images are padded on two sides only"
    if any(layer.name.startswith("local") for layer in about.layers):
        return "it has locally connected layers"
    if "norm within" in followers or (about.columns > 1 and about.norm_groups > 1):
        return "its normalization is not over all maps"
    return "it has no agreed form there"
