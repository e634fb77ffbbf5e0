"""Files made to do harm: refused by name with an exit code that says so, and nothing else happens."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import forking
import pytest
from torture.hostile import Case, cases

from alexnet.prepared import PreparedDataset

ROOT = Path(__file__).resolve().parents[2]
DOOR = Path(__file__).with_name("door.py")
SAMPLE, FULL = 40, 240
_CODES = {2, 3, 5, 6}  # usage, data, environment, incompatible: answers, not accidents
_MEMORY = 3 * 2**30  # bytes that a process may ask for
_PEAK = 1.5 * 2**30  # bytes that it may hold, with its libraries


@pytest.mark.parametrize(
    "number", [SAMPLE, pytest.param(FULL, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])]
)
def test_hostile_files_are_refused_by_name_and_do_nothing(
    tmp_path: Path, number: int, photo_set: PreparedDataset, figure: Callable[[str, int], None]
) -> None:
    every = cases(photo_set.folder)
    assert len(every) >= FULL and len({case.name for case in every}) == len(every)
    chosen = every[:: len(every) // number] if number < FULL else every
    canary = tmp_path / "canary"
    canary.write_text("alive")
    folders = [tmp_path / f"{n:03d}" for n in range(len(chosen))]
    for case, folder in zip(chosen, folders, strict=True):
        folder.mkdir()
        case.make(folder)
    before = _tree(tmp_path)
    (tmp_path / "run").mkdir()
    given = [
        {"folder": str(folder), "command": case.command, "memory": _MEMORY}
        for case, folder in zip(chosen, folders, strict=True)
    ]
    (tmp_path / "run" / "cases.json").write_text(json.dumps(given))
    command = [sys.executable, str(DOOR), "run/cases.json", "run/found.json"]
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    forking.run(command, cwd=tmp_path, check=True, env={**os.environ, "PYTHONPATH": path})
    found = json.loads((tmp_path / "run" / "found.json").read_text())
    wrong = {
        case.name: fault
        for case, one in zip(chosen, found, strict=True)
        if (fault := _fault(case, **one))
    }
    assert not wrong, json.dumps(wrong, indent=1)
    after = _tree(tmp_path)
    assert {name: after[name] for name in after if not name.startswith("run")} == before
    assert canary.read_text() == "alive"
    figure(
        "Hostile archives, pickles, images' files, models, checkpoints and sets: refused by name, "
        "nothing run, written or connected",
        len(chosen),
    )


def _fault(case: Case, code: int, peak: int, stdout: str, stderr: str, did: str) -> str:
    """What is wrong with how it ended, or ""."""
    if code not in _CODES and not (case.may_pass and code == 0):
        return f"exit code {code}: {stderr[-600:]}"
    if "Traceback" in stderr or len(stderr) > 10_000:
        return stderr[:600]
    if "\x1b" in stderr + stdout:
        return "an escape sequence reaches the terminal"
    named = case.command[-1] if case.command[0] != "predict" else case.command[1]
    if code and named.partition(":")[2].strip(".") not in stderr:
        return f"not named: {stderr}"
    if code and ":" not in named and named not in stderr:
        return f"not named: {stderr}"
    if did:
        return f"it did {did[:600]}"
    return "" if peak < _PEAK else f"{peak:,} bytes"


def _tree(folder: Path) -> dict[str, int]:
    """Every file and its size."""
    return {str(p.relative_to(folder)): p.stat().st_size for p in folder.rglob("*") if p.is_file()}
