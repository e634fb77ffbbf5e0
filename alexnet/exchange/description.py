"""What a file that is taken elsewhere says of itself: network, classes, preprocessing, what made it.

The same texts by the same names are the metadata of an ONNX file and the extra files of a PyTorch
program. With the weights they are all that is needed to come back.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import torch

from alexnet import __version__, paper
from alexnet.base.errors import DataError, IncompatibleError, UsageError
from alexnet.conventions import Convention, convention, told_by_file
from alexnet.models.arrays import in_words, listed, misfits
from alexnet.models.card import ModelCard, public
from alexnet.models.folder import weights_sha256
from alexnet.network.alexnet import AlexNet

FORMAT = "alexnet-export 1"
IMAGE, LOGITS, PROBABILITIES = "image", "logits", "probabilities"  # the input, the outputs
MEAN = "mean"  # the whole mean image among the arrays, 3 x side x side
_DTYPES = {"float32": np.float32, "float64": np.float64, "int64": np.int64}  # of statistics
_JSON = ("classes", "titles", "preprocessing", "provenance", "statistics")


class Exported(NamedTuple):
    """What came back: `arrays` by our parameters' names, `statistics` as a `ModelCard` has them.

    The convention has as many kernels as the arrays, in every layer.
    """

    convention: Convention
    arrays: dict[str, np.ndarray]
    classes: tuple[str, ...]
    titles: tuple[str, ...]
    statistics: dict[str, np.ndarray]


def description(network: AlexNet, card: ModelCard) -> dict[str, str]:
    """The texts by name; raises IncompatibleError where the card is not this network's."""
    about = network.convention
    if any(one.device.type != "cpu" or one.dtype != torch.float32 for one in network.parameters()):
        raise UsageError(
            "Networks are exported from the processor's memory, in float32.",
            remedy="network.cpu().float()",
        )
    if not network.classes == len(card.classes) == len(card.titles):
        raise IncompatibleError(
            f"The network has {network.classes:,} classes; {len(card.classes):,} are named."
        )
    if card.mean_HWC.shape != (about.side, about.side, paper.CHANNELS):
        raise IncompatibleError(
            f"The mean image is {list(card.mean_HWC.shape)}; "
            f"{about.name} reads images of {about.side} x {about.side}."
        )
    texts: dict[str, Any] = {
        "classes": list(card.classes),
        "titles": list(card.titles),
        "preprocessing": preprocessing(about, card),
        "provenance": public(card.provenance),
        "statistics": {
            name: {"dtype": array.dtype.name, "values": array.tolist()}
            for name, array in card.statistics.items()
            if name != MEAN
        },
    }
    return {
        "format": FORMAT,
        "convention": about.name,
        "variant": about.variant,
        "about": about.about,
        "preprocessing_in_words": preprocessing_in_words(about, card),
        "weights_sha256": weights_sha256(network),
        "alexnet_version": __version__,
        **{name: json.dumps(value) for name, value in texts.items()},
    }


def preprocessing(about: Convention, card: ModelCard) -> dict[str, Any]:
    """What the input is, for programs: every key of how the training images were made, and these."""
    return {
        **card.preprocessing,
        "side": about.side,
        "crop": about.crop,
        "crop_offset": (about.side - about.crop) // 2,
        "colours": "RGB",
        "axes": "NCHW",
        "range": [0, paper.LARGEST_VALUE],
        "mean": "subtracted inside",
    }


def preprocessing_in_words(about: Convention, card: ModelCard) -> str:
    """What the input is, for people."""
    scaled = f"the shorter side to {about.side}, then the central {about.side}x{about.side}"
    rule, by = card.preprocessing.get("rule", scaled), card.preprocessing.get("filter", "")
    return (
        f"An image of {about.side}x{about.side} pixels: {rule}{f' ({by})' if by else ''}. "
        f"Of it the central {about.crop}x{about.crop}, red, green and blue as numbers from 0 to "
        f"{paper.LARGEST_VALUE}: float32, images x 3 x {about.crop} x {about.crop}. "
        "The mean image is subtracted inside, where nothing else is left to do."
    )


def parsed(texts: Mapping[str, str], where: object) -> dict[str, Any]:
    """The texts with their JSON read.

    Raises IncompatibleError for files without them or of other networks, DataError for damaged ones.
    """
    if texts.get("format") != FORMAT:
        raise IncompatibleError(
            f"This is format {texts.get('format')!r}; this version reads {FORMAT!r}.",
            where=where,
            remedy="Only files that `alexnet export` wrote come back with their classes.",
        )
    named, variant = texts.get("convention"), texts.get("variant")
    if told_by_file(named, variant) is None:
        raise IncompatibleError(
            f"It holds the network {named!r}, variant {variant!r}.", where=where
        )
    try:
        found = {**texts, **{name: json.loads(texts[name]) for name in _JSON}}
    except (KeyError, ValueError, RecursionError) as error:
        raise DataError(f"Its description is damaged: {error}.", where=where) from None
    names = [found["classes"], found["titles"]]
    if not all(isinstance(one, list) for one in names) or len(names[0]) != len(names[1]):
        raise DataError("Its classes and titles are not lists of the same length.", where=where)
    if not names[0] or not all(isinstance(n, str) and n.isprintable() for n in chain(*names)):
        raise DataError("Its classes and titles are not names that can be shown.", where=where)
    return found


def wanted(about: Mapping[str, Any]) -> list[str]:
    """The names of the arrays that a file with this description needs, those of our parameters."""
    layers = convention(about["convention"], variant=about["variant"]).layers
    names = [f"{layer.name}.{part}" for layer in layers for part in ("weight", "bias")]
    return [*names, MEAN]


def found(about: Mapping[str, Any], arrays: Mapping[str, np.ndarray], where: object) -> Exported:
    """What a file holds, from its parsed description and its arrays; raises IncompatibleError."""
    needed = wanted(about)
    if lacks := [name for name in needed if name not in arrays]:
        raise IncompatibleError(f"It lacks {', '.join(lacks)}.", where=where)
    parameters = {  # which may be views of a file's bytes
        name: np.require(arrays[name], requirements=("C", "W")) for name in needed if name != MEAN
    }
    network = _of_kernels(about, parameters)
    wrong = misfits(parameters, network)
    if arrays[MEAN].shape != (wanted_mean := (paper.CHANNELS, network.side, network.side)):
        wrong.append(f"{MEAN} is {in_words(arrays[MEAN].shape)}, not {in_words(wanted_mean)}")
    wrong += [
        f"{name} is of {arrays[name].dtype}, not float32"
        for name in needed
        if arrays[name].dtype != np.float32
    ]
    if wrong:
        raise IncompatibleError(f"It is not this network: {listed(wrong)}.", where=where)
    if network.output.kernels != len(about["classes"]):
        raise IncompatibleError(
            f"Its weights are not of its {len(about['classes']):,} classes.", where=where
        )
    try:
        statistics = {
            name: np.array(one["values"], _DTYPES[one["dtype"]])
            for name, one in about["statistics"].items()
        }
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise DataError(f"Its statistics are damaged: {error}.", where=where) from None
    statistics[MEAN] = np.ascontiguousarray(arrays[MEAN].transpose(1, 2, 0))
    return Exported(
        network, parameters, tuple(about["classes"]), tuple(about["titles"]), statistics
    )


def _of_kernels(about: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Convention:
    """The network described, with as many kernels as there are weights for."""
    named = convention(about["convention"], variant=about["variant"])
    return named.with_kernels(
        {layer.name: len(np.atleast_1d(arrays[f"{layer.name}.weight"])) for layer in named.layers}
    )
