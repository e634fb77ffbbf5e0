"""What is checked before a run begins or goes on: its images, and the room on the disk."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from alexnet.base.errors import DataError, IncompatibleError
from alexnet.base.files import require_space
from alexnet.base.provenance import names_hash
from alexnet.config import RunConfig
from alexnet.network.table import shapes
from alexnet.prepared import PreparedDataset


def describe(dataset: PreparedDataset) -> dict[str, Any]:
    """What a run remembers of its data."""
    return {
        "folder": str(dataset.folder.resolve()),
        "fingerprint": dataset.fingerprint,
        "classes": list(dataset.classes),
        "classes_sha256": names_hash(dataset.classes),
    }


def require_trainable(dataset: PreparedDataset) -> None:
    """Raise DataError unless there are classes to tell apart and images to train and validate on."""
    if len(dataset.classes) < 2:
        raise DataError(
            f"There is one class only: {dataset.classes[0]}.",
            where=dataset.folder,
            remedy="Training tells classes apart: give it at least two folders of images.",
        )
    for split in ("train", "val"):
        if split not in dataset.splits or not len(dataset.split(split)):
            raise DataError(
                f"The split {split!r} has no images.",
                where=dataset.folder,
                remedy="Prepare it with a larger share held out (alexnet data prepare SRC --val 0.3), "
                "or make the folders train/ and val/ yourself.",
            )


def require_same_data(
    then: Mapping[str, Any], config: RunConfig, dataset: PreparedDataset, override: Collection[str]
) -> None:
    """Raise IncompatibleError if a run's images (`then`) have changed.

    `override` may name `data`; classes and the size of images stay the same, override or not.
    """
    now = describe(dataset)
    if then["classes_sha256"] != now["classes_sha256"]:
        raise IncompatibleError(
            "The classes are not those that the run was started with.",
            where=f"then: {', '.join(then['classes'])}; now: {', '.join(dataset.classes)}",
            remedy="Train a new run on these data.",
        )
    if dataset.side != (side := config.network.of(len(dataset.classes)).side):
        raise IncompatibleError(
            f"The images have {dataset.side} pixels a side, the network's have {side}.",
            where=dataset.folder,
            remedy=f"Prepare them again: alexnet data prepare ... --side {side}",
        )
    if then["fingerprint"] != now["fingerprint"] and "data" not in override:
        raise IncompatibleError(
            f"The data have changed since the run was started: fingerprint "
            f"{then['fingerprint']} then, {now['fingerprint']} now.",
            where=dataset.folder,
            remedy="Bring the old data back, or go on with these: --override data",
        )


def require_room(config: RunConfig, dataset: PreparedDataset, folder: Path) -> None:
    """Raise EnvironmentProblem unless the run's checkpoints and model fit where `folder` is."""
    rows = shapes(config.network.of(len(dataset.classes)))
    weights = 4 * sum(shape.parameters for shape in rows)  # bytes
    states = 2 * weights * (config.checkpoint.keep + 1)  # with velocities; one more while saving
    remedy = "Free some space, or keep fewer states: --set checkpoint.keep=2"
    there = sum(path.stat().st_size for path in folder.glob("*/*.safetensors"))  # of this run
    require_space(folder, states + weights - there, "Training", remedy)
