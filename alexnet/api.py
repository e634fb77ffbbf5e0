"""The verbs as functions: what `alexnet.train`, `prepare`, `evaluate` and `load` are.

    dataset = alexnet.prepare("photos")
    run = alexnet.train(dataset, epochs=5)
    print(alexnet.evaluate(run, dataset).rows)
    print(alexnet.load(run).predict("dog.jpg"))

Progress is shown on stderr; errors are those of `alexnet.base.errors`. What a function needs is imported
when it is called.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from alexnet import paper
from alexnet.base.errors import UsageError
from alexnet.runs import Run
from alexnet.settings import Setting, Value, asked_for

if TYPE_CHECKING:
    from alexnet.evaluation import Classifier, Evaluation
    from alexnet.prepared import PreparedDataset

Model = str | Path | Run  # a run or its name, a model folder, or a `.safetensors` file
Settings = str | Setting | Iterable[str | Setting] | Mapping[str, Value]
_AUTO = "auto"  # the device, where none is named


def prepare(
    source: str | Path,
    output: str | Path | None = None,
    *,
    storage: str = "raw",
    side: int = 256,
    validation_share: float | None = None,
    workers: int | None = None,
    allowed_rejected: float = 0.01,
    accept_truncated: bool = False,
    download: bool = False,
) -> PreparedDataset:
    """Turn images into side x side pixels, with their mean image and colour PCA (sections 2 and 4.1).

    `source` is a folder of class folders, a tar file or the name of a set; `output` is prepared/NAME by
    default. `storage` is "raw" or "jpeg", `validation_share` what is held out where there is no split, a
    tenth by default; who gives it leaves out what looks like a split and cannot be read as one.
    What is prepared already is opened, and a stopped preparation goes on. Raises UsageError for a source
    that does not exist, DataError where more than the share `allowed_rejected` of it cannot be used.
    """
    from alexnet import prepared
    from alexnet.sources import open_source

    spec = str(source)
    found = open_source(spec, validation_share=validation_share, download=download)
    return prepared.prepare(
        found,
        Path(output) if output else prepared.home_of(found, side),
        storage=storage,
        side=side,
        workers=workers,
        allowed_rejected=allowed_rejected,
        accept_truncated=accept_truncated,
    )


def train(
    data: str | Path | PreparedDataset,
    *,
    recipe: str = "",
    epochs: float | None = None,
    batch: int | None = None,
    seed: int | None = None,
    init: Model = "",
    settings: Settings = (),
    name: str = "",
    device: str | None = None,
    precision: str = "",
    columns: int = 1,
    hybrid: bool = False,
    go_on: bool = False,
    download: bool = False,
) -> Run:
    """Train the network on `data`, a prepared set or what one is made from (sections 3 to 5).

    Returns the run, a folder `runs/NAME` that holds the model, the log and the metrics of every step.
    Without a `recipe` it is `paper` from 100,000 training images on, and `small` for fewer. `settings`
    are "optimizer.momentum=0.8" or a mapping of keys; `init` is a model whose weights it starts with.
    With `go_on`, a run of this name that was stopped goes on. Raises UsageError for what does not exist
    or fit, DataError for images that cannot be trained on, NumericsError where values are not finite,
    Stopped, after saving, on an interrupt.
    """
    from alexnet.evaluation import validation_errors
    from alexnet.models.find import require_model
    from alexnet.training.checks import require_name, require_startable
    from alexnet.training.placement import place
    from alexnet.training.plan import make_plan
    from alexnet.training.session import start

    folder = str(require_model(_named(init)).folder.resolve()) if init else ""
    asked = asked_for(_each(settings), epochs=epochs, batch=batch, seed=seed, init=folder)
    placement = place(device or _AUTO, precision, columns, hybrid)
    if name:
        require_name(name)
        require_startable(name, go_on)
    plan = make_plan(data_named(data), recipe, asked, download)
    return start(plan, validation_errors, placement, name, go_on)


def resume(
    run: str | Path | Run,
    *,
    epochs: float | None = None,
    data: str | Path | PreparedDataset | None = None,
    override: str | Iterable[str] = (),
    device: str | None = None,
    precision: str = "",
) -> Run:
    """Go on with a run that was stopped, to its end or to a new total of `epochs`; the run.

    `data` is where its images lie now, if they were moved. Device and precision are the run's own unless
    given. Raises IncompatibleError where its data or its configuration have changed and `override` does
    not name them, UsageError where it is at its end.
    """
    from alexnet.evaluation import validation_errors
    from alexnet.training import session

    found = run if isinstance(run, Run) else Run.open(run)
    session.resume(
        found,
        validation_errors,
        epochs=epochs,
        data=data_named(data) if data is not None else "",
        override=[override] if isinstance(override, str) else list(override),
        device=device or "",
        precision=precision,
    )
    return found


def evaluate(
    models: Model | Sequence[Model],
    data: str | Path | PreparedDataset,
    *,
    split: str = "",
    views: int | Iterable[int] = (1, 10),
    predictions: str | Path | None = None,
    device: str | None = None,
    precision: str = "",
) -> Evaluation:
    """Top-1 and top-5 errors of models, and of their average where there are several (section 4.1).

    Without a `split` it is validation, test or the one that there is; all images where `data` has no
    splits, or, where a model was trained on these, those that were held out. `views` are the numbers of
    views per image: 1 (the centre), 10. Predictions and tables are written to the models' evaluation
    folders, or to the folder `predictions`. Raises IncompatibleError where `data` has classes that a
    model has not, before its images are read.
    """
    from dataclasses import replace
    from functools import partial

    from alexnet.evaluation.evaluate import evaluate_models, require_known, side_of, training_sets
    from alexnet.models import find_model
    from alexnet.network.devices import choose_device
    from alexnet.network.precision import choose_precision
    from alexnet.prepared import open_labelled

    counts = view_counts(views)
    several = [models] if isinstance(models, str | Path | Run) else models
    device = choose_device(device or _AUTO)
    precision = choose_precision(precision, device, on_gpu="fp32")
    found = [find_model(_named(model)) for model in several]
    side, out = side_of(found), Path(predictions) if predictions else None
    dataset, chosen, notes = open_labelled(
        data_named(data), split, side, partial(require_known, found), training_sets(found)
    )
    evaluation = evaluate_models(found, dataset, chosen, counts, out, device, precision)
    return replace(evaluation, notes=(*notes, *evaluation.notes))


def load(model: Model, device: str | None = None) -> Classifier:
    """The classifier of a trained model: `predict`, `probabilities` and `features` of images.

    Raises UsageError with the nearest run names where there is no such model.
    """
    from alexnet.evaluation import classifier
    from alexnet.network.devices import choose_device

    return classifier.load(_named(model), choose_device(device or _AUTO))


def _named(model: Model) -> str | Path:
    return model.folder if isinstance(model, Run) else model


def data_named(data: str | Path | PreparedDataset) -> str:
    """Images as the command line names them: a prepared set by its folder.

    Raises UsageError for an empty name, which would stand for the current folder.
    """
    from alexnet.prepared import PreparedDataset

    name = str(data.folder if isinstance(data, PreparedDataset) else data)
    if not name.strip():
        raise UsageError(
            "The name of the data is empty.",
            remedy="Give a folder, a prepared set or a set's name; the current folder is called .",
        )
    return name


def view_counts(views: int | Iterable[int], where: str = "") -> list[int]:
    """The numbers of views, few first; raises UsageError for others than 1 and 10."""
    counts = {views} if isinstance(views, int) else set(views)
    if not counts or counts - {1, paper.VIEWS}:
        raise UsageError(
            f"Views are 1 (the centre) or {paper.VIEWS} (corners, centre, reflections).",
            where=where or f"views={views!r}",
            remedy=f"For example: {f'--views 1,{paper.VIEWS}' if where else f'views=[1, {paper.VIEWS}]'}",
        )
    return sorted(counts)


def _each(settings: Settings) -> list[str | Setting]:
    """Settings one by one, in whichever form they were given."""
    if isinstance(settings, str | Setting):
        return [settings]
    if isinstance(settings, Mapping):
        return [Setting(key, str(value), f"{key}={value}") for key, value in settings.items()]
    return list(settings)
