"""Weights of our own: a model folder, or a `.safetensors` file with our names of parameters."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from alexnet.conventions import CONVENTIONS, Convention
from alexnet.errors import UsageError
from alexnet.network.exchange.imported import Imported, Weights, differences, refused
from alexnet.network.weights import load_model, parameters_of, read_arrays


def read_folder(folder: Path) -> Imported:
    """A model folder with everything in it; raises what `load_model` raises."""
    network, card = load_model(folder)
    return Imported(
        parameters_of(network),
        network.convention,
        card.classes,
        card.titles,
        card.statistics,
        (f"A model folder of {network.convention.name}, with its classes and mean image.",),
        card.preprocessing,
        card.provenance,
    )


def read(path: Path, source: str = "", known: Mapping[str, Convention] = CONVENTIONS) -> Weights:
    """The weights of a `.safetensors` file with our names, as stored.

    Names and shapes tell the network; where they fit several, `source` names it. Raises UsageError where
    it does not, IncompatibleError with the differences where they fit none.
    """
    arrays = read_arrays(path)
    if source in known:
        about = _with_outputs(known[source], arrays)
        return Weights(arrays, about, (f"Network: {source}, as asked.",))
    choices = [_with_outputs(about, arrays) for about in known.values()]
    fitting = [about for about in choices if not differences(arrays, about)]
    if len(fitting) == 1:
        return Weights(arrays, fitting[0], (f"Network: {fitting[0].name}, told by its shapes.",))
    if fitting:
        names = [about.name for about in fitting]
        raise UsageError(
            f"Its shapes are those of {', '.join(names)}, which compute different things.",
            where=path,
            remedy=f"Say which: --from {names[0]}",
        )
    nearest = min(choices, key=lambda about: len(differences(arrays, about)))
    raise refused(differences(arrays, nearest), nearest, path)


def _with_outputs(about: Convention, arrays: Mapping[str, np.ndarray]) -> Convention:
    """The network with as many outputs as there are biases of its last layer."""
    rows = arrays.get(f"{about.output.name}.bias", np.empty(0)).shape
    return about.with_classes(rows[0]) if len(rows) == 1 and rows[0] else about
