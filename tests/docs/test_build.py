"""Generated pages are up to date, and what is stale is named."""

from __future__ import annotations

from pathlib import Path

import build
import pytest

from alexnet.conventions import CAFFE, CONVENTIONS, PAPER
from alexnet.network.table import shapes


def test_every_page_is_up_to_date() -> None:
    assert build.stale() == [], "run `make docs`"


def test_a_stale_page_is_named_and_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(build, "ROOT", tmp_path)
    monkeypatch.setattr(build, "pages", lambda: {"a.md": "new\n", "b.md": "same\n"})
    monkeypatch.setattr(build, "_image_is_current", lambda: True)
    (tmp_path / "a.md").write_text("old\n")
    (tmp_path / "b.md").write_text("same\n")
    assert build.main(["--check"]) == 1
    assert capsys.readouterr().out == "stale: a.md (run `make docs`)\n"
    assert (tmp_path / "a.md").read_text() == "old\n"
    assert build.main([]) == 0 and build.main(["--check"]) == 0
    assert (tmp_path / "a.md").read_text() == "new\n"
    assert build.main(["--chekc"]) == 2


def test_a_table_replaces_what_stands_between_its_marks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "ROOT", tmp_path)
    (tmp_path / "page.md").write_text(
        "before\n<!-- speed -->\nold\n\nold\n<!-- /speed -->\nafter\n"
    )
    found = build.filled("page.md", speed="new")
    assert found == "before\n<!-- speed -->\nnew\n<!-- /speed -->\nafter\n"
    with pytest.raises(ValueError, match="no <!-- other -->"):
        build.filled("page.md", other="new")


def test_networks_side_by_side_show_what_differs() -> None:
    lines = build.side_by_side([PAPER, CAFFE]).splitlines()
    assert lines[0] == "| | paper | caffe |"
    assert "| images | 224×224 of 256×256 | 227×227 of 256×256 |" in lines
    assert not any(line.startswith("| conv1 kernels") for line in lines)  # the same in both


def test_reliability_is_told_by_files_and_in_minutes_or_seconds() -> None:
    row = {"claim": "it holds", "date": "2026-01-01", "commit": "abc"}
    test = "tests/torture/test_shards.py::test_damage_anywhere_is_found_and_named"
    figures = [{**row, "cases": 1234, "seconds": s, "test": test} for s in (89, 90)]
    environment = {"versions": {"torch": "9"}, "processor": "Z80", "system": "CP/M", "python": "3"}
    page = build.reliability({"figures": figures, "environment": environment})
    assert "| It holds | 1,234 | 89 s |" in page and "| It holds | 1,234 | 2 min |" in page
    assert "## A prepared set cannot lie" in page
    assert "torch 9; 2026-01-01 at commit abc." in page


def test_parameters_written_by_hand_are_those_of_the_networks() -> None:
    page = (build.ROOT / "docs" / "which-alexnet.md").read_text(encoding="utf-8")
    for name in ("paper", "onetower", "alexnet6", "one_column", "no_links"):
        assert f"{sum(row.parameters for row in shapes(CONVENTIONS[name])):,}" in page
