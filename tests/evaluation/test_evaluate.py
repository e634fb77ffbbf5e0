"""Models evaluated to the files that tables and reports read."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix

from alexnet.base.errors import IncompatibleError
from alexnet.base.files import read_json
from alexnet.evaluation.evaluate import (
    Evaluation,
    class_scores,
    evaluate_models,
    weakest,
)
from alexnet.evaluation.predictions import Predictions
from alexnet.models import ModelCard, save_model
from alexnet.models.found import FoundModel
from alexnet.network import AlexNet
from alexnet.prepared import PreparedDataset
from alexnet.verdict import interval


@pytest.fixture(scope="module")
def other_folder(card: ModelCard, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "two"
    save_model(folder, AlexNet(6, seed=2), card)
    return folder


@pytest.fixture(scope="module")
def evaluation(
    model_folder: Path,
    other_folder: Path,
    photo_set: PreparedDataset,
    tmp_path_factory: pytest.TempPathFactory,
) -> Evaluation:
    folder = tmp_path_factory.mktemp("out")
    models = [
        FoundModel(path, path.name, path / "evaluation") for path in (model_folder, other_folder)
    ]
    return evaluate_models(models, photo_set, "val", [1, 10], folder)


def test_each_model_alone_and_then_their_average(evaluation: Evaluation) -> None:
    assert [(row.model, row.views) for row in evaluation.rows] == [
        ("one", 1),
        ("one", 10),
        ("two", 1),
        ("two", 10),
        ("average of 2", 1),
        ("average of 2", 10),
    ]
    assert [folder.name for folder in evaluation.written] == ["1", "2", "average"]


def test_the_average_is_that_of_the_files(evaluation: Evaluation) -> None:
    one, two, both = (Predictions.load(folder / "10-views.arrow") for folder in evaluation.written)
    assert both.probs_NK == pytest.approx((one.probs_NK + two.probs_NK) / 2, abs=1e-7)
    assert (evaluation.predictions.probs_NK == both.probs_NK).all()
    wrong = both.probs_NK.argmax(axis=1) != both.labels_N
    assert evaluation.rows[-1].scores.top1_error == pytest.approx(wrong.mean())


def test_tables_agree_with_the_predictions(
    evaluation: Evaluation, photo_set: PreparedDataset
) -> None:
    folder = evaluation.written[0]
    found = Predictions.load(folder / "10-views.arrow")
    answers_N = found.probs_NK.argmax(axis=1)
    expected_KK = confusion_matrix(found.labels_N, answers_N, labels=np.arange(6))
    with open(folder / "confusion.csv", newline="") as file:
        heading, *rows = csv.reader(file)
    assert heading == ["class", *photo_set.classes]
    assert [row[0] for row in rows] == list(photo_set.classes)
    assert (np.array([row[1:] for row in rows], int) == expected_KK).all()
    with open(folder / "per_class.csv", newline="") as file:
        for k, row in enumerate(csv.DictReader(file)):
            assert int(row["images"]) == 2
            assert float(row["top1_error"]) == pytest.approx(1 - expected_KK[k, k] / 2)
            assert float(row["recall"]) == pytest.approx(expected_KK[k, k] / 2)
            named = expected_KK[:, k].sum()  # a cell is empty where nothing was named so
            assert row["precision"] == ("" if not named else str(expected_KK[k, k] / named))
    scores = read_json(folder / "scores.json")
    assert scores["views"]["10"]["top1_error"] == pytest.approx(
        (answers_N != found.labels_N).mean()
    )
    assert scores["provenance"]["dataset"]["fingerprint"] == photo_set.fingerprint
    wrong = int((answers_N != found.labels_N).sum())
    assert f"{wrong} of 12 wrong" in scores["verdict"]
    assert scores["top1_intervals"]["10"] == pytest.approx(list(interval(wrong, 12)))


def test_files_go_beside_the_model_when_nothing_else_is_said(
    model_folder: Path, photo_set: PreparedDataset
) -> None:
    found = FoundModel(model_folder, "one", model_folder / "evaluation")
    evaluation = evaluate_models([found], photo_set, "val", [1])
    (folder,) = evaluation.written
    assert folder.parent == model_folder / "evaluation"
    assert folder.name == f"photos-{photo_set.fingerprint[:8]}-val"
    assert sorted(os.listdir(folder)) == [
        "1-view.arrow",
        "confusion.csv",
        "per_class.csv",
        "scores.json",
    ]


def test_models_of_other_classes_are_found_before_the_first_is_evaluated(
    model_folder: Path, photo_set: PreparedDataset, card: ModelCard, tmp_path: Path
) -> None:
    titles = ("cat", "dog")
    save_model(tmp_path / "other", AlexNet(2), ModelCard(titles, titles, card.statistics))
    models = [
        FoundModel(path, path.name, path / "e") for path in (model_folder, tmp_path / "other")
    ]
    with pytest.raises(IncompatibleError, match="2 classes"):
        evaluate_models(models, photo_set, "val", [1], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_weakest_classes_come_worst_first_and_name_the_confusion() -> None:
    labels_N = np.array([0, 0, 1, 1, 1, 2, 2])
    answers_N = np.array([0, 0, 2, 2, 0, 2, 1])
    found = Predictions(
        keys=tuple("abcdefg"),
        labels_N=labels_N,
        probs_NK=np.eye(4, dtype=np.float32)[answers_N],
        classes=("n1", "n2", "n3", "n4"),
        titles=("cat", "cup", "moon", "never seen"),
        provenance={},
    )
    assert [one.title for one in weakest(found)] == ["cup", "moon"]
    cat, cup, moon, never = class_scores(found)
    assert (cat.top1_error, cat.taken_for, cat.times) == (0, "", 0)
    assert (cup.top1_error, cup.taken_for, cup.times) == (1, "moon", 2)
    assert (moon.top1_error, moon.taken_for, moon.images) == (0.5, "cup", 2)
    assert never.images == never.wrong == 0
    assert np.isnan([never.top1_error, never.precision, never.recall]).all()
    assert (cat.precision, cat.recall) == (pytest.approx(2 / 3), 1)
    assert (cat.top5_error, cup.wrong) == (None, 3), "with four classes there is no top-5 error"
