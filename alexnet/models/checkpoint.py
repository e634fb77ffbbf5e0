"""Complete training states on disk: weights, velocities and counters, each file with its own hash.

A checkpoint is one safetensors file. Its metadata hold the counters and the SHA-256 of everything in
the file, so that a flipped bit is found before it is trained on. Loading takes the newest checkpoint
that verifies, and says which it refused.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy

from alexnet.base.errors import DataError, EnvironmentProblem, IncompatibleError, NumericsError
from alexnet.base.files import remove, write_atomically
from alexnet.models.arrays import opened

FORMAT = 2

_whole = set[tuple[object, ...]]()  # files that this process has found whole, as they were then


@dataclass(frozen=True)
class Checkpoint:
    """All that a run needs to go on: `arrays` (weights, velocities) and `state` (plain counters)."""

    step: int
    arrays: Mapping[str, np.ndarray]
    state: Mapping[str, Any]


def save(folder: Path, checkpoint: Checkpoint, keep: int) -> Path:
    """Write `step-NNNNNNNN.safetensors` atomically; then delete what is older than the newest `keep`.

    Only those that still verify count: for a damaged one among them, an older one stays. Raises
    NumericsError, naming the array, for numbers that are not finite: they are never saved.
    """
    _require_finite(checkpoint.arrays, folder)
    state = json.dumps(
        {"format": FORMAT, "step": checkpoint.step, **checkpoint.state}, sort_keys=True
    )
    digest = _content_hash(checkpoint.arrays, checkpoint.arrays.__getitem__, state)
    metadata = {"state": state, "sha256": digest}
    path = folder / f"step-{checkpoint.step:08d}.safetensors"
    write_atomically(path, safetensors.numpy.save(dict(checkpoint.arrays), metadata))
    _whole.add(_as_it_is(path))
    keep_newest(folder, keep)
    return path


def keep_newest(folder: Path, count: int) -> None:
    """Delete what is older than the newest `count` checkpoints that verify."""
    whole = 0
    for one in reversed(paths(folder)):
        if whole == count:
            remove(one)
        elif _is_whole(one):
            whole += 1


def load(path: Path) -> Checkpoint:
    """Read and verify one checkpoint; raises DataError that says what is wrong with the file.

    Also raises IncompatibleError for another format, NumericsError for numbers that are not finite.
    """
    with opened(path) as file:
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        state = _verified(file.metadata(), arrays, arrays.__getitem__, path)
    if state.pop("format") != FORMAT:
        raise IncompatibleError(f"The checkpoint is not of format {FORMAT}.", where=path)
    _require_finite(arrays, path)
    return Checkpoint(state.pop("step"), arrays, state)


def newest(folder: Path) -> Checkpoint:
    """The newest checkpoint that verifies; each one refused is named on stderr.

    Raises EnvironmentProblem if there is none: a run never starts afresh silently.
    """
    for path in reversed(paths(folder)):
        try:
            return load(path)
        except (DataError, NumericsError) as error:
            print(f"! {path}: {error.what} Trying the one before.", file=sys.stderr)
    raise EnvironmentProblem(
        "There is no usable checkpoint.",
        where=folder,
        remedy="Start a new run: alexnet train DATA",
    )


def paths(folder: Path) -> list[Path]:
    """Every checkpoint, oldest first, whatever is in it."""
    return sorted(folder.glob("step-*.safetensors"))


def _is_whole(path: Path) -> bool:
    """Whether it verifies; what this process found whole, and nobody has touched, is not read again."""
    if _as_it_is(path) not in _whole:
        try:
            with opened(path) as file:
                _verified(file.metadata(), file.keys(), file.get_tensor, path)
        except DataError:
            return False
        _whole.add(_as_it_is(path))
    return True


def _as_it_is(path: Path) -> tuple[object, ...]:
    found = path.stat()
    return path, found.st_ino, found.st_size, found.st_mtime_ns


def _verified(
    metadata: Mapping[str, str] | None,
    names: Iterable[str],
    array: Callable[[str], np.ndarray],
    path: Path,
) -> dict[str, Any]:
    """The state in the metadata, if their hash fits it and the arrays; else raises DataError."""
    state = (metadata or {}).get("state", "")
    if _content_hash(names, array, state) != (metadata or {}).get("sha256"):
        raise DataError("The checkpoint is damaged: its hash does not fit its content.", where=path)
    found = json.loads(state)
    if not isinstance(found, dict) or not all(
        type(found.get(n)) is int for n in ("format", "step")
    ):
        raise DataError("It has a hash but no state: no checkpoint of a run.", where=path)
    return found


def _content_hash(names: Iterable[str], array: Callable[[str], np.ndarray], state: str) -> str:
    digest = hashlib.sha256(state.encode())
    for name in sorted(names):
        value = np.ascontiguousarray(array(name))
        digest.update(f"\0{name}\0{value.dtype.str}\0{value.shape}\0".encode())
        digest.update(value.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _require_finite(arrays: Mapping[str, np.ndarray], where: Path) -> None:
    for name, values in arrays.items():
        if not np.isfinite(values).all():
            bad = values.size - int(np.isfinite(values).sum())
            raise NumericsError(
                f"{bad:,} of the {values.size:,} numbers of {name} are not finite.",
                where=where,
                remedy="They are neither saved nor loaded: go on from an earlier checkpoint.",
            )
