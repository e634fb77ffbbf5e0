"""torchvision's `alexnet`: the network of one weird trick (2014), its parameters by their places.

`features` and `classifier` are rows of modules, numbered from 0; those with parameters are the layers of
our `onetower`. Images there are 0-1, less a mean and divided by a deviation for each colour; here they
are 0-255 less 255 times that mean, and the network divides.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from alexnet.base.errors import DataError
from alexnet.conventions import CONVENTIONS, Convention
from alexnet.exchange.imported import FoundWeights, layer_names, refused
from alexnet.exchange.tensors import is_safetensors, read_tensors

_PLACES = (
    *("features.0", "features.3", "features.6", "features.8", "features.10"),
    *("classifier.1", "classifier.4", "classifier.6"),
)
_PARTS = ("weight", "bias")
_PREFIX = "module."  # of a network that was trained on several devices
_KINDS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def names(about: Convention = CONVENTIONS["onetower"]) -> dict[str, str]:
    """torchvision's name for every parameter of ours, in order."""
    return {
        f"{layer}.{part}": f"{place}.{part}"
        for layer, place in zip(layer_names(about), _PLACES, strict=True)
        for part in _PARTS
    }


def to_torchvision(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The parameters of a `onetower` network under torchvision's names; raises KeyError for others."""
    return {theirs: arrays[ours] for ours, theirs in names().items()}


def is_torchvision(found: Mapping[str, Any]) -> bool:
    """Whether most of torchvision's names are among those found."""
    theirs = set(names().values())
    return len(theirs & set(found)) > len(theirs) // 2


def read_torchvision(path: Path, known: Mapping[str, Convention] = CONVENTIONS) -> FoundWeights:
    """The weights of a `.pth` or `.safetensors` file, whatever it is called, as stored.

    A `.pth` is read for its tensors only, and its `state_dict` or `model` if it is a checkpoint.
    Raises DataError for damaged files and those that hold more, IncompatibleError for other networks.
    """
    notes: list[str] = []
    if is_safetensors(path):
        arrays, _, notes = read_tensors(path)
    else:
        tensors, notes = _tensors(path)
        arrays = {name: _array(name, tensor, path) for name, tensor in tensors.items()}
        if any(tensor.dtype == torch.bfloat16 for tensor in tensors.values()):
            notes.append("Stored as bfloat16; converted to float32.")
    if arrays and all(name.startswith(_PREFIX) for name in arrays):
        arrays = {name.removeprefix(_PREFIX): array for name, array in arrays.items()}
        notes.append(f"The names begin with {_PREFIX!r}, which was taken away.")
    about = known["onetower"]
    ours = {theirs: mine for mine, theirs in names(about).items()}
    if unknown := [f"{name} is unknown" for name in arrays if name not in ours]:
        raise refused(unknown, about, path)
    arrays = {ours[name]: array for name, array in arrays.items()}
    rows = arrays.get(f"{about.output.name}.bias", np.empty(0)).shape
    if len(rows) == 1 and rows[0] > 0:
        about = about.with_classes(rows[0])
    return FoundWeights(arrays, about, ("Network: onetower, told by its names.", *notes))


def _tensors(path: Path) -> tuple[dict[str, Any], list[str]]:
    """Tensors by name, from the file or a part of it."""
    if zipfile.is_zipfile(path):
        _require_plain(path)
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the library raises many kinds, with advice that is not ours
        raise DataError(
            f"PyTorch finds more than tensors in it, or damage ({type(error).__name__}).",
            where=path,
            remedy="Save the state_dict() alone, with torch.save or safetensors, and import that.",
        ) from None
    notes = []
    for key in ("state_dict", "model"):
        if isinstance(found, dict) and isinstance(found.get(key), dict):
            found = found[key]
            notes.append(f"Taken from {key!r} of a checkpoint.")
            break
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found):
        raise DataError("It holds no tensors by name.", where=path)
    return found, notes


def _require_plain(path: Path) -> None:
    """Refuse an archive that becomes larger when it is unpacked: PyTorch's are stored as they are."""
    try:
        with zipfile.ZipFile(path) as archive:
            packed = any(one.compress_type != zipfile.ZIP_STORED for one in archive.infolist())
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise DataError(f"Not a readable file of PyTorch: {error}.", where=path) from None
    if packed:
        raise DataError("Its parts are compressed, which PyTorch's are not.", where=path)


def _array(name: str, tensor: Any, path: Path) -> np.ndarray:
    """A tensor's numbers, if they are floating-point numbers that lie in the file."""
    if not isinstance(tensor, torch.Tensor) or tensor.layout != torch.strided:
        raise DataError(f"{name[:200]!r} is no plain tensor.", where=path)
    if tensor.dtype not in _KINDS or tensor.device.type != "cpu":
        raise DataError(f"{name[:200]!r} is of {tensor.dtype} on {tensor.device}.", where=path)
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise DataError(f"{name[:200]!r} is larger than what is stored of it.", where=path)
    tensor = tensor.detach()
    array: np.ndarray = (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
    return array
