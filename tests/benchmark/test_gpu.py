"""The script that measures a GPU, tried without one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "alexnet" / "benchmark" / "gpu.py"


@pytest.mark.slow
def test_the_script_checks_measures_and_writes_one_file(tmp_path: Path) -> None:
    pytest.importorskip("triton", reason="Triton is not installed")
    file = tmp_path / "gpu.json"
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "-o", str(file), "--quick"],
        capture_output=True,
        text=True,
        env={**os.environ, "TRITON_INTERPRET": "1"},
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
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
def test_a_part_that_fails_leaves_its_error_and_the_rest(tmp_path: Path) -> None:
    pytest.importorskip("triton", reason="Triton is not installed")
    file = tmp_path / "gpu.json"
    breaking = (
        "import sys, runpy; sys.argv = ['gpu.py', '-o', sys.argv[1], '--quick'];"
        "from alexnet.network import alexnet;"
        "alexnet.AlexNet.convolved = None;"
        f"runpy.run_path({str(SCRIPT)!r}, run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", breaking, str(file)],
        capture_output=True,
        text=True,
        env={**os.environ, "TRITON_INTERPRET": "1"},
    )
    found = json.loads(file.read_text())
    assert done.returncode == 1 and "check_steps" in found["errors"]
    assert "TypeError" in found["errors"]["check_steps"] and found["blocks"] and found["ceiling"]
