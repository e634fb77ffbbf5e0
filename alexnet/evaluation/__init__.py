"""Stage 6: one and ten views, prediction files, error rates, averages of models, the classifier."""

from alexnet.evaluation.classifier import Classifier, Prediction, load
from alexnet.evaluation.ensemble import average
from alexnet.evaluation.evaluate import Evaluation, evaluate_models
from alexnet.evaluation.predictions import Predictions, predict_split, validation_errors
from alexnet.evaluation.scores import Scores

__all__ = [
    "Classifier",
    "Evaluation",
    "Prediction",
    "Predictions",
    "Scores",
    "average",
    "evaluate_models",
    "load",
    "predict_split",
    "validation_errors",
]
