"""A network's parameters as NumPy arrays by name (`conv1.weight` ...), and safetensors files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import safetensors
import torch

from alexnet.base.errors import AlexNetError, DataError, IncompatibleError
from alexnet.conventions import Convention
from alexnet.network.alexnet import AlexNet
from alexnet.network.table import shapes

_LISTED = 16  # differences, as many as there are parameters of eight layers


def parameters_of(network: AlexNet) -> dict[str, np.ndarray]:
    """Every parameter by name (`conv1.weight` ...), as arrays that share the network's memory."""
    named = network.named_parameters()
    return {name: value.detach().cpu().contiguous().numpy() for name, value in named}


def set_parameters(network: AlexNet, arrays: Mapping[str, np.ndarray], where: object) -> None:
    """Copy arrays into the network; raises IncompatibleError with the differences, changing nothing."""
    _require_fitting(network, arrays, where)
    with torch.no_grad():
        for name, value in network.named_parameters():
            value.copy_(torch.from_numpy(arrays[name]))


def take_parameters(network: AlexNet, arrays: Mapping[str, np.ndarray], where: object) -> None:
    """As `set_parameters`, but float32 arrays are not copied: their memory becomes the network's."""
    _require_fitting(network, arrays, where)
    tensors = {name: torch.from_numpy(array).float() for name, array in arrays.items()}
    network.load_state_dict(tensors, assign=True)


def _require_fitting(network: AlexNet, arrays: Mapping[str, np.ndarray], where: object) -> None:
    wrong = misfits(arrays, network.convention)
    wrong += [
        f"{name} is of {array.dtype}" for name, array in arrays.items() if array.dtype.kind != "f"
    ]
    if wrong:
        raise IncompatibleError(
            f"The weights do not fit this network: {listed(wrong)}.", where=where
        )


def parameter_shapes(convention: Convention) -> dict[str, tuple[int, ...]]:
    """The shape of every parameter of a network, by name: weight and bias of each layer in turn."""
    found: dict[str, tuple[int, ...]] = {}
    for shape in shapes(convention):
        found[f"{shape.layer.name}.weight"] = shape.weight_shape
        found[f"{shape.layer.name}.bias"] = (shape.kernels,)
    return found


def misfits(arrays: Mapping[str, np.ndarray], convention: Convention) -> list[str]:
    """Every missing, unknown or wrongly shaped array, in words; none where they fit the network."""
    wanted = parameter_shapes(convention)
    wrong = [f"{name} is missing" for name in wanted if name not in arrays]
    wrong += [f"{name} is unknown" for name in arrays if name not in wanted]
    return wrong + [
        f"{name} is {in_words(arrays[name].shape)}, not {in_words(shape)}"
        for name, shape in wanted.items()
        if name in arrays and tuple(arrays[name].shape) != shape
    ]


def in_words(shape: Sequence[int]) -> str:
    """A shape as people write it: 96 x 3 x 11 x 11."""
    return " x ".join(f"{side:,}" if side > 9999 else str(side) for side in shape) or "one number"


def listed(differences: Sequence[str]) -> str:
    """Differences in one line; of very many the first, and how many there are more."""
    more = f"; and {len(differences) - _LISTED:,} more" if len(differences) > _LISTED else ""
    return f"{'; '.join(differences[:_LISTED])}{more}"


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
