"""The verbs from Python, on built-in digits: they train, go on, evaluate and answer."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import alexnet
from alexnet import api
from alexnet.base.errors import DataError, IncompatibleError, UsageError
from alexnet.prepared import PreparedDataset
from alexnet.runs import Run

QUICK: dict[str, Any] = {
    "recipe": "figure1_relu",
    "batch": 32,
    "device": "cpu",
}  # a net of a second


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("place")


@pytest.fixture(autouse=True)
def inside(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)


@pytest.fixture(scope="module")
def digits(place: Path) -> PreparedDataset:
    return alexnet.prepare("builtin:digits", place / "digits", side=32)


@pytest.fixture(scope="module")
def run(place: Path, digits: PreparedDataset) -> Run:
    """Two epochs of digits, the second gone on with."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        alexnet.train(digits.folder, name="digits", epochs=1, **QUICK)
        return alexnet.resume("digits", epochs=2)


def test_the_package_hands_on_the_verbs() -> None:
    for name in ("train", "resume", "prepare", "evaluate", "load"):
        assert getattr(alexnet, name) is getattr(api, name)
        assert name in dir(alexnet)
    with pytest.raises(AttributeError, match="fly"):
        _ = alexnet.fly


def test_prepared_images_are_opened_the_second_time(digits: PreparedDataset) -> None:
    before = (digits.folder / "dataset.json").stat().st_mtime_ns
    again = alexnet.prepare("builtin:digits", digits.folder, side=32)
    assert again.fingerprint == digits.fingerprint
    assert (digits.folder / "dataset.json").stat().st_mtime_ns == before


def test_training_learns_and_its_run_says_so(run: Run) -> None:
    rows = [row for row in run.metrics() if row["kind"] == "epoch"]
    assert [row["epoch"] for row in rows] == [1, 2]
    assert rows[-1]["val_top1_error"] < 0.25, "chance is 0.9"
    assert run.config.optimizer.batch.count == 32
    with pytest.raises(UsageError, match="has had the training error at which it ends"):
        alexnet.resume(run)


def test_it_goes_on_only_where_it_is_asked_to(run: Run, digits: PreparedDataset) -> None:
    about = {**QUICK, "name": "digits", "epochs": 2}
    with pytest.raises(UsageError, match="never overwritten"):
        alexnet.train(digits.folder, **about)
    count = len(run.metrics())
    assert alexnet.train(digits.folder, go_on=True, **about).folder == run.folder
    assert len(run.metrics()) == count


def test_a_model_is_a_run_its_name_or_its_folder(run: Run, digits: PreparedDataset) -> None:
    pixels = [digits.split("val").pixels(n) for n in range(8)]
    answers = [
        alexnet.load(model).probabilities(pixels, views=1)
        for model in (run, "digits", run.model, str(run.model))
    ]
    for one in answers:
        np.testing.assert_array_equal(one, answers[0])
    with pytest.raises(UsageError, match="There is no model"):
        alexnet.load("digit")


def test_evaluation_is_that_of_training_and_of_an_average(
    run: Run, digits: PreparedDataset, place: Path
) -> None:
    (row,) = alexnet.evaluate(run, digits.folder, views=[1]).rows
    assert row.views == 1
    assert row.scores.top1_error == pytest.approx(run.metrics()[-1]["val_top1_error"])
    both = alexnet.evaluate([run, run.model], digits.folder, views=[1], predictions=place / "out")
    assert [one.scores for one in both.rows] == [row.scores] * 3, "the average with itself"
    assert (place / "out" / "average" / "1-view.arrow").is_file()
    with pytest.raises(IncompatibleError):
        alexnet.evaluate(run, "synthetic:8x2")


def test_a_run_starts_with_another_model(run: Run, digits: PreparedDataset) -> None:
    about = {**QUICK, "name": "second", "epochs": 0.1, "seed": 5}
    second = alexnet.train(digits.folder, init=run, settings=["checkpoint.keep=2"], **about)
    log = (second.folder / "log.txt").read_text()
    assert f"start   {run.model.resolve()}" in log
    assert (second.config.seed, second.config.checkpoint.keep) == (5, 2)
    first_loss = second.metrics()[0]["loss"]
    assert first_loss < run.metrics()[0]["loss"] / 2, "what it took over knows the digits"


def test_what_cannot_be_trained_on_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="set the same key"):
        alexnet.train("builtin:digits", epochs=3, settings=["length=4"])
    (tmp_path / "flat").mkdir()
    with pytest.raises(DataError):
        alexnet.train(tmp_path / "flat")


def test_a_prepared_set_is_what_lies_in_its_folder(run: Run, digits: PreparedDataset) -> None:
    """And the natural forms of arguments are understood: one number, one setting, a mapping, None."""
    about = {**QUICK, "epochs": 0.1, "device": None}
    one = alexnet.train(digits, name="one", settings="optimizer.momentum=0.5", **about)
    keys = {"optimizer.momentum": 0.5, "augmentation.reflections": False}
    two = alexnet.train(digits, name="two", settings=keys, **about)
    assert one.data == two.data == run.data
    assert one.config.optimizer.momentum == two.config.optimizer.momentum == 0.5
    assert two.config.augmentation.reflections is False
    (row,) = alexnet.evaluate(run, digits, views=1, device=None).rows
    assert row == alexnet.evaluate(run, digits.folder, views=(1,)).rows[0]
    assert alexnet.load(run, device=None).predict(digits.split("val").pixels(0))


def test_arguments_that_do_not_fit_are_refused_in_words(run: Run, digits: PreparedDataset) -> None:
    with pytest.raises(UsageError, match="Views are 1"):
        alexnet.evaluate(run, digits, views=[1, 5])
    with pytest.raises(UsageError, match=r"'optimizer\.momentun'"):
        alexnet.train(digits, settings={"optimizer.momentun": 0.5}, **QUICK)
    with pytest.raises(UsageError, match="KEY=VALUE"):
        alexnet.train(digits, settings="momentum", **QUICK)
    with pytest.raises(UsageError, match="--override 'date' is nothing"):
        alexnet.resume(run, override="date")
    with pytest.raises(UsageError, match="name of the data is empty"):
        alexnet.train("", **QUICK)


def test_training_needs_no_main_thread(run: Run, digits: PreparedDataset) -> None:
    """Where signals cannot be noted, what is learned is the same."""
    about = {**QUICK, "name": "beside", "epochs": 1}
    thread = threading.Thread(target=alexnet.train, args=[digits], kwargs=about)
    thread.start()
    thread.join()
    beside = Run.open("beside")
    assert (beside.model / "config.json").is_file()
    steps = [row["loss"] for row in beside.metrics() if row["kind"] == "step"]
    assert steps[0] == run.metrics()[0]["loss"]
