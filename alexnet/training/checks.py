"""What is checked before a run begins or goes on: name, images, settings, room on the disk."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from shlex import quote
from typing import Any

from alexnet.base.errors import DataError, IncompatibleError, UsageError
from alexnet.base.files import require_space
from alexnet.base.provenance import names_hash
from alexnet.config import Anneal, RunConfig
from alexnet.network.table import shapes
from alexnet.prepared import PreparedDataset
from alexnet.runs import RUNS, Run
from alexnet.settings import WARM_UP, Difference, differences

# Keys that say nothing about the steps that are done.
_MAY_CHANGE = ("length", "until_error", "checkpoint.")
# Keys that a run may go on with if the user names them. The others decide which image comes when, or
# how the run began: with another value of those it would be another run.
CHANGE_BY_NAME = (
    *("optimizer.learning_rate", "optimizer.momentum", "optimizer.weight_decay"),
    *("optimizer.bias_rate", "optimizer.rates", "optimizer.decays"),
    *("schedule.factor", "schedule.patience", "schedule.drops", "schedule.warmup"),
    *("schedule.epochs", "augmentation.reflections", "augmentation.colour"),
    *("augmentation.colour_until", "augmentation.colour_divisor"),
)
_NAME_BYTES = 200  # of a part of a run's name: a file system's 255, less what temporary names add


def require_name(name: str) -> None:
    """Raise UsageError unless a run of this name is inside `runs/`; "set/one" is in a folder there."""
    for part in name.split("/"):
        is_name = part.isprintable() and 0 < len(part.encode()) <= _NAME_BYTES
        if not is_name or part in (".", ".."):
            raise UsageError(
                f"{name!r} is no name for a run, which is a folder inside runs/.",
                remedy="Choose a name of letters, digits, - and _, as in --name flowers-1",
            )


def typed(run: Run) -> str:
    """A run as a command takes it: its name, or its folder where the name would not do."""
    is_inside = run.folder.resolve().parent == RUNS.resolve()
    return run.name if is_inside and not run.name.startswith("-") else str(run.folder)


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
    run: Run, config: RunConfig, dataset: PreparedDataset, override: Collection[str]
) -> None:
    """Raise IncompatibleError if a run's images have changed.

    `override` may name `data`; classes and the size of images stay the same, override or not.
    """
    then, now = run.data, describe(dataset)
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
            remedy="Bring the old data back, or go on with these: "
            f"alexnet resume {quote(typed(run))} --override data",
        )


def require_same_config(
    run: Run, then: RunConfig, now: RunConfig, override: Collection[str] = ()
) -> list[Difference]:
    """What has changed in a run's configuration, apart from its length and its checkpoints.

    Raises IncompatibleError where keys have changed that cannot, or that `override` does not name; a
    warm-up that outlasts the new length has to.
    """
    where = run.folder / "config.yaml"
    if isinstance(then.schedule, Anneal) and then.schedule.warmup >= now.length:
        override = {*override, WARM_UP}
    changed = [one for one in differences(then, now) if not one.key.startswith(_MAY_CHANGE)]
    fixed = [one for one in changed if one.key not in CHANGE_BY_NAME]
    unnamed = [one for one in changed if one.key not in override]
    shown = "; ".join(f"{one.key}: {one.first} then, {one.second} now" for one in fixed or unnamed)
    if fixed:
        raise IncompatibleError(
            f"This cannot change in the middle of a run: {shown}.",
            where=where,
            remedy="Change it back, or train a new run.",
        )
    if unnamed:
        names = " ".join(f"--override {one.key}" for one in unnamed)
        raise IncompatibleError(
            f"The configuration has changed since the last checkpoint: {shown}.",
            where=where,
            remedy="Change it back, or go on with the new one: "
            f"alexnet resume {quote(typed(run))} {names}",
        )
    return changed


def require_room(config: RunConfig, dataset: PreparedDataset, folder: Path) -> None:
    """Raise EnvironmentProblem unless the run's checkpoints and model fit where `folder` is."""
    rows = shapes(config.network.of(len(dataset.classes)))
    weights = 4 * sum(shape.parameters for shape in rows)  # bytes
    states = 2 * weights * (config.checkpoint.keep + 1)  # with velocities; one more while saving
    remedy = "Free some space, or keep fewer states: --set checkpoint.keep=2"
    there = sum(path.stat().st_size for path in folder.glob("*/*.safetensors"))  # of this run
    require_space(folder, states + weights - there, "Training", remedy)
