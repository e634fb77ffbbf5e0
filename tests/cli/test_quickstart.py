"""What the quickstart says at its end."""

from __future__ import annotations

from pathlib import Path

import pytest

from alexnet import api
from alexnet.cli import evaluate, train
from alexnet.cli.main import run
from alexnet.evaluation import Classifier
from alexnet.evaluation.classifier import Prediction
from alexnet.runs import Run
from alexnet.sources.photos import PHOTOGRAPHS


def test_the_quickstart_counts_all_photographs_not_those_it_shows(
    model: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a network that takes all but every fourth for a cat, and was trained elsewhere."""
    said = [name if n % 4 == 0 else "cat" for n, name in enumerate(PHOTOGRAPHS)]

    def answers(self: Classifier, images: list[str], top: int) -> list[list[Prediction]]:
        assert len(images) == 20 and top == 1
        return [[Prediction(title, title, 1.0)] for title in said]

    monkeypatch.setattr(api, "train", lambda *typed, **more: Run(Path(model)))
    monkeypatch.setattr(train, "data_of", lambda run: "data")
    monkeypatch.setattr(evaluate, "evaluate", lambda *typed: None)
    monkeypatch.setattr(evaluate, "report", lambda *typed: None)
    monkeypatch.setattr(Classifier, "predict", answers)
    assert run(["quickstart"]) == 0
    out = capsys.readouterr().out
    right = sum(title == name for title, name in zip(said, PHOTOGRAPHS, strict=True))
    assert f"Of the 20 whole photographs, of which the network has seen parts, {right} are" in out
    assert "; not so brick wall (cat), cameraman (cat)" in out
