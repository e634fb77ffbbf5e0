"""The network as a program of `torch.export`, which PyTorch runs without this package.

The program takes pixels from 0 to 255: the mean image is in it. It consists of PyTorch's own
operators, none of this package's kernels.
"""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from alexnet.base.errors import AlexNetError, DataError
from alexnet.base.files import write_atomically
from alexnet.exchange import description
from alexnet.exchange.check import (
    OutputDifference,
    Outputs,
    check_images,
    outputs,
    require_same,
)
from alexnet.exchange.description import IMAGE, LOGITS, MEAN, PROBABILITIES
from alexnet.models.card import ModelCard
from alexnet.network.alexnet import AlexNet, evaluating

_CONFIG = "data/weights/model_weights_config.json"


def export_pt2(network: AlexNet, card: ModelCard, path: Path) -> OutputDifference:
    """Write the file; how far what it computes is from what the network does.

    Raises IncompatibleError, keeping no file, where the program computes something else.
    """
    data = build(network, card)
    apart = check(data, network, card, path)
    write_atomically(path, data)
    return apart


def check(data: bytes, network: AlexNet, card: ModelCard, where: object) -> OutputDifference:
    """The largest difference that the program shows; raises IncompatibleError for more than rounding."""
    images = check_images(network.convention)
    theirs, ours = run(data, images), outputs(network, card, images)
    return require_same(theirs, ours, "The program", where)


def run(data: bytes, images_NCHW: np.ndarray) -> Outputs:
    """What PyTorch makes of images, with a program's bytes."""
    program = torch.export.load(io.BytesIO(data)).module()
    with torch.inference_mode():
        found = program(torch.from_numpy(images_NCHW))
    return Outputs(found[LOGITS].numpy(), found[PROBABILITIES].numpy())


def build(network: AlexNet, card: ModelCard) -> bytes:
    """The file's bytes; the same for the same network and card."""
    texts = description.description(network, card)  # before any work
    side = network.convention.crop
    example = torch.zeros(2, 3, side, side)  # more than one: the batch stays open
    fast, network.fast = network.fast, False
    try:
        with evaluating(network):
            program = torch.export.export(
                _WithMean(network, card).eval(),
                (example,),
                dynamic_shapes={IMAGE: {0: torch.export.Dim("N", min=1)}},
            )
    finally:
        network.fast = fast
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # it has the paths of this machine
    program.example_inputs = None  # it would be stored as a pickle
    file = io.BytesIO()
    torch.export.save(program, file, extra_files=texts)
    return file.getvalue()


def read_pt2(path: Path) -> description.Exported:
    """What `export_pt2` wrote: the network, its weights, classes, titles and statistics.

    The arrays are read as bytes, and nothing is executed. Raises DataError for damaged files,
    IncompatibleError for programs of others.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if any(one.compress_type != zipfile.ZIP_STORED for one in archive.infolist()):
                raise ValueError("it is compressed, which PyTorch's are not")
            root = archive.namelist()[0].partition("/")[0]
            texts = {
                name.removeprefix(f"{root}/extra/"): archive.read(name).decode()
                for name in archive.namelist()
                if name.startswith(f"{root}/extra/")
            }
            about = description.parsed(texts, path)
            config = json.loads(archive.read(f"{root}/{_CONFIG}"))["config"]
            arrays = {
                name: _array(archive, root, config[name])
                for name in description.wanted(about)
                if name in config
            }
    except AlexNetError:
        raise
    except FileNotFoundError:
        raise DataError("A file is missing.", where=path) from None
    except Exception as error:  # whatever is wrong with an archive, and JSON of any kind
        raise DataError(f"Not a readable PyTorch program: {error}.", where=path) from None
    return description.found(about, arrays, path)


class _WithMean(nn.Module):
    """The test network in PyTorch's own operators, from pixels to logits and probabilities.

    The layers are the network's own, so that its parameters keep their names.
    """

    mean: Tensor

    def __init__(self, network: AlexNet, card: ModelCard) -> None:
        super().__init__()
        for name, layer in network.named_children():
            self.add_module(name, layer)
        mean = np.ascontiguousarray(card.mean_HWC.transpose(2, 0, 1))
        self.register_buffer(MEAN, torch.from_numpy(mean))
        self._network = (network,)  # in a tuple it is no part of this module

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        (network,) = self._network
        about = network.convention
        first = (about.side - about.crop) // 2
        inside = slice(first, first + about.crop)
        logits = network(image - self.mean[:, inside, inside])
        return {LOGITS: logits, PROBABILITIES: torch.softmax(logits, dim=1)}


def _array(archive: zipfile.ZipFile, root: str, entry: dict[str, Any]) -> np.ndarray:
    """One float32 array as its entry in the archive's list describes it."""
    about = entry["tensor_meta"]
    shape = [size["as_int"] for size in about["sizes"]]
    steps = [step["as_int"] for step in about["strides"]]
    dense = [int(np.prod(shape[axis + 1 :], dtype=np.int64)) for axis in range(len(shape))]
    if entry["use_pickle"] or steps != dense or about["storage_offset"]["as_int"] != 0:
        raise ValueError("its weights are stored in another way")
    return np.frombuffer(
        archive.read(f"{root}/data/weights/{entry['path_name']}"), np.float32
    ).reshape(shape)
