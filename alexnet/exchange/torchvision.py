"""torchvision's `alexnet`: the network of one weird trick (2014), its parameters by their places.

`features` and `classifier` are rows of modules, numbered from 0; those with parameters are the layers of
our `onetower`. Images there are 0-1, less a mean and divided by a deviation for each colour; here they
are 0-255 less 255 times that mean, and the network divides.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from alexnet.conventions import CONVENTIONS, Convention
from alexnet.exchange.checkpoints import weights_in
from alexnet.exchange.imported import FoundWeights, layer_names, refused
from alexnet.exchange.state_names import PARTS, PLACES


def names(about: Convention = CONVENTIONS["onetower"]) -> dict[str, str]:
    """torchvision's name for every parameter of ours, in order."""
    return {
        f"{layer}.{part}": f"{place}.{part}"
        for layer, place in zip(layer_names(about), PLACES, strict=True)
        for part in PARTS
    }


def to_torchvision(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The parameters of a `onetower` network under torchvision's names; raises KeyError for others."""
    return {theirs: arrays[ours] for ours, theirs in names().items()}


def read_torchvision(
    path: Path, known: Mapping[str, Convention] = CONVENTIONS, key: str = ""
) -> FoundWeights:
    """The weights of a `.pth` or `.safetensors` file, whatever it is called, as stored.

    `key` is as in `weights_in`, which raises DataError for damaged files and those without weights;
    IncompatibleError for other networks.
    """
    found = weights_in(path, key)
    about = known["onetower"]
    ours = {theirs: mine for mine, theirs in names(about).items()}
    if unknown := [f"{name} is unknown" for name in found.arrays if name not in ours]:
        raise refused(unknown, about, path)
    arrays = {ours[name]: array for name, array in found.arrays.items()}
    rows = arrays.get(f"{about.output.name}.bias", np.empty(0)).shape
    if len(rows) == 1 and rows[0] > 0:
        about = about.with_classes(rows[0])
    return FoundWeights(arrays, about, ("Network: onetower, told by its names.", *found.notes))
