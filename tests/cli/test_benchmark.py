"""`alexnet benchmark VERB` from the command line, as small as it goes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from alexnet.benchmark.result import Record
from alexnet.cli import main


def run(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    assert main.run(["benchmark", *words, "--rounds", "1", "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_train_prints_a_table_and_saves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "train.json"
    words = ["--against", "pytorch", "--batch", "1", "--rounds", "2", "--save", str(path)]
    assert main.run(["benchmark", "train", *words]) == 0
    out = capsys.readouterr().out
    assert "training, batch 1" in out and "PyTorch" in out and "float32 matrix products" in out
    (part,) = Record.load(path).parts
    assert [row.name for row in part.rows] == ["alexnet", "pytorch"]
    assert all(len(row.seconds) == 2 and row.peak_gib > 0.2 for row in part.rows)
    assert part.ceiling and part.ceiling.fastest > 0


@pytest.mark.slow
def test_infer(capsys: pytest.CaptureFixture[str]) -> None:
    (part,) = run(capsys, "infer", "--against", "", "--batch", "1")["parts"]
    assert part["rows"][0]["figures"]["images_per_second"] > 0 and part["ceiling"]["seconds"]


@pytest.mark.slow
def test_lrn(capsys: pytest.CaptureFixture[str]) -> None:
    parts = run(capsys, "lrn", "--against", "", "--batch", "1")["parts"]
    assert ["conv1" in parts[0]["title"], "conv2" in parts[1]["title"]] == [True, True]


@pytest.mark.slow
def test_data(capsys: pytest.CaptureFixture[str]) -> None:
    raw, jpeg = run(capsys, "data", "--batch", "2", "--images", "6")["parts"]
    assert [row["name"] for row in raw["rows"]] == ["alexnet", "pillow"]
    assert raw["ceiling"] is None and jpeg["ceiling"]["images"] == 6


def test_prepare_of_your_own(photo_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["prepare", "--source", str(photo_folder), "--images", "5"]
    (whole,) = run(capsys, *words)["parts"]
    assert [row["images"] for row in whole["rows"]] == [5, 5]


@pytest.mark.slow
def test_prepare_of_made_images(capsys: pytest.CaptureFixture[str]) -> None:
    *sizes, whole = run(capsys, "prepare", "--images", "10")["parts"]
    assert [part["rows"][0]["images"] for part in sizes] == [8, 1, 1]
    assert whole["rows"][0]["images"] == 10


def test_an_unknown_peer(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["benchmark", "infer", "--against", "pytroch"]) == 2
    assert "Did you mean 'pytorch'?" in capsys.readouterr().err
