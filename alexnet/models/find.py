"""What a MODEL argument means: a run, a model folder, or a weights file beside its config.json."""

from __future__ import annotations

from pathlib import Path

from alexnet import runs
from alexnet.base.errors import UsageError, did_you_mean
from alexnet.models.found import WEIGHTS, FoundModel, no_model_yet


def find_model(name: str | Path) -> FoundModel:
    """The model that a path or a run's name stands for.

    Of a run that has not ended it is its newest checkpoint, and which is said on stderr. Raises
    UsageError with the nearest run names where there is no model.
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


def require_model(name: str | Path) -> FoundModel:
    """As `find_model`, but a run has to be at its end: raises UsageError where it is not."""
    for place in (Path(name), runs.RUNS / name):
        if (place / "config.yaml").is_file() and not _has_model(place):
            raise no_model_yet(place, str(name))
    return find_model(name)


def _of_weights(path: Path) -> FoundModel:
    if path.name != WEIGHTS or not (path.parent / "config.json").is_file():
        raise UsageError(
            f"Weights are read as {WEIGHTS} beside their config.json, which holds the classes.",
            where=path,
            remedy="Give the whole model folder.",
        )
    return _of_folder(path.parent, str(path))


def _of_folder(folder: Path, name: str) -> FoundModel:
    run = folder.resolve().parent
    is_its_model = (run / "config.yaml").is_file() and folder.resolve().name == "model"
    return FoundModel(folder, name, (run if is_its_model else folder) / "evaluation")


def _has_model(run: Path) -> bool:
    return all((run / "model" / name).is_file() for name in (WEIGHTS, "config.json"))


def _of_run(run: Path, name: str) -> FoundModel:
    if _has_model(run):
        return FoundModel(run / "model", name, run / "evaluation")
    from alexnet.models.unfinished import newest_of

    return newest_of(run, name)
