"""The one file layer: who holds a lock, and what dead processes leave."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from alexnet.base import files
from alexnet.base.errors import EnvironmentProblem
from alexnet.base.locks import Lock


def dead_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_a_lock_names_its_holder_and_never_one_that_is_dead(tmp_path: Path) -> None:
    """Between taking a lock and writing its name the file still has the holder before."""
    path, host = tmp_path / "lock", os.uname().nodename
    held = Lock(path, "It is held")
    mine = path.read_text()
    assert mine == f"process {os.getpid()} on {host}\n"
    path.write_text(f"process {dead_process()} on {host}\n")

    def write_the_name() -> None:
        time.sleep(0.1)
        path.write_text(mine)

    late = threading.Thread(target=write_the_name)
    late.start()
    with pytest.raises(EnvironmentProblem, match=f"held already, by process {os.getpid()} on"):
        Lock(path, "It is held")
    late.join()
    path.write_text("process 7 on another-machine\n")
    with pytest.raises(EnvironmentProblem, match="by process 7 on another-machine"):
        Lock(path, "It is held")
    held.release()
    Lock(path, "It is held").release()


def test_what_the_dead_left_is_swept_and_nothing_else(tmp_path: Path) -> None:
    dead, alive = dead_process(), os.getpid()
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
