"""The verbs that several processes share, started by `torchrun`, against one process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import forking
import pytest
from folders import contents
from launch import finish, torchrun

from alexnet.prepared import PreparedDataset

THREADS = {"OMP_NUM_THREADS": "2"}  # as in one process: other sums would be rounded elsewhere


def alone(*arguments: str, cwd: Path) -> str:
    command = [sys.executable, "-m", "alexnet", *arguments]
    environment = os.environ | THREADS
    return forking.run(
        command, cwd=cwd, env=environment, text=True, stdout=subprocess.PIPE, check=True
    ).stdout


def together(processes: int, *arguments: str, cwd: Path) -> str:
    return finish(torchrun(processes, "-m", "alexnet", *arguments, cwd=cwd, **THREADS))


def test_a_set_prepared_by_two_is_that_of_one(photo_folder: Path, tmp_path: Path) -> None:
    (photo_folder / "train" / "cat" / "broken.jpg").write_bytes(b"no image")
    try:
        prepare = ("data", "prepare", str(photo_folder), "--allowed-rejected", "0.1")
        shown = alone(*prepare, "-o", "one", cwd=tmp_path)
        said = together(2, *prepare, "-o", "two", cwd=tmp_path)
        assert contents(tmp_path / "one") == contents(tmp_path / "two")
        assert shown.replace("one", "two") in said
        assert not (tmp_path / "two.unfinished").exists()
    finally:
        (photo_folder / "train" / "cat" / "broken.jpg").unlink()


def test_evaluation_and_predictions_of_two_are_those_of_one(
    model: str, photo_set: PreparedDataset, photo_folder: Path, tmp_path: Path
) -> None:
    evaluate = ("evaluate", model, str(photo_set.folder), "--views", "10")  # two batches
    alone(*evaluate, "--predictions", "one", cwd=tmp_path)
    together(2, *evaluate, "--predictions", "two", cwd=tmp_path)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    predict = ("predict", model, str(photo_folder / "val"), "--views", "1")
    assert alone(*predict, cwd=tmp_path) in together(2, *predict, cwd=tmp_path)


@pytest.mark.slow
def test_activations_of_two_are_those_of_one(
    model: str, photo_folder: Path, tmp_path: Path
) -> None:
    (photo_folder / "train" / "cat" / "broken.jpg").write_bytes(b"no image")
    features = ("features", model, str(photo_folder), "--layer", "conv3.pre,fc7", "--views", "10")
    try:
        for ending in ("npy", "h5"):  # 36 images, eight at once: five batches
            shown = alone(*features, "-o", f"one/f.{ending}", cwd=tmp_path)
            said = together(2, *features, "-o", f"two/f.{ending}", cwd=tmp_path)
            assert contents(tmp_path / "one") == contents(tmp_path / "two")
            assert shown.replace("one/", "two/") in said
            assert said.count("skipped train/cat/broken.jpg") == 1
    finally:
        (photo_folder / "train" / "cat" / "broken.jpg").unlink()


def test_processes_that_disagree_are_told_before_the_first_step(
    photo_set: PreparedDataset, tmp_path: Path
) -> None:
    line = f'{sys.executable} -m alexnet train {photo_set.folder} --recipe small --set seed="$RANK"'
    process = torchrun(
        2, "--no-python", "bash", "-c", line, cwd=tmp_path, popen=subprocess.Popen
    )  # started, not forked: as a user has it
    said, _ = process.communicate(timeout=200)
    assert process.returncode != 0
    assert said.count("do not agree on seed: process 0 has 0, process 1 has 1") == 1


def test_what_is_not_shared_one_process_does(tmp_path: Path) -> None:
    assert together(2, "summary", cwd=tmp_path).count("60,965,224") == 1
    process = torchrun(2, "-m", "alexnet", "train", "nothing", cwd=tmp_path)
    said, _ = process.communicate(timeout=200)
    assert said.count("nothing is no folder, file or named set") == 1 and process.returncode != 0


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("layout", ["--columns=1", "--columns=2", "--hybrid"])
def test_the_full_network_trains_as_one_process(
    photo_set: PreparedDataset, tmp_path: Path, layout: str
) -> None:
    import json

    settings = ("optimizer.batch=8", "length=0.5", "schedule.warmup=0.1")
    train = ["train", str(photo_set.folder), "--recipe", "small"]
    for one in settings:
        train += ["--set", one]
    alone(*train, "--name", "one", cwd=tmp_path)
    together(2, *train, "--name", "two", layout, cwd=tmp_path)
    if layout == "--columns=2":
        alone(*train, "--name", "three", layout, cwd=tmp_path)
    rows = {
        name: [json.loads(line) for line in (tmp_path / "runs" / name / "metrics.jsonl").open()]
        for name in os.listdir(tmp_path / "runs")
    }
    for found in rows.values():
        for row, expected in zip(found, rows["one"], strict=True):
            assert row["kind"] == expected["kind"] and row["step"] == expected["step"]
            for name in row.keys() & {"loss", "train_loss", "val_loss"}:
                assert row[name] == pytest.approx(expected[name], rel=2e-3), (name, row)
