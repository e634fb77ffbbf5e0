"""What is checked before a run begins or goes on: name, images, settings, room on the disk."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from shlex import quote
from typing import Any

import torch

from alexnet.base import ranks
from alexnet.base.errors import DataError, EnvironmentProblem, IncompatibleError, UsageError
from alexnet.base.files import require_space
from alexnet.base.provenance import memory_bytes, names_hash
from alexnet.config import Anneal, RunConfig
from alexnet.network.table import shapes
from alexnet.prepared import PreparedDataset
from alexnet.runs import Run, require_free, typed
from alexnet.settings import WARM_UP, Difference, differences
from alexnet.training.data import is_of, what_changed, with_data

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
SPLITS = ("train", "val")  # what training reads
_LACKING = {  # what to do where one has no images
    "train": "Put images to learn from into a folder train/, with a folder for each class.",
    "val": "Prepare it with a larger share held out (alexnet data prepare SRC --val 0.3), "
    "or make the folders train/ and val/ yourself.",
}
_NAME_BYTES = 200  # of a part of a run's name: a file system's 255, less what temporary names add


def require_name(name: str) -> None:
    """Raise UsageError unless a run of this name is a folder in `runs/` that `alexnet runs` shows."""
    is_name = name.isprintable() and 0 < len(name.encode()) <= _NAME_BYTES
    if not is_name or name != name.strip() or name.startswith(".") or set(name) & set("/\\"):
        raise UsageError(
            f"{name!r} is no name for a run, which is a folder inside runs/.",
            remedy="Choose a name of letters, digits, - and _, as in --name flowers-1",
        )


def require_startable(name: str, go_on: bool = False) -> None:
    """Raise UsageError unless a run of this name can be started, or with `go_on` gone on with.

    It needs no images, so that it comes before they are prepared. Experiments lie in a folder there:
    "set/one".
    """
    for part in name.split("/"):
        require_name(part)
    if not (go_on or ranks.restarts() > 0):
        require_free(name)


def describe(dataset: PreparedDataset) -> dict[str, Any]:
    """What a run remembers of its data."""
    return {
        "folder": str(dataset.folder.resolve()),
        "fingerprint": dataset.fingerprint,
        "classes": list(dataset.classes),
        "classes_sha256": names_hash(dataset.classes),
        "per_class": per_class(dataset),
    }


def per_class(dataset: PreparedDataset) -> dict[str, list[int]]:
    """How many images of each class the splits have that training reads: "train" and "val"."""
    splits = dataset.description["splits"]
    none = [0] * len(dataset.classes)
    return {name: list(splits[name]["per_class"]) if name in splits else none for name in SPLITS}


def require_trainable(
    classes: Sequence[str], images: Mapping[str, Sequence[int]], where: object = ""
) -> None:
    """Raise DataError unless there are classes to tell apart and images to train and validate on.

    `images` has how many images of each class the splits "train" and "val" have.
    """
    require_classes(classes, where)
    for split in SPLITS:
        if not sum(images.get(split, ())):
            raise DataError(
                f"The split {split!r} has no images.", where=where, remedy=_LACKING[split]
            )
    learned = [name for name, count in zip(classes, images["train"], strict=True) if count]
    if len(learned) < 2:
        raise DataError(
            f"There is one class only that has training images: {learned[0]}.",
            where=where,
            remedy="Training tells classes apart: give it images of at least two.",
        )


def require_splits(classes: Sequence[str], splits: Sequence[str], where: object = "") -> None:
    """Raise DataError where there is one class only, or no training split: it needs no images."""
    require_classes(classes, where)
    if "train" not in splits:
        there = ", ".join(splits)
        raise DataError(
            f"The split 'train' is missing: there is {there} only.",
            where=where,
            remedy=_LACKING["train"],
        )


def require_classes(classes: Sequence[str], where: object = "") -> None:
    """Raise DataError where there is one class only."""
    if len(classes) < 2:
        raise DataError(
            f"There is one class only: {', '.join(classes)}.",
            where=where,
            remedy="Training tells classes apart: give it at least two folders of images.",
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
    if not is_of(run, dataset) and "data" not in override:
        raise IncompatibleError(
            f"The data have changed since the run was started: {what_changed(run, dataset)}.",
            where=dataset.folder,
            remedy="Bring the old data back, or go on with these: "
            f"{with_data(run, dataset)} --override data",
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
        names = " --override ".join(one.key for one in unnamed)
        raise IncompatibleError(
            f"The configuration has changed since the last checkpoint: {shown}.",
            where=where,
            remedy="Change it back, or go on with the new one: "
            f"alexnet resume {quote(typed(run))} --override {names}",
        )
    return changed


def require_room(config: RunConfig, dataset: PreparedDataset, folder: Path) -> None:
    """Raise EnvironmentProblem unless the run's checkpoints and models fit where `folder` is."""
    rows = shapes(config.network.of(len(dataset.classes)))
    weights = 4 * sum(shape.parameters for shape in rows)  # bytes
    states = 2 * weights * (config.checkpoint.keep + 1)  # with velocities; one more while saving
    remedy = "Free some space, or keep fewer states: --set checkpoint.keep=2"
    there = sum(path.stat().st_size for path in folder.glob("*/*.safetensors"))  # of this run
    models = 2 * weights  # of the last epoch, and of the best
    require_space(folder, states + models - there, "Training", remedy)


def require_memory(config: RunConfig, dataset: PreparedDataset, device: str) -> None:
    """Raise EnvironmentProblem where a batch is certain not to fit into the memory of this machine.

    What is counted is what a forward pass must keep: a step takes more. How much there is on a GPU is
    known when it is full.
    """
    if torch.device(device).type != "cpu":
        return
    about = config.network.of(len(dataset.classes))
    each = 4 * (3 * about.crop**2 + sum(shape.neurons for shape in shapes(about)))  # bytes
    batch, memory = config.optimizer.batch.count // ranks.local_world(), memory_bytes()
    if batch * each > memory:
        fits = ranks.local_world() * max(1, memory // (4 * each))
        raise EnvironmentProblem(
            f"A batch of {config.optimizer.batch.count:,} images needs more than "
            f"{batch * each / 1e9:.0f} GB of memory; this machine has {memory / 1e9:.0f} GB.",
            remedy=f"Train with smaller ones: --batch {fits}",
        )
