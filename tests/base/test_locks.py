"""Locks: who holds one."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from alexnet.base.errors import EnvironmentProblem
from alexnet.base.locks import Lock


def test_a_lock_names_its_holder_and_never_one_that_is_dead(tmp_path: Path, dead: int) -> None:
    """Between taking a lock and writing its name the file still has the holder before."""
    path, host = tmp_path / "lock", os.uname().nodename
    held = Lock(path, "It is held")
    mine = path.read_text()
    assert mine == f"process {os.getpid()} on {host}\n"
    path.write_text(f"process {dead} on {host}\n")

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
