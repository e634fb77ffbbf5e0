"""Model folders: weights together with the classes and the preprocessing they need.

A folder holds `model.safetensors` (parameters by layer name), `config.json` (convention, classes,
preprocessing, provenance), `statistics.safetensors` (mean image, colour components) and `README.md`.
It is laid out as Hugging Face's tools expect, see `hub`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import safetensors
import safetensors.numpy
import torch

from alexnet.base.errors import AlexNetError, DataError, IncompatibleError, UsageError
from alexnet.base.files import (
    classes_hash,
    make_folder,
    read_json,
    sha256_of,
    write_atomically,
    write_json,
)
from alexnet.conventions import CONVENTIONS, Convention, Nonlinearity, convention
from alexnet.models import hub
from alexnet.network.alexnet import AlexNet

FORMAT = 2
FILES = ("config.json", "model.safetensors", "statistics.safetensors")  # and a README.md
_CONFIG_KINDS = {
    **dict.fromkeys(("classes", "titles"), list),
    **dict.fromkeys(("classes_sha256", "weights_sha256"), str),
    **dict.fromkeys(("kernels", "preprocessing", "provenance"), dict),
}
_NAMED = 16  # differences, as many as there are parameters
_NAMES = {list: "list", str: "text", dict: "JSON object"}


_PALETTE = 256  # distinct values that are counted: more are not those of quantized weights
_SAMPLE = 2**20  # weights whose values are looked at together


class Sparsity(NamedTuple):
    """What pruning and quantizing left of a layer's weights."""

    zero: float  # the share of weights that are zero, 0-1
    values: int | None  # distinct values where they are at most 256, and fewer than the weights


@dataclass(frozen=True)
class ModelCard:
    """What weights need to be used rightly.

    `classes` in the order of the output layer, `titles` the names people read; `statistics` has the
    mean image (`mean`: side x side x 3 float32, 0-255) and the colour components of the training set.
    """

    classes: tuple[str, ...]
    titles: tuple[str, ...]
    statistics: Mapping[str, np.ndarray]
    preprocessing: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def mean_HWC(self) -> np.ndarray:
        """The mean image that is subtracted before cropping (section 2)."""
        return self.statistics["mean"]


def parameters_of(network: AlexNet) -> dict[str, np.ndarray]:
    """Every parameter by name (`conv1.weight` ...), as arrays that share the network's memory."""
    named = network.named_parameters()
    return {name: value.detach().cpu().contiguous().numpy() for name, value in named}


def set_parameters(network: AlexNet, arrays: Mapping[str, np.ndarray], where: object) -> None:
    """Copy arrays into the network; raises IncompatibleError with the differences, changing nothing."""
    mine = dict(network.named_parameters())
    wrong = [f"{name} is missing" for name in mine.keys() - arrays.keys()]
    wrong += [f"{name} is unknown" for name in arrays.keys() - mine.keys()]
    wrong += [
        f"{name} is {list(arrays[name].shape)}, not {list(mine[name].shape)}"
        for name in mine.keys() & arrays.keys()
        if tuple(arrays[name].shape) != tuple(mine[name].shape)
    ]
    wrong += [
        f"{name} is of {array.dtype}" for name, array in arrays.items() if array.dtype.kind != "f"
    ]
    if wrong:
        more = f"; and {len(wrong) - _NAMED:,} more" if len(wrong) > _NAMED else ""
        raise IncompatibleError(
            f"The weights do not fit this network: {'; '.join(sorted(wrong)[:_NAMED])}{more}.",
            where=where,
        )
    with torch.no_grad():
        for name, value in mine.items():
            value.copy_(torch.from_numpy(arrays[name]))


def sparsity(arrays: Mapping[str, np.ndarray]) -> dict[str, Sparsity]:
    """How many weights of each layer are zero, and how many values they have; biases are not counted."""
    return {
        name.removesuffix(".weight"): Sparsity(
            float(1 - np.count_nonzero(array) / max(1, array.size)), _palette(array)
        )
        for name, array in arrays.items()
        if name.endswith(".weight")
    }


def is_sparse(layers: Mapping[str, Sparsity]) -> bool:
    """Whether any layer is worth telling of: over 1 % zeros, or at most 256 values."""
    return any(one.zero > 0.01 or one.values is not None for one in layers.values())


def _palette(array: np.ndarray) -> int | None:
    """How many distinct values there are, if they are few."""
    flat = array.reshape(-1)
    found = np.unique(flat[:_SAMPLE:64])  # enough to see that values are many
    for first in range(0, len(flat), _SAMPLE):
        if len(found) > _PALETTE:
            return None
        found = np.union1d(found, flat[first : first + _SAMPLE])
    return len(found) if len(found) <= min(_PALETTE, len(flat) - 1) else None


def save_model(
    folder: Path, network: AlexNet, card: ModelCard, results: Sequence[hub.Result] = ()
) -> None:
    """Write a model folder; `config.json`, which names the weights' hash, comes last.

    `results` are what the network reached; its README.md shows them.
    """
    make_folder(folder)
    written = write_atomically(folder / "model.safetensors", _weights(network))
    write_atomically(
        folder / "statistics.safetensors", safetensors.numpy.save(dict(card.statistics))
    )
    config = {
        "format": FORMAT,
        "convention": network.convention.name,
        "nonlinearity": network.convention.nonlinearity,
        "kernels": {layer.name: layer.kernels for layer in network.layers},
        "classes": list(card.classes),
        "titles": list(card.titles),
        "classes_sha256": classes_hash(card.classes),
        "preprocessing": dict(card.preprocessing),
        "provenance": dict(card.provenance),
        "weights_sha256": written.sha256,
        **hub.config(card),
    }
    write_atomically(folder / "README.md", hub.readme(network, card, results).encode())
    write_json(folder / "config.json", config)


def save_pretrained(
    folder: Path,
    network: AlexNet,
    card: ModelCard,
    force: bool = False,
    results: Sequence[hub.Result] = (),
) -> None:
    """`save_model`; raises UsageError where there is a model already, unless `force` replaces it."""
    if (folder / "config.json").exists() and not force:
        raise UsageError(
            "There is a model already.",
            where=folder,
            remedy="Choose another folder, or force=True.",
        )
    save_model(folder, network, card, results)


def load_pretrained(folder: str | Path) -> tuple[AlexNet, ModelCard]:
    """`load_model`; raises UsageError where there is no such folder, for nothing is downloaded."""
    if not Path(folder).is_dir():
        raise UsageError(
            f"There is no folder {str(folder)!r}, and nothing is downloaded.",
            remedy=f"Download it first; a model folder has {', '.join(FILES)}.",
        )
    return load_model(Path(folder))


def load_model(folder: Path) -> tuple[AlexNet, ModelCard]:
    """Read a model folder; raises DataError for damaged files, IncompatibleError for other networks."""
    config = read_config(folder)
    weights = folder / "model.safetensors"
    if not weights.exists() or sha256_of(weights) != config["weights_sha256"]:
        raise DataError(
            "The weights are missing, damaged, or belong to another config.json.",
            where=weights,
            remedy="Copy the whole model folder again, or export it from its run.",
        )
    classes = tuple(config["classes"])
    about = convention_of(config)
    statistics = read_arrays(folder / "statistics.safetensors")
    mean = statistics.get("mean")
    if mean is None or mean.shape != (about.side, about.side, 3) or mean.dtype != np.float32:
        raise DataError("It holds no mean image.", where=folder / "statistics.safetensors")
    arrays = read_arrays(weights)
    for layer in about.layers:  # before there is a network of so many
        rows = arrays.get(f"{layer.name}.weight", np.empty(0)).shape[:1]
        if rows != (layer.kernels,):
            what = "classes" if layer == about.output else f"kernels of {layer.name}"
            raise IncompatibleError(
                f"The weights are not of the {layer.kernels:,} {what} of config.json.",
                where=weights,
            )
    network = AlexNet(len(classes), about)
    set_parameters(network, arrays, weights)
    card = ModelCard(
        classes,
        tuple(config["titles"]),
        statistics,
        config["preprocessing"],
        config["provenance"],
    )
    return network, card


def convention_of(config: Mapping[str, Any]) -> Convention:
    """The network that a model folder's config.json describes."""
    about = convention(config["convention"], nonlinearity=config["nonlinearity"])
    return about.with_kernels(config["kernels"]).with_classes(len(config["classes"]))


def read_config(folder: Path) -> dict[str, Any]:
    """A model folder's config.json, every part of it checked.

    Raises DataError where it is damaged, IncompatibleError where it describes another network.
    """
    path = folder / "config.json"
    config = read_json(path)
    if not isinstance(config, dict):
        raise DataError("Not a JSON object.", where=path)
    named, applied = config.get("convention"), config.get("nonlinearity")
    known = named in tuple(CONVENTIONS) and applied in get_args(Nonlinearity)
    if config.get("format") != FORMAT or not known:
        raise IncompatibleError(
            f"This is format {config.get('format')} of {named!r} with {applied!r}; "
            f"this version reads format {FORMAT} of {', '.join(CONVENTIONS)}.",
            where=path,
        )
    if lacks := _CONFIG_KINDS.keys() - config.keys():
        raise DataError(f"It lacks {', '.join(sorted(lacks))}.", where=path)
    for key, kind in _CONFIG_KINDS.items():
        if not isinstance(config[key], kind):
            raise DataError(f"Its {key} is no {_NAMES[kind]}.", where=path)
    layers = {layer.name for layer in CONVENTIONS[str(named)].layers}
    counts = config["kernels"]
    if counts.keys() != layers or not all(type(n) is int and n > 0 for n in counts.values()):
        raise DataError("Its kernels are not a number for each layer.", where=path)
    classes, titles = config["classes"], config["titles"]
    if not classes or not all(isinstance(n, str) and n.isprintable() for n in [*classes, *titles]):
        raise DataError("Its classes and titles are not names that can be shown.", where=path)
    if len(titles) != len(classes) or config["classes_sha256"] != classes_hash(classes):
        raise DataError("The list of classes was changed.", where=path)
    return config


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a safetensors file; raises DataError that names a damaged file."""
    with opened(path) as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


@contextmanager
def opened(path: Path, framework: Literal["numpy", "pt"] = "numpy") -> Iterator[Any]:
    """A safetensors file, open for reading; raises DataError that names a damaged file."""
    try:
        with safetensors.safe_open(path, framework=framework) as file:
            yield file
    except AlexNetError:
        raise
    except FileNotFoundError:
        raise DataError("A file is missing.", where=path) from None
    except Exception as error:  # the library raises many kinds
        raise DataError(f"Not a readable safetensors file: {error}.", where=path) from None


def weights_sha256(network: AlexNet) -> str:
    """The SHA-256 of the `model.safetensors` that `save_model` writes."""
    return hashlib.sha256(_weights(network)).hexdigest()


def _weights(network: AlexNet) -> bytes:
    """The parameters as safetensors, with the network's name: always the same bytes.

    The library puts metadata in an order of chance; here it is that of the names.
    """
    about = network.convention
    metadata = {
        "convention": about.name,
        "format": "pt",  # Hugging Face's libraries ask for it
        "nonlinearity": about.nonlinearity,
    }
    data = bytearray(safetensors.numpy.save(parameters_of(network), metadata))
    end = 8 + int.from_bytes(data[:8], "little")
    header = {**json.loads(data[8:end]), "__metadata__": metadata}
    data[8:end] = json.dumps(header, separators=(",", ":")).encode().ljust(end - 8)
    return bytes(data)
