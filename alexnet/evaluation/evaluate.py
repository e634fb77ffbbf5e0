"""Models on a split: prediction files, error rates, per-class and confusion tables.

An evaluation's folder is evaluation/DATASET-FINGERPRINT-SPLIT/ in the run or the model folder:

    1-view.arrow  10-views.arrow  scores.json  per_class.csv  confusion.csv

Shape letters: N images, K classes.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from alexnet.base import ranks
from alexnet.base.errors import IncompatibleError, UsageError
from alexnet.base.files import write_atomically, write_json
from alexnet.evaluation.ensemble import average
from alexnet.evaluation.predictions import Predictions, columns_of, matching_columns, predict_split
from alexnet.evaluation.results import results_of
from alexnet.evaluation.scores import (
    Scores,
    chance,
    confusion,
    per_class_errors,
    retrieved,
    score,
    tally,
)
from alexnet.models.folder import convention_of, write_results
from alexnet.models.found import FoundModel
from alexnet.network import keep_memory
from alexnet.network.memory import memory_for
from alexnet.network.precision import dtype_of, set_products
from alexnet.prepared import PreparedDataset
from alexnet.prepared.pixels import SIZE
from alexnet.verdict import has_top5, interval, sentence


class ModelScores(NamedTuple):
    """The errors of one model, or of the average of all, from a number of views per image."""

    model: str
    views: int
    scores: Scores


@dataclass(frozen=True)
class Evaluation:
    """The rows to show, and the predictions behind the last of them; `written` are the folders.

    `notes` are sentences on what of the data was evaluated.
    """

    rows: tuple[ModelScores, ...]
    predictions: Predictions
    written: tuple[Path, ...]
    split: str = ""
    notes: tuple[str, ...] = ()

    @property
    def images_are_of(self) -> int:
        """How many of the model's classes the images are of."""
        return len(np.unique(self.predictions.labels_N))

    @property
    def chance(self) -> Scores:
        """The errors of chance: of an order of the classes drawn at random."""
        return chance(len(self.predictions.classes))

    @property
    def verdict(self) -> str:
        """What the predictions say: the error with its interval, and whether it is better than chance."""
        return _verdict(self.predictions)


class ClassScore(NamedTuple):
    """One class: its images, its errors, and the class it was most often taken for, if any.

    Shares are NaN where there is nothing to divide by, as the precision of a class that was never named;
    with five classes or fewer there is no top-5 error.
    """

    name: str
    title: str
    images: int
    top1_error: float
    top5_error: float | None
    precision: float
    recall: float
    f1: float
    taken_for: str
    times: int

    @property
    def wrong(self) -> int:
        """How many of its images were taken for another class."""
        return round(self.images * self.top1_error) if self.images else 0


def evaluate_models(
    models: Sequence[FoundModel],
    dataset: PreparedDataset,
    split: str,
    views: Sequence[int],
    out: Path | None = None,
    device: str = "cpu",
    precision: str = "fp32",
) -> Evaluation:
    """Evaluate each model and, of several, their average, and write what is found.

    Each model's files go to its own evaluation folder, or all to `out` (several: out/1, out/2 ...
    and out/average). Raises IncompatibleError where a model has not all of the dataset's classes.
    """
    if not models:
        raise UsageError("There is no model to evaluate.")
    require_known(models, dataset.classes)  # before any of them is evaluated
    keep_memory()
    set_products(precision)
    name = f"{dataset.folder.resolve().name}-{dataset.fingerprint[:8]}-{split}"
    rows: list[ModelScores] = []
    written: list[Path] = []
    by_views: dict[int, list[Predictions]] = {count: [] for count in views}
    for number, model in enumerate(models, start=1):
        with memory_for(
            "this evaluation", "Let other programs end that use it, or try --device cpu."
        ):
            found = _predict(model, dataset, split, views, device, precision)
        for count, predictions in found.items():
            by_views[count].append(predictions)
        rows += [ModelScores(model.name, count, _scores(found[count])) for count in views]
        alone = out if len(models) == 1 else out and out / str(number)
        written.append(alone or model.evaluation / name)
        if ranks.is_rank_0():
            write_evaluation(written[-1], found)
            if alone is None:
                write_results(model.folder, results_of(model))
    if len(models) > 1:
        found = {count: average(members) for count, members in by_views.items()}
        title = f"average of {len(models)}"
        rows += [ModelScores(title, count, _scores(found[count])) for count in views]
        if out:
            written.append(out / "average")
            if ranks.is_rank_0():
                write_evaluation(written[-1], found)
    return Evaluation(tuple(rows), found[max(views)], tuple(written), split)


def require_known(models: Sequence[FoundModel], classes: Sequence[str]) -> None:
    """Raise IncompatibleError unless every model has all these classes, and several have the same ones.

    It needs no images.
    """
    known = [tuple(model.config()["classes"]) for model in models]
    for model, names in zip(models, known, strict=True):
        columns_of(names, classes)
        matching_columns(names, known[0], (model.name, models[0].name))


def training_sets(models: Sequence[FoundModel]) -> list[str]:
    """The fingerprints of the prepared sets that models were trained on, as far as they say it."""
    said = [model.config().get("provenance", {}) for model in models]
    return [str(one["dataset_fingerprint"]) for one in said if "dataset_fingerprint" in one]


def side_of(models: Sequence[FoundModel]) -> int:
    """The side of the images that the models' networks read; raises IncompatibleError for several."""
    sides = {convention_of(model.config()).side: model.name for model in models}
    if len(sides) > 1:
        raise IncompatibleError(
            "The models read images of different sizes.",
            where="; ".join(f"{name}: {side} pixels" for side, name in sides.items()),
            remedy="Evaluate them one at a time.",
        )
    return next(iter(sides), SIZE)


def write_evaluation(folder: Path, found: dict[int, Predictions]) -> None:
    """Write one folder: predictions by number of views; the tables are of the most views."""
    for count, predictions in found.items():
        predictions.save(predictions_file(folder, count))
    best = found[max(found)]
    table = [as_numbers(one) for one in class_scores(best)]
    write_atomically(
        folder / "per_class.csv", _csv([ClassScore._fields, *(row.values() for row in table)])
    )
    counts_KK = confusion(best.probs_NK, best.labels_N)
    lines = [[name, *row] for name, row in zip(best.classes, counts_KK.tolist(), strict=True)]
    write_atomically(folder / "confusion.csv", _csv([["class", *best.classes], *lines]))
    summary: dict[str, Any] = {
        "images": len(best.keys),
        "classes": len(best.classes),
        "chance": chance(len(best.classes))._asdict(),
        "views": {str(count): _scores(one)._asdict() for count, one in found.items()},
        "top1_intervals": {
            str(count): interval(tally(one.probs_NK, one.labels_N).wrong, len(one.keys))
            for count, one in found.items()
        },
        "verdict": _verdict(best),
        "provenance": dict(best.provenance),
    }
    write_json(folder / "scores.json", summary)


def predictions_file(folder: Path, views: int) -> Path:
    """Where an evaluation's folder keeps the predictions from so many views."""
    return folder / ("1-view.arrow" if views == 1 else f"{views}-views.arrow")


def class_scores(predictions: Predictions) -> list[ClassScore]:
    """Every class in order; those without images have errors of NaN."""
    probs_NK, labels_N = predictions.probs_NK, predictions.labels_N
    top1_K, top5_K = per_class_errors(probs_NK, labels_N)
    counts_KK = confusion(probs_NK, labels_N)
    images_K = counts_KK.sum(axis=1)
    mistakes_KK = counts_KK - np.diag(np.diag(counts_KK))
    wrong_K = mistakes_KK.argmax(axis=1)
    times_K = mistakes_KK.max(axis=1)
    precision_K, recall_K, f1_K = retrieved(counts_KK)
    return [
        ClassScore(
            name,
            predictions.titles[k],
            int(images_K[k]),
            float(top1_K[k]),
            float(top5_K[k]) if has_top5(len(counts_KK)) else None,
            float(precision_K[k]),
            float(recall_K[k]),
            float(f1_K[k]),
            predictions.titles[wrong_K[k]] if times_K[k] else "",
            int(times_K[k]),
        )
        for k, name in enumerate(predictions.classes)
    ]


def as_numbers(one: ClassScore) -> dict[str, Any]:
    """A class for a table or JSON: None (an empty cell) stands where there is no number."""
    return {
        key: None if isinstance(value, float) and math.isnan(value) else value
        for key, value in one._asdict().items()
    }


def weakest(predictions: Predictions, most: int = 5) -> list[ClassScore]:
    """The classes with the highest top-1 error above zero, worst first."""
    wrong = [one for one in class_scores(predictions) if one.images and one.top1_error > 0]
    return sorted(wrong, key=lambda one: -one.top1_error)[:most]


def _predict(
    model: FoundModel,
    dataset: PreparedDataset,
    split: str,
    views: Sequence[int],
    device: str,
    precision: str,
) -> dict[int, Predictions]:
    network, card = model.load()
    network.to(device, dtype_of(precision))
    config = model.config()
    made_by = {
        "name": model.name,
        "weights_sha256": config["weights_sha256"],
        "precision": precision,
    }
    return {count: predict_split(network, card, dataset, split, count, made_by) for count in views}


def _verdict(predictions: Predictions) -> str:
    return sentence(tally(predictions.probs_NK, predictions.labels_N), predictions.titles)


def _scores(predictions: Predictions) -> Scores:
    return score(predictions.probs_NK, predictions.labels_N)


def _csv(rows: Iterable[Iterable[object]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode("utf-8", "surrogateescape")
