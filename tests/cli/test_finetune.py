"""Training that starts with another model, with the small nets of CIFAR-10."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from alexnet.cli.main import run

NET = [
    *("--recipe", "cifar18", "--set", "optimizer.batch=8", "--set", "length=2"),
    *("--set", "network.start.rule=he", "--set", "checkpoint.every=2"),
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one finished run, `runs/first`, of two classes."""
    folder = tmp_path_factory.mktemp("place")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert run(["train", "synthetic:32x2", *NET, "--name", "first"]) == 0
    return folder


@pytest.fixture(autouse=True)
def inside(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)


def weights(name: str) -> dict[str, np.ndarray]:
    return load_file(Path("runs") / name / "model" / "model.safetensors")


def test_other_classes_start_anew_and_frozen_layers_stay(
    capsys: pytest.CaptureFixture[str],
) -> None:
    command = ["train", "synthetic:48x3", *NET, "--init", "first", "--name", "second"]
    assert run([*command, "--set", "optimizer.freeze=conv1-conv2"]) == 0
    log = Path("runs/second/log.txt").read_text()
    assert "taken over: conv1, conv2, conv3" in log
    assert "starts anew: fc4 (other classes, 3 instead of 2)" in log
    before, after = weights("first"), weights("second")
    for name in ("conv1.weight", "conv2.bias"):
        np.testing.assert_array_equal(after[name], before[name])
    assert (after["conv3.weight"] != before["conv3.weight"]).any()
    assert after["fc4.weight"].shape == (3, 1024)
    config = Path("runs/second/config.yaml").read_text()
    assert "first/model" in config and "freeze: conv1-conv2" in config


def test_the_run_goes_on_without_the_model_it_started_with(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["train", "synthetic:32x2", *NET, "--init", "first", "--name"]
    assert run([*command, "third"]) == 0
    model = place / "runs" / "first" / "model"
    model.rename(place / "elsewhere")
    try:
        assert run(["resume", "third", "--epochs", "3"]) == 0
    finally:
        (place / "elsewhere").rename(model)
    epochs = [json.loads(row) for row in (place / "runs/third/metrics.jsonl").open()]
    assert epochs[-1]["epoch"] == 3


def test_a_run_lost_before_its_first_checkpoint_starts_with_the_model_again(place: Path) -> None:
    assert run(["train", "synthetic:32x2", *NET, "--init", "first", "--name", "fourth"]) == 0
    whole, folder = weights("fourth"), place / "runs" / "fourth"
    shutil.rmtree(folder / "checkpoints")
    (folder / "metrics.jsonl").unlink()
    assert run(["resume", "fourth"]) == 0
    for name, w in weights("fourth").items():
        np.testing.assert_array_equal(w, whole[name])


def test_images_of_another_size_are_refused_override_or_not(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, other = place / "prepared" / "synthetic-32x2-32", place / "moved"
    data.rename(other)
    try:
        command = ["data", "prepare", "synthetic:32x2", "--side", "256", "-o", str(data)]
        assert run(command) == 0
        capsys.readouterr()
        assert run(["resume", "first", "--epochs", "4", "--override", "data"]) == 6
    finally:
        shutil.rmtree(data, ignore_errors=True)
        other.rename(data)
    assert "256 pixels a side, the network's have 32" in capsys.readouterr().err


def test_a_net_of_another_kind_is_refused_before_anything_is_written(
    capsys: pytest.CaptureFixture[str],
) -> None:
    other = ["train", "synthetic:32x2", "--recipe", "cifar13", "--init", "first", "--name", "no"]
    assert run(other) == 6
    assert "No layer of 'cifar18' fits 'cifar13'" in capsys.readouterr().err
    assert run(["train", "synthetic:32x2", *NET, "--init", "frist"]) == 2
    assert "Did you mean 'first'" in capsys.readouterr().err
    assert not Path("runs/no").exists()


def test_the_verbs_take_images_of_the_networks_own_size(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["evaluate", "first", "synthetic:32x2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["views"] for row in found["results"]] == [1, 10]
    assert Path("prepared/synthetic-32x2-32/dataset.json").is_file()
    assert run(["summary", "first", "--compare", "cifar18"]) == 0
    assert "fc4 kernels    2 " in capsys.readouterr().out
