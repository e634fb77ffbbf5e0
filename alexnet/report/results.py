"""What a report says of a run's errors: of its model's evaluation, with what the numbers are worth."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alexnet import paper
from alexnet.base.errors import UsageError
from alexnet.base.files import read_json
from alexnet.evaluation.evaluate import class_scores, predictions_file
from alexnet.evaluation.predictions import Predictions
from alexnet.evaluation.scores import chance, tally
from alexnet.models.find import find_model
from alexnet.models.found import FoundModel
from alexnet.runs import Run
from alexnet.verdict import FEW, interval, judged

_MOST_CLASSES = 20  # have a row each; of more, the worst
_WORST = 8


@dataclass(frozen=True)
class Evaluated:
    """An evaluation folder of the run's own model and data."""

    folder: Path
    scores: dict[str, Any]
    predictions: Predictions


def model_of(run: Run) -> FoundModel | None:
    """The run's weights, if it has any yet."""
    try:
        return find_model(run.folder)
    except UsageError:
        return None


def evaluation_of(run: Run, model: FoundModel) -> Evaluated | None:
    """The evaluation of these weights on these data, of the validation split if there is one."""
    weights, data = model.config()["weights_sha256"], run.data["fingerprint"]
    fitting = []
    for path in sorted(model.evaluation.glob("*/scores.json")):
        scores = read_json(path)
        made_by = scores["provenance"]
        if made_by["model"]["weights_sha256"] == weights and (
            made_by["dataset"]["fingerprint"] == data
        ):
            fitting.append((made_by["split"] == "val", path.parent, scores))
    if not fitting:
        return None
    _, folder, scores = max(fitting, key=lambda one: one[0])
    most = max(int(views) for views in scores["views"])
    return Evaluated(folder, scores, Predictions.load(predictions_file(folder, most)))


def results_of(evaluated: Evaluated | None) -> dict[str, Any] | None:
    """The errors, each with what it is of; of few images as counts, and not beside the paper's."""
    if evaluated is None:
        return None
    scores, found = evaluated.scores, evaluated.predictions
    images, is_few = scores["images"], scores["images"] < FEW
    rows = []
    for views, errors in sorted(scores["views"].items(), key=lambda item: -int(item[0])):
        wrong = round(errors["top1_error"] * images)
        places = 0 if is_few else 1
        ends = [f"{100 * end:.{places}f}" for end in interval(wrong, images)]
        shown = f"{wrong} of {images} wrong" if is_few else percent(errors["top1_error"])
        rows.append({"views": int(views), **errors, "shown": shown, "interval": "–".join(ends)})
    change = None
    if [row["views"] for row in rows] == [paper.VIEWS, 1] and not is_few:
        change = 100 * (rows[0]["top1_error"] - rows[1]["top1_error"])
    return {
        "split": scores["provenance"]["split"],
        "images": images,
        "is_few": is_few,
        "classes": scores["classes"],
        "chance": chance(scores["classes"]),
        "verdict": judged(tally(found.probs_NK, found.labels_N), found.titles),
        "views": rows,
        "change": change,
    }


def classes_of(evaluated: Evaluated | None) -> dict[str, Any] | None:
    """The classes with images, highest error first: all, or the worst where there are many."""
    if evaluated is None:
        return None
    rows = [row for row in class_scores(evaluated.predictions) if row.images]
    rows.sort(key=lambda row: -row.top1_error)
    return {"rows": rows[: len(rows) if len(rows) <= _MOST_CLASSES else _WORST], "of": len(rows)}


def percent(share: float) -> str:
    """A share as people read it; a dash where there is none (NaN)."""
    return "–" if math.isnan(share) else f"{100 * share:.1f} %"
