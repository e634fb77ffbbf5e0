"""The weights of a model folder, read once: the bytes that are hashed are those that are used.

Nothing here needs PyTorch, so that a program can read them while that is being loaded.
"""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import Future, ThreadPoolExecutor
from math import prod
from pathlib import Path
from typing import NamedTuple

import numpy as np
import safetensors

from alexnet.base.errors import DataError

_KINDS = {"F16": "<f2", "F32": "<f4", "F64": "<f8", "I32": "<i4", "I64": "<i8", "U8": "u1"}


class Weights(NamedTuple):
    """The bytes of a safetensors file, uint8, and their SHA-256 in hexadecimal."""

    data: np.ndarray
    sha256: str


def read_weights(path: Path) -> Weights:
    """All bytes of a file; raises OSError where they cannot be read."""
    with open(path, "rb", buffering=0) as file:
        data = np.fromfile(file, np.uint8)
    return Weights(data, hashlib.sha256(data.data).hexdigest())


def begin_reading(path: Path) -> Future[Weights]:
    """`read_weights` in a thread of its own."""
    pool = ThreadPoolExecutor(1, thread_name_prefix="weights")
    reading = pool.submit(read_weights, path)
    pool.shutdown(wait=False)
    return reading


def arrays_in(weights: Weights, path: Path) -> dict[str, np.ndarray]:
    """The arrays of a file that was read, over its memory; raises DataError for a damaged one."""
    try:
        with safetensors.safe_open(path, framework="numpy"):
            pass  # whether the file is one
        end = 8 + int.from_bytes(weights.data[:8].tobytes(), "little")
        header = json.loads(weights.data[8:end].tobytes())
        header.pop("__metadata__", None)
        return {
            name: np.frombuffer(
                weights.data,
                _KINDS[about["dtype"]],
                count=prod(about["shape"]),
                offset=end + about["data_offsets"][0],
            ).reshape(about["shape"])
            for name, about in header.items()
        }
    except Exception as error:  # of a damaged file the library raises many kinds
        raise DataError(f"Not a readable safetensors file: {error}.", where=path) from None
