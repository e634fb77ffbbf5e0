"""Model folders: weights together with the classes and the preprocessing they need.

A folder holds `model.safetensors` (parameters by layer name), `config.json` (convention, classes,
preprocessing, provenance), `statistics.safetensors` (mean image, colour components) and `README.md`.
It is laid out as Hugging Face's tools expect.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from alexnet.base.errors import DataError, IncompatibleError, UsageError
from alexnet.base.files import make_folder, read_json, write_atomically, write_json
from alexnet.base.names import distinct
from alexnet.base.provenance import names_hash
from alexnet.conventions import CONVENTIONS, Convention, convention, told_by_file
from alexnet.models.arrays import parameters_of, read_arrays, take_parameters
from alexnet.models.card import ModelCard, ModelResult, hub_config, readme, with_results
from alexnet.models.weights import Weights, arrays_in, read_weights
from alexnet.network.alexnet import AlexNet

FORMAT = 3
PLANNED = "planned.json"  # the config.json of a model whose weights are being trained
FILES = ("config.json", "model.safetensors", "statistics.safetensors")  # and a README.md
_CONFIG_KINDS = {
    **dict.fromkeys(("classes", "titles"), list),
    **dict.fromkeys(("classes_sha256", "weights_sha256"), str),
    **dict.fromkeys(("kernels", "preprocessing", "provenance"), dict),
}
_NAMES = {list: "list", str: "text", dict: "JSON object"}


def save_model(
    folder: Path, network: AlexNet, card: ModelCard, results: Sequence[ModelResult] = ()
) -> None:
    """Write a model folder; `config.json`, which names the weights' hash, comes last.

    `results` are what the network reached; its README.md shows them. Raises IncompatibleError where the
    card has other than one class for each output.
    """
    about = network.convention
    _require_a_class_for_each_output(about, card, folder)
    make_folder(folder)
    written = write_atomically(folder / "model.safetensors", _weights(network))
    _write_statistics(folder, card)
    write_atomically(folder / "README.md", readme(about, card, results).encode())
    write_json(folder / "config.json", {**_config(about, card), "weights_sha256": written.sha256})
    (folder / PLANNED).unlink(missing_ok=True)


def plan_model(folder: Path, about: Convention, card: ModelCard) -> None:
    """Write what a model will need beside its weights, before they are trained.

    There is no model then: `config.json` is removed first, and `planned.json` has its content.
    """
    make_folder(folder)
    (folder / "config.json").unlink(missing_ok=True)
    _write_statistics(folder, card)
    write_json(folder / PLANNED, {**_config(about, card), "weights_sha256": ""})


def write_results(folder: Path, results: Sequence[ModelResult]) -> None:
    """Show in a model folder's README.md what the network reached; the rest of the file stays."""
    path = folder / "README.md"
    if path.is_file() and (folder / "config.json").is_file():
        config = read_config(folder)
        card = ModelCard(tuple(config["classes"]), tuple(config["titles"]), {})
        card = replace(card, provenance=config["provenance"])
        text = path.read_text(encoding="utf-8", errors="surrogateescape")
        new = with_results(text, convention_of(config), card, results)
        if new != text:
            write_atomically(path, new.encode("utf-8", "surrogateescape"))


def _config(about: Convention, card: ModelCard) -> dict[str, Any]:
    """What config.json says, but for the hash of the weights."""
    return {
        "format": FORMAT,
        "convention": about.name,
        "variant": about.variant,
        "kernels": {layer.name: layer.kernels for layer in about.layers},
        "classes": list(card.classes),
        "titles": list(card.titles),
        "classes_sha256": names_hash(card.classes),
        "preprocessing": dict(card.preprocessing),
        "provenance": dict(card.provenance),
        **hub_config(card),
    }


def _require_a_class_for_each_output(about: Convention, card: ModelCard, folder: Path) -> None:
    outputs = about.output.kernels
    for what, names in (("classes", card.classes), ("titles", card.titles)):
        if len(names) != outputs:
            raise IncompatibleError(
                f"The network has {outputs:,} outputs, and its card {len(names):,} {what}.",
                where=folder,
                remedy="Give the classes that the weights were trained with, in their order.",
            )


def _write_statistics(folder: Path, card: ModelCard) -> None:
    data = safetensors.numpy.save(dict(card.statistics))
    write_atomically(folder / "statistics.safetensors", data)


def save_pretrained(folder: Path, network: AlexNet, card: ModelCard, force: bool = False) -> None:
    """`save_model`; raises UsageError where there is a model already, unless `force` replaces it."""
    if (folder / "config.json").exists() and not force:
        raise UsageError(
            "There is a model already.",
            where=folder,
            remedy="Choose another folder, or force=True.",
        )
    save_model(folder, network, card)


def load_pretrained(folder: str | Path) -> tuple[AlexNet, ModelCard]:
    """`load_model`; raises UsageError where there is no such folder, for nothing is downloaded."""
    if not Path(folder).is_dir():
        raise UsageError(
            f"There is no folder {str(folder)!r}, and nothing is downloaded.",
            remedy=f"Download it first; a model folder has {', '.join(FILES)}.",
        )
    return load_model(Path(folder))


def load_model(folder: Path, reading: Future[Weights] | None = None) -> tuple[AlexNet, ModelCard]:
    """The test network of a model folder (`network.eval()`), and its card.

    `reading` are its weights, if that was begun before. Raises DataError for damaged files,
    IncompatibleError for other networks.
    """
    config = read_config(folder)
    path = folder / "model.safetensors"
    try:
        weights = reading.result() if reading else read_weights(path)
    except FileNotFoundError:
        weights = None
    if not weights or weights.sha256 != config["weights_sha256"]:
        raise DataError(
            "The weights are missing, damaged, or belong to another config.json.",
            where=path,
            remedy="Copy the whole model folder again, or export it from its run.",
        )
    return assembled(folder, config, arrays_in(weights, path), path)


def assembled(
    folder: Path, config: Mapping[str, Any], arrays: Mapping[str, np.ndarray], path: Path
) -> tuple[AlexNet, ModelCard]:
    """The test network of arrays that were read from `path`, and its card, of a folder's config.json.

    Raises as `load_model`.
    """
    about = convention_of(config)
    statistics = read_arrays(folder / "statistics.safetensors")
    mean = statistics.get("mean")
    if mean is None or mean.shape != (about.side, about.side, 3) or mean.dtype != np.float32:
        raise DataError("It holds no mean image.", where=folder / "statistics.safetensors")
    for layer in about.layers:  # before there is a network of so many
        rows = arrays.get(f"{layer.name}.weight", np.empty(0)).shape[:1]
        if rows != (layer.kernels,):
            what = "classes" if layer == about.output else f"kernels of {layer.name}"
            raise IncompatibleError(
                f"The weights are not of the {layer.kernels:,} {what} of config.json.",
                where=path,
            )
    network = AlexNet.without_weights(about)
    take_parameters(network, arrays, path)
    network.eval()
    card = ModelCard(
        tuple(config["classes"]),
        distinct(config["titles"]),
        statistics,
        config["preprocessing"],
        config["provenance"],
    )
    return network, card


def convention_of(config: Mapping[str, Any]) -> Convention:
    """The network that a model folder's config.json describes."""
    about = convention(config["convention"], variant=config["variant"])
    return about.with_kernels(config["kernels"]).with_classes(len(config["classes"]))


def read_config(folder: Path, name: str = "config.json") -> dict[str, Any]:
    """A model folder's config.json, or its planned.json, every part of it checked.

    Raises DataError where it is damaged, IncompatibleError where it describes another network.
    """
    path = folder / name
    config = read_json(path)
    if not isinstance(config, dict):
        raise DataError("Not a JSON object.", where=path)
    named, variant = config.get("convention"), config.get("variant")
    about = told_by_file(named, variant)
    if config.get("format") != FORMAT or about is None:
        raise IncompatibleError(
            f"This is format {config.get('format')} of {named!r}, variant {variant!r}; "
            f"this version reads format {FORMAT} of {', '.join(CONVENTIONS)}.",
            where=path,
        )
    if lacks := _CONFIG_KINDS.keys() - config.keys():
        raise DataError(f"It lacks {', '.join(sorted(lacks))}.", where=path)
    for key, kind in _CONFIG_KINDS.items():
        if not isinstance(config[key], kind):
            raise DataError(f"Its {key} is no {_NAMES[kind]}.", where=path)
    layers = {layer.name for layer in about.layers}
    counts = config["kernels"]
    if counts.keys() != layers or not all(type(n) is int and n > 0 for n in counts.values()):
        raise DataError("Its kernels are not a number for each layer.", where=path)
    classes, titles = config["classes"], config["titles"]
    if not classes or not all(isinstance(n, str) and n.isprintable() for n in [*classes, *titles]):
        raise DataError("Its classes and titles are not names that can be shown.", where=path)
    if len(titles) != len(classes) or config["classes_sha256"] != names_hash(classes):
        raise DataError("The list of classes was changed.", where=path)
    return config


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
        "variant": about.variant,
    }
    data = bytearray(safetensors.numpy.save(parameters_of(network), metadata))
    end = 8 + int.from_bytes(data[:8], "little")
    header = {**json.loads(data[8:end]), "__metadata__": metadata}
    data[8:end] = json.dumps(header, separators=(",", ":")).encode().ljust(end - 8)
    return bytes(data)
