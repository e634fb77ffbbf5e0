"""What the README reports as measured is what was recorded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from alexnet.benchmark.result import Record

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
RESULTS = sorted((ROOT / "results").glob("*/result.json"))


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.parent.name)
def test_error_rates_are_the_recorded_ones(path: Path) -> None:
    result = json.loads(path.read_text())
    (row,) = (line for line in README.splitlines() if f"({path.relative_to(ROOT)})" in line)
    for views in ("10", "1"):
        assert f"{100 * result['top1_error'][views]:.1f} %" in row
    assert f"{100 * result['top5_error']['10']:.1f} %" in row
    assert f"{result['minutes']['all']:.0f} min" in row
    assert len(result["commit"]) == 40 and result["command"] and result["environment"]["processor"]


def test_what_fine_tuning_is_worth_was_measured() -> None:
    found = json.loads((ROOT / "results" / "finetune-cifar" / "finetune.json").read_text())
    for kind in ("scratch", "tuned"):
        seeds = [100 * errors["10"] for errors in found["top1_error"][kind].values()]
        assert len(seeds) == 3 and f"{sum(seeds) / 3:.1f} %" in README
    assert len(found["commit"]) == 40 and found["commands"]


def test_the_first_lines_have_the_recorded_figures() -> None:
    opening = " ".join(README.splitlines()[:10])
    result = json.loads((ROOT / "results" / "imagenette-small" / "result.json").read_text())
    assert f"reaches {100 * result['top1_error']['10']:.1f} % top-1 error" in opening
    assert f"chance error is {100 - 100 / result['classes']:.0f} %" in opening
    assert f"in {result['minutes']['all']:.0f} minutes" in opening
    (part,) = Record.load(ROOT / "results" / "benchmarks" / "train-cpu.json").parts
    peer = part.row("pytorch")
    assert peer and f"{part.relative_time(peer):.1f} times as fast" in opening


def test_there_is_something_to_check() -> None:
    assert len(RESULTS) >= 2
