"""Worker processes: bounded in memory, deaf to signals that are the caller's, gone when it is gone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from launch import is_alive

from alexnet.prepared import worker
from alexnet.prepared.workers import WorkerDied, Workers

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.usefixtures("started_workers")


def test_a_task_that_wants_more_memory_than_there_is_ends_its_process_and_no_other() -> None:
    with Workers(1) as pool:

        def both(_: int) -> int:
            with pytest.raises(WorkerDied) as death:
                pool.call(np.ones, worker.MEMORY, np.uint8)
            assert death.value.out_of_memory and not death.value.too_slow
            return len(pool.call(np.ones, 1000, np.uint8))

        assert [answer for _, answer in pool.map(both, [0])] == [1000]


def test_signals_are_left_to_the_caller() -> None:
    with Workers(1) as pool:

        def signalled(_: int) -> int:
            pid = pool.call(os.getpid)
            for number in (signal.SIGINT, signal.SIGTERM):
                os.kill(pid, number)
            assert os.getpgid(pid) != os.getpgid(0)  # Ctrl-C reaches a group
            assert pool.call(os.getpid) == pid
            return pid

        [(_, pid)] = pool.map(signalled, [0])
    assert not Path(f"/proc/{pid}").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere workers end after their task")
def test_workers_die_with_a_caller_that_is_killed_in_the_middle_of_a_task() -> None:
    program = (
        "import os, time\n"
        "from alexnet.prepared.workers import Workers\n"
        "with Workers(2) as pool:\n"
        "    def sleep(_):\n"
        "        print(pool.call(os.getpid), flush=True)\n"
        "        pool.call(time.sleep, 600)\n"
        "    list(pool.map(sleep, range(2)))\n"
    )
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as caller:
        assert caller.stdout
        pids = [int(caller.stdout.readline()) for _ in range(2)]
        caller.kill()
    until = time.monotonic() + 30
    while any(is_alive(pid) for pid in pids):
        assert time.monotonic() < until
        time.sleep(0.02)
