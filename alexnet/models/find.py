"""What a MODEL argument means: a run, a model folder, or a weights file beside its config.json."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from alexnet import runs
from alexnet.base.errors import UsageError, did_you_mean

WEIGHTS = "model.safetensors"


@dataclass(frozen=True)
class FoundModel:
    """A model folder, what to call it, and where its predictions belong."""

    folder: Path
    name: str
    evaluation: Path


def find_model(name: str | Path) -> FoundModel:
    """The model that a path or a run's name stands for.

    Raises UsageError with the nearest run names where there is none.
    """
    path = Path(name)
    if path.suffix == ".safetensors" and path.is_file():
        return _of_weights(path)
    for place in (path, runs.RUNS / path):
        if (place / "config.yaml").is_file():
            return _of_run(place, str(name))
        if (place / "config.json").is_file() and (place / WEIGHTS).is_file():
            return _of_folder(place, str(name))
    raise UsageError(
        f"There is no model {str(name)!r}.",
        where="looked for a run's folder or name, a model folder, a .safetensors file",
        remedy=did_you_mean(str(name), names)
        if (names := runs.names())
        else "There are no runs here yet.",
    )


def _of_weights(path: Path) -> FoundModel:
    if path.name != WEIGHTS or not (path.parent / "config.json").is_file():
        raise UsageError(
            f"Weights are read as {WEIGHTS} beside their config.json, which holds the classes.",
            where=path,
            remedy="Give the whole model folder.",
        )
    return _of_folder(path.parent, str(path))


def _of_folder(folder: Path, name: str) -> FoundModel:
    inside_run = (folder.resolve().parent / "config.yaml").is_file()
    return FoundModel(
        folder, name, (folder.resolve().parent if inside_run else folder) / "evaluation"
    )


def _of_run(run: Path, name: str) -> FoundModel:
    if not (run / "model" / WEIGHTS).is_file():
        raise UsageError(
            "This run has no model yet: it is written when training ends.",
            where=run,
            remedy=f"Let it finish: alexnet resume {name}",
        )
    return FoundModel(run / "model", name, run / "evaluation")
