"""The arrays of a `.safetensors` file of any program, and what the file says of itself."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from alexnet.models.arrays import opened

_MOST_HEADER = 10**8  # bytes; the library's own limit


class Tensors(NamedTuple):
    """Arrays by name, as stored but for bfloat16; the file's metadata; what was converted."""

    arrays: dict[str, np.ndarray]
    metadata: Mapping[str, str]
    notes: list[str]


def is_safetensors(path: Path) -> bool:
    """Whether a file begins with the length of a JSON object that is in it, and with the object."""
    with open(path, "rb") as file:
        head = file.read(9)
    if len(head) < 9 or head[8:] != b"{":
        return False
    (length,) = struct.unpack("<Q", head[:8])
    return bool(length <= min(path.stat().st_size - 8, _MOST_HEADER))


def read_tensors(path: Path) -> Tensors:
    """Everything in the file, bfloat16 as float32, which has the same numbers; raises DataError."""
    arrays, notes = {}, []
    with opened(path, "pt") as file:
        for name in file.keys():  # noqa: SIM118
            tensor = file.get_tensor(name)
            if tensor.dtype == torch.bfloat16:  # which NumPy has not
                tensor, notes = tensor.float(), ["Stored as bfloat16; converted to float32."]
            arrays[name] = tensor.numpy()
        metadata = file.metadata() or {}
    return Tensors(arrays, metadata, notes)
