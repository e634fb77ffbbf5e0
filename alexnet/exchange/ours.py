"""Weights of our own: a model folder, or a `.safetensors` or `.pth` file with our names of parameters."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from alexnet.base.errors import IncompatibleError, UsageError
from alexnet.conventions import CONVENTIONS, Convention, told_by_file
from alexnet.exchange.checkpoints import weights_in
from alexnet.exchange.imported import FoundWeights, Imported, checked, refused
from alexnet.models.arrays import misfits, parameters_of
from alexnet.models.folder import load_model


def read_own_folder(folder: Path) -> Imported:
    """A model folder with everything in it; raises what `load_model` and `checked` raise."""
    network, card = load_model(folder)
    arrays, _ = checked(FoundWeights(parameters_of(network), network.convention), folder)
    return Imported(
        arrays,
        network.convention,
        card.classes,
        card.titles,
        card.statistics,
        (f"A model folder of {network.convention.name}, with its classes and mean image.",),
        card.preprocessing,
        card.provenance,
    )


def read_own(
    path: Path, source: str = "", known: Mapping[str, Convention] = CONVENTIONS, key: str = ""
) -> FoundWeights:
    """The weights of a `.safetensors` or `.pth` file with our names, as stored.

    Metadata as this package writes them tell the network; without them names and shapes do, and where
    these fit several, `source` names it; `key` is as in `weights_in`. Raises UsageError where it does
    not, IncompatibleError where the file tells another network, and with the differences where the arrays
    fit none.
    """
    _, arrays, metadata, notes = weights_in(path, key)
    if "convention" in metadata:
        about = _with_outputs(_told(metadata, source, known, path), arrays)
        varied = f" ({about.variant})" if about.variant else ""
        return FoundWeights(
            arrays, about, (f"Network: {about.name}{varied}, told by the file.", *notes)
        )
    if source in known:
        about = _with_outputs(known[source], arrays)
        return FoundWeights(arrays, about, (f"Network: {source}, as asked.", *notes))
    choices = [_with_outputs(about, arrays) for about in known.values()]
    fitting = [about for about in choices if not misfits(arrays, about)]
    if len(fitting) == 1:
        told = f"Network: {fitting[0].name}, told by its shapes."
        return FoundWeights(arrays, fitting[0], (told, *notes))
    if fitting:
        names = [about.name for about in fitting]
        raise UsageError(
            f"Its shapes are those of {', '.join(names)}, which compute different things.",
            where=path,
            remedy=f"Say which: --from {names[0]}",
        )
    nearest = min(choices, key=lambda about: len(misfits(arrays, about)))
    raise refused(misfits(arrays, nearest), nearest, path)


def _told(
    metadata: Mapping[str, str], source: str, known: Mapping[str, Convention], path: Path
) -> Convention:
    """The network of a file's metadata; raises IncompatibleError for unknown ones, or not of `source`."""
    named, variant = metadata["convention"], metadata.get("variant", "")
    about = told_by_file(named, variant, known)
    if about is None:
        raise IncompatibleError(
            f"It says of itself that it is {named[:40]!r}, variant {variant[:40]!r}, which is unknown.",
            where=path,
            remedy=f"Known: {', '.join(known)}.",
        )
    if source in known and source != named:
        raise IncompatibleError(
            f"It says of itself that it is {named}, not {source}.",
            where=path,
            remedy=f"Leave --from out, or say --from {named}.",
        )
    return about


def _with_outputs(about: Convention, arrays: Mapping[str, np.ndarray]) -> Convention:
    """The network with as many outputs as there are biases of its last layer."""
    rows = arrays.get(f"{about.output.name}.bias", np.empty(0)).shape
    return about.with_classes(rows[0]) if len(rows) == 1 and rows[0] else about
