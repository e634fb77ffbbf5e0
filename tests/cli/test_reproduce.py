"""`reproduce plan`, `run` and `page` as a new user types them: all of the smallest scale."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from alexnet.cli import main
from alexnet.reproduce.experiments import study

SMOKE = ["--scale", "smoke"]


@pytest.mark.timeout(600)
def test_the_whole_of_smoke(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main.run(["reproduce", "run", *SMOKE, "--seeds", "1"]) == 0
    done = capsys.readouterr()
    cells = sorted(Path("results/experiments/smoke").glob("*.json"))
    assert len(done.out.splitlines()) <= len(cells) and "top-1 error" in done.out
    assert {path.name.rsplit("-", 2)[0] for path in cells} == set(study("smoke").arms)

    assert main.run(["reproduce", "plan", *SMOKE, "--seeds", "1"]) == 0
    assert "0 cells to do, 0.0 hours here" in capsys.readouterr().out
    assert main.run(["reproduce", "plan", "pooling", *SMOKE, "--seeds", "2", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    todo = [f"{job['arm']} {job['seed']}" for job in row["to_do"]]
    assert todo == ["cifar-pool-2 1"]  # seed 1 of `cifar` is of the average of five
    assert row["seconds"] > 0

    before = {path: path.stat().st_mtime_ns for path in cells}
    assert main.run(["reproduce", "run", *SMOKE, "--seeds", "1"]) == 0
    assert {path: path.stat().st_mtime_ns for path in cells} == before

    assert main.run(["reproduce", "page", *SMOKE]) == 0
    index = Path(capsys.readouterr().out.strip())
    html = index.read_text()
    pages = set(re.findall(r'href="([a-z0-9-]+\.html)', html))
    assert {f"{one.name}.html" for one in study("smoke").experiments} <= pages
    assert all((index.parent / page).is_file() for page in pages)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["plan", "--scale", "smal"], "Did you mean 'small'?"),
        (["plan", "figure", "--scale", "smoke"], "Did you mean 'figure1'?"),
        (["run", "--scale", "smoke", "--budget", "8"], "Say it so: 8h, 30m"),
        (["run", "--scale", "smoke", "--budget", "0h"], "Say it so: 8h, 30m"),
        (["run", "--scale", "smoke", "--budget", "1h", "--seeds", "2"], "Leave one of them out."),
        (["run", "--scale", "smoke", "--results", __file__], "The results are in a folder."),
        (["page", "--scale", "huge"], "There is no scale 'huge'."),
    ],
)
def test_what_does_not_exist_is_told(
    words: list[str], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert main.run(["reproduce", *words]) == 2
    assert told in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
