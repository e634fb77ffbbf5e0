"""Locks: who holds one."""

from __future__ import annotations

import errno
import os
import threading
import time
from pathlib import Path

import pytest

from alexnet.base.errors import EnvironmentProblem
from alexnet.base.locks import Lock, is_held


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
    path.write_text(mine)
    assert is_held(path)
    held.release()
    assert not is_held(path) and not is_held(tmp_path / "none")
    Lock(path, "It is held").release()


def test_where_nothing_can_be_locked_nobody_is_said_to_hold_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file system without locks, as some networks' are."""

    def refuse(*_: object, **__: object) -> bool:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("alexnet.base.locks.lock_descriptor", refuse)
    with pytest.raises(EnvironmentProblem, match="Nothing can be locked here: No locks available"):
        Lock(tmp_path / "lock", "It is held")
