"""One form for what benchmarks find: its arithmetic, its JSON, its table."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from alexnet.base.errors import DataError
from alexnet.base.provenance import commit
from alexnet.benchmark.alternate import Comparison, Implementation, Measured
from alexnet.benchmark.result import Part, Record, cells, described
from alexnet.cli.tables import table


def part(one_core: bool = False) -> Part:
    comparison = Comparison(
        "training",
        [Implementation("alexnet", object, 128), Implementation("pytorch", object, 64)],
        Implementation("ceiling", object, 40),
        "products",
        one_core,
    )
    measured = {
        "alexnet": Measured([2.0, 4.0, 1.0], 7, 1.5),
        "pytorch": Measured([4.0, 4.0, 4.0], 100_000, 3.0),
        "ceiling": Measured([0.5, 0.6, 0.4], 0, 0.3),
    }
    return Part.of(comparison, measured)


def result() -> Record:
    versions = {"alexnet": "1", "torch": "2"}
    about = {"processor": "2 x Z80", "threads": 2, "python": "3.11", "versions": versions}
    left_out = {"jax": "Not installed: pip install jax"}
    return Record("train", 3, [part()], left_out, about, "0" * 40)


def test_figures() -> None:
    found = part()
    ours, theirs = found.rows
    assert (ours.rate, ours.slowest, ours.fastest) == (64, 32, 128)
    assert theirs.rate == 16 and found.relative_time(theirs) == 4
    assert found.share_of_ceiling(ours) == pytest.approx(0.64)  # of 40 / 0.4, the fastest
    assert found.row("pytorch") is theirs and found.row("jax") is None


def test_it_comes_back_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "train.json"
    result().save(path)
    assert Record.load(path) == result()
    figures = json.loads(path.read_text())["parts"][0]["rows"][1]["figures"]
    assert figures == {"images_per_second": 16, "relative_time": 4, "share_of_ceiling": 0.16}


def test_a_file_of_another_form_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "old.json"
    path.write_text('{"batch": 128, "training": {}}')
    with pytest.raises(DataError, match="make benchmarks"):
        Record.load(path)


def test_the_table() -> None:
    text = described(result(), table)
    assert re.search(r"^PyTorch +16\.0 +16\.0 - 16\.0 +4\.00 +16 % +3\.0 GiB +100,000$", text, re.M)
    assert "yardstick: 100.0 img/s, products" in text
    assert "JAX. Not installed: pip install jax" in text and "2 x Z80, 2 threads" in text
    assert "peak memory" not in cells(part(one_core=True))[0]


def test_the_commit_is_this_checkouts() -> None:
    assert re.fullmatch(r"([0-9a-f]{40}(-dirty)?)?", commit())
