"""Making cells for real: what is in them, what is never made twice, what a kill leaves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from forking import PATHS, Forked

from alexnet import runs
from alexnet.base.errors import DataError, EnvironmentProblem
from alexnet.evaluation.predictions import predict_split
from alexnet.evaluation.scores import score
from alexnet.models import load_model
from alexnet.reproduce import sweep as sweeping
from alexnet.reproduce.cells import Cell, load_cells
from alexnet.reproduce.experiments import Study
from alexnet.reproduce.sweep import Sweep
from alexnet.runs import Run
from alexnet.training.placement import Placement


@pytest.fixture
def sweep(study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sweep:
    monkeypatch.chdir(tmp_path)
    return Sweep(study, Placement())


def without_made(path: Path) -> dict[str, Any]:
    """A cell's file but for when it was made, and how fast."""
    stored = json.loads(path.read_text())
    return {name: value for name, value in stored.items() if name not in ("made", "sha256")}


def test_a_cell_holds_what_its_model_comes_to(sweep: Sweep) -> None:
    arm = replace(sweep.study.arms["cifar"], keeps_kernels=True)
    needed = replace(sweep.study.arms["tuned"])  # so that the model stays
    assert needed.start == "cifar"
    cell = sweep.make(arm, 3)
    run = Run(runs.RUNS / "experiments" / cell.address.name)
    network, card = load_model(run.model)
    dataset = sweep.dataset(arm)
    for views in (1, 10):
        found = predict_split(network, card, dataset, "test", views)
        right_N = found.probs_NK.argmax(axis=1) == found.labels_N
        np.testing.assert_array_equal(cell.right_N(views), right_N)
        errors = cell.errors[str(views)]
        assert errors["top1_error"] == pytest.approx(1 - right_N.mean(), abs=1e-6)
        assert errors.get("top5_error") == score(found.probs_NK, found.labels_N).top5_error
        own_N = found.probs_NK[np.arange(len(right_N)), found.labels_N]
        assert errors["loss"] == pytest.approx(-np.log(own_N).mean(), rel=1e-4)
    epochs = [row for row in run.metrics() if row["kind"] == "epoch"]
    assert cell.curve["epoch"] == [1, 2]
    assert cell.curve["train_loss"] == pytest.approx(
        [row["train_loss"] for row in epochs], rel=1e-5
    )
    kernels = network.conv1.weight.detach().numpy()
    np.testing.assert_allclose(cell.array("conv1"), kernels, rtol=1e-3, atol=1e-4)
    assert cell.measures["deviation"] == pytest.approx(kernels.std(), abs=1e-6)
    assert not run.checkpoints.exists()
    assert Cell.load(cell.address.path()) == cell


def test_a_cell_is_made_once(sweep: Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    arm = sweep.study.arms["cifar-pool-2"]
    cell = sweep.make(arm, 0)
    monkeypatch.setattr(sweeping, "start", lambda *_, **__: pytest.fail("it is trained again"))
    assert sweep.make(arm, 0) == cell
    with pytest.raises(pytest.fail.Exception):
        sweep.make(arm, 1)


def test_a_cell_that_is_taken_away_is_made_anew(sweep: Sweep) -> None:
    arm = sweep.study.arms["cifar-pool-2"]
    path = sweep.make(arm, 0).address.path()
    before = without_made(path)
    path.unlink()
    assert sweep.make(arm, 0).address.path() == path and without_made(path) == before


def test_an_average_is_that_of_its_members_and_brings_back_what_is_gone(sweep: Sweep) -> None:
    first = sweep.make(sweep.study.arms["cifar-two"], 1)
    members = [cell for cell in load_cells()[0] if cell.arm == "cifar"]
    assert [cell.seed for cell in members] == [2, 3]
    assert first.address.what["of"] == [cell.address.id for cell in members]
    folders = [runs.RUNS / "experiments" / cell.address.name for cell in members]
    before = without_made(first.address.path())
    first.address.path().unlink()
    for path in folders[1].rglob("*.arrow"):
        path.unlink()
    again = sweep.make(sweep.study.arms["cifar-two"], 1)
    assert without_made(again.address.path()) == before


def test_an_arm_starts_with_the_model_of_its_seed(sweep: Sweep) -> None:
    cell = sweep.make(sweep.study.arms["tuned"], 0)
    (parent,) = (one for one in load_cells()[0] if one.arm == "cifar")
    assert cell.address.what["start"] == parent.address.id
    log = (runs.RUNS / "experiments" / cell.address.name / "log.txt").read_text()
    assert "taken over: conv1" in log


def test_two_sweeps_of_one_folder_are_refused(sweep: Sweep, study: Study) -> None:
    with pytest.raises(EnvironmentProblem, match="Experiments are being run here already"):
        Sweep(study, Placement())
    sweep.close()
    Sweep(study, Placement()).close()


def test_a_changed_cell_is_refused(sweep: Sweep) -> None:
    path = sweep.make(sweep.study.arms["cifar"], 0).address.path()
    stored = json.loads(path.read_text())
    content = path.read_text()
    for change in (("numerics", "threads"), ("errors", "10"), ("right", "10"), ("made", "seconds")):
        part, key = change
        path.write_text(json.dumps({**stored, part: {**stored[part], key: 0}}))
        cells, (refused,) = load_cells()
        assert not cells
        assert "its contents were changed" in refused.what
    for damage in ("{", "", "[]", "{}"):
        path.write_text(damage)
        with pytest.raises(DataError, match="not a cell") as stopped:
            sweep.make(sweep.study.arms["cifar"], 0)
        assert stopped.value.remedy.startswith("Move it away")
    path.write_text(content)
    path.with_name("cifar-9-00000000.json").write_text(content)
    (cell,), (copy,) = load_cells()
    assert cell.address.path() == path
    assert f"a copy of {path.name}" in copy.what


RUN = ["-m", "alexnet", "reproduce", "run", "normalization", "--scale", "smoke", "--seeds", "1"]


def reproduce(folder: Path) -> subprocess.Popen[Any]:
    return Forked(
        [sys.executable, *RUN], env=os.environ | PATHS, cwd=folder, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def cells_of(folder: Path) -> dict[str, Path]:
    return {path.name: path for path in sorted(folder.glob("results/experiments/smoke/*.json"))}


@pytest.mark.parametrize("kills", [2, pytest.param(50, marks=pytest.mark.slow)])
def test_killed_at_any_moment_it_makes_the_same_cells_once(tmp_path: Path, kills: int) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for folder in (whole, killed):
        folder.mkdir()
    process = reproduce(whole)
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 0, said
    expected = {name: without_made(path) for name, path in cells_of(whole).items()}
    assert len(expected) == 2
    made: dict[str, bytes] = {}
    draw = np.random.default_rng(0)
    for kill in range(kills):
        process = reproduce(killed)
        time.sleep(draw.uniform(0.2, 2.5))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        if kills > 10 and kill % 5 == 4:  # begin anew, so that moments of all kinds are met
            for path in cells_of(killed).values():
                path.unlink()
            made.clear()
        for name, path in cells_of(killed).items():
            assert path.read_bytes() == made.setdefault(name, path.read_bytes())
    process = reproduce(killed)
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 0, said
    found = cells_of(killed)
    assert {name: without_made(path) for name, path in found.items()} == expected
    assert all(found[name].read_bytes() == content for name, content in made.items())
