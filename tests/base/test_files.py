"""The one file layer: what dead processes leave, and what stands where a folder should be."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from alexnet.base import files
from alexnet.base.errors import EnvironmentProblem


def test_what_the_dead_left_is_swept_and_nothing_else(tmp_path: Path, dead: int) -> None:
    alive = os.getpid()
    for name in (f".a[1].tmp.{dead}", f".b.tmp.{dead}", f".a[1].tmp.{alive}", "a[1]"):
        (tmp_path / name).write_text("x")
    (tmp_path / f".folder.tmp.{dead}" / "inside").mkdir(parents=True)
    files.write_atomically(tmp_path / "a[1]", b"new")
    assert {path.name for path in tmp_path.iterdir()} == {
        *("a[1]", f".b.tmp.{dead}", f".folder.tmp.{dead}")
    }, "of its own name, also one of this process that a failure left"
    files.sweep_temporaries(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a[1]"]


def test_a_file_where_a_folder_should_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("x")
    with pytest.raises(EnvironmentProblem, match="file where a folder should be") as error:
        files.write_atomically(tmp_path / "runs" / "it" / "config", b"")
    assert error.value.where == str(tmp_path / "runs")
