"""`alexnet benchmark gpu`, tried without a GPU."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from alexnet.benchmark import gpu_setup
from alexnet.cli import main
from alexnet.network import AlexNet


@pytest.fixture
def without_a_gpu() -> None:
    pytest.importorskip("triton", reason="Triton is not installed")
    if torch.cuda.is_available():
        pytest.skip("Triton's interpreter is for machines without a GPU")


@pytest.mark.slow
@pytest.mark.usefixtures("without_a_gpu")
def test_it_checks_measures_and_writes_one_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "gpu.json"
    assert main.run(["benchmark", "gpu", "-o", str(file), "--quick"]) == 0
    assert "Failed: none." in capsys.readouterr().out
    found = json.loads(file.read_text())
    assert found["errors"] == {} and all(row["ok"] for row in found["checks"])
    checked = {row["what"].split()[0] for row in found["checks"]}
    assert checked >= {"block", "dropout", "crops,", "update", "conv1", "losses", "velocity"}
    assert {row["input"] for row in found["training"]} == {"synthetic", "streamed", "resident"}
    assert {row["layer"] for row in found["convolutions"]} == {f"conv{n}" for n in range(1, 6)}
    assert "forward and backward" in found["parts"][0]["milliseconds"]
    assert found["blocks"] and found["ceiling"] and found["machine"]["versions"]["torch"]
    assert [row["who"] for row in found["peers"]] == ["pytorch eager"]


@pytest.mark.slow
@pytest.mark.usefixtures("without_a_gpu")
def test_a_part_that_fails_leaves_its_error_and_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(AlexNet, "run", None)
    file = tmp_path / "gpu.json"
    assert main.run(["benchmark", "gpu", "-o", str(file), "--quick"]) == 1
    assert "check_steps" in capsys.readouterr().out
    found = json.loads(file.read_text())
    assert "TypeError" in found["errors"]["check_steps"] and found["blocks"] and found["ceiling"]


@pytest.mark.usefixtures("without_a_gpu")
def test_when_the_minutes_are_over_parts_are_left_out_by_name(tmp_path: Path) -> None:
    report = gpu_setup.Report(tmp_path / "gpu.json")
    report.part("first", report.add, "checks", {"what": "a", "ok": True})
    report.begun -= 60 * gpu_setup.MINUTES + 1
    report.part("second", report.add, "checks", {"what": "b", "ok": False})
    found = json.loads(report.path.read_text())
    assert found["checks"] == [{"what": "a", "ok": True}]
    assert "minutes are over" in found["errors"]["second"]
    assert report.failures == ["second"]


@pytest.mark.usefixtures("without_a_gpu")
def test_without_a_gpu_it_says_how_to_try_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(["benchmark", "gpu", "-o", str(tmp_path / "gpu.json")]) == 5
    assert "alexnet benchmark gpu --quick" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
