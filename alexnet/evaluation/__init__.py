"""Stage 6: one and ten views, prediction files, error rates, averages of models, the classifier.

A name brings only the modules it needs: a classifier of single images needs no Arrow.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from alexnet.evaluation.classifier import Classifier as Classifier
    from alexnet.evaluation.classifier import Prediction as Prediction
    from alexnet.evaluation.classifier import load as load
    from alexnet.evaluation.ensemble import average as average
    from alexnet.evaluation.evaluate import Evaluation as Evaluation
    from alexnet.evaluation.evaluate import evaluate_models as evaluate_models
    from alexnet.evaluation.predictions import Predictions as Predictions
    from alexnet.evaluation.predictions import predict_split as predict_split
    from alexnet.evaluation.predictions import validation_errors as validation_errors
    from alexnet.evaluation.scores import Scores as Scores

_HOMES = {
    **dict.fromkeys(("Classifier", "Prediction", "load"), "classifier"),
    "average": "ensemble",
    **dict.fromkeys(("Evaluation", "evaluate_models"), "evaluate"),
    **dict.fromkeys(("Predictions", "predict_split", "validation_errors"), "predictions"),
    "Scores": "scores",
}
__all__ = [*_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
