"""Complete training states on disk: weights, velocities and counters, each file with its own hash.

A checkpoint is one safetensors file. Its metadata hold the counters and the SHA-256 of everything in
the file, so that a flipped bit is found before it is trained on. Loading takes the newest checkpoint
that verifies, and says which it refused.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy

from alexnet.errors import DataError, EnvironmentProblem
from alexnet.files import write_atomically
from alexnet.network.weights import read_arrays

FORMAT = 1


@dataclass(frozen=True)
class Checkpoint:
    """All that a run needs to go on: `arrays` (weights, velocities) and `state` (plain counters)."""

    step: int
    arrays: Mapping[str, np.ndarray]
    state: Mapping[str, Any]


def save(folder: Path, checkpoint: Checkpoint, keep: int) -> Path:
    """Write `step-NNNNNNNN.safetensors` atomically; then delete all but the newest `keep`."""
    state = json.dumps(
        {"format": FORMAT, "step": checkpoint.step, **checkpoint.state}, sort_keys=True
    )
    metadata = {"state": state, "sha256": _content_hash(checkpoint.arrays, state)}
    path = folder / f"step-{checkpoint.step:08d}.safetensors"
    write_atomically(path, safetensors.numpy.save(dict(checkpoint.arrays), metadata))
    for old in _paths(folder)[:-keep]:
        old.unlink(missing_ok=True)
    return path


def load(path: Path) -> Checkpoint:
    """Read and verify one checkpoint; raises DataError that says what is wrong with the file."""
    arrays, metadata = read_arrays(path)
    state = metadata.get("state", "")
    if _content_hash(arrays, state) != metadata.get("sha256"):
        raise DataError("The checkpoint is damaged: its hash does not fit its content.", where=path)
    values = json.loads(state)
    if values.pop("format") != FORMAT:
        raise DataError(f"The checkpoint is not of format {FORMAT}.", where=path)
    return Checkpoint(values.pop("step"), arrays, values)


def newest(folder: Path) -> Checkpoint:
    """The newest checkpoint that verifies; each one refused is named on stderr.

    Raises EnvironmentProblem if there is none: a run never starts afresh silently.
    """
    for path in reversed(_paths(folder)):
        try:
            return load(path)
        except DataError as error:
            print(f"! {path}: {error.what} Trying the one before.", file=sys.stderr)
    raise EnvironmentProblem(
        "There is no usable checkpoint.",
        where=folder,
        remedy="Start a new run with: alexnet train",
    )


def _paths(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-*.safetensors"))


def _content_hash(arrays: Mapping[str, np.ndarray], state: str) -> str:
    digest = hashlib.sha256(state.encode())
    for name in sorted(arrays):
        value = np.ascontiguousarray(arrays[name])
        digest.update(f"\0{name}\0{value.dtype.str}\0{value.shape}\0".encode())
        digest.update(value.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()
