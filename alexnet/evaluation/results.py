"""What a model reached, from the files that its evaluations left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from alexnet.base.errors import DataError
from alexnet.base.files import read_json
from alexnet.models.card import ModelResult
from alexnet.models.found import FoundModel


def results_of(model: FoundModel) -> list[ModelResult]:
    """The errors of these very weights, by data and number of views.

    Evaluations of other weights in the same place are left out. Raises DataError that names a
    damaged `scores.json`.
    """
    weights = model.config()["weights_sha256"]
    found = []
    for path in sorted(model.evaluation.glob("*/scores.json")):
        scores = read_json(path)
        try:
            if scores["provenance"]["model"]["weights_sha256"] == weights:
                found += _results(scores)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"Not the scores of an evaluation: {error!r}.",
                where=path,
                remedy="Evaluate again with: alexnet evaluate MODEL DATA",
            ) from None
    return found


def _results(scores: Any) -> list[ModelResult]:
    about = scores["provenance"]
    data = about["dataset"]
    return [
        ModelResult(
            dataset=Path(data["folder"]).name,
            fingerprint=str(data["fingerprint"]),
            split=str(about["split"]),
            images=int(scores["images"]),
            views=int(views),
            top1_error=float(errors["top1_error"]),
            top5_error=None if (top5 := errors["top5_error"]) is None else float(top5),
        )
        for views, errors in sorted(scores["views"].items(), key=lambda item: int(item[0]))
    ]
