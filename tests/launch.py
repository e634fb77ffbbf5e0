"""Processes as `torchrun` starts them, on this machine."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

TESTS = Path(__file__).parent
PATHS = {"PYTHONPATH": os.pathsep.join([str(TESTS.parent), str(TESTS)])}
MESH_RUN = TESTS / "training" / "mesh_run.py"
ENDED_WITHIN = 60.0  # seconds after a process is lost, with torchrun's thirty for those that hang


def torchrun(
    processes: int, *arguments: str, cwd: Path | None = None, **more: str
) -> subprocess.Popen[str]:
    """`torchrun` with what it starts finding this package and the tests' modules."""
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    return subprocess.Popen(
        [*start, "--nproc-per-node", str(processes), *arguments],
        env=os.environ | PATHS | more, cwd=cwd, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def finish(process: subprocess.Popen[str], seconds: float = 300) -> str:
    """What a process that has to succeed said."""
    said, _ = process.communicate(timeout=seconds)
    assert process.returncode == 0, said
    return said


def train(processes: int, prepared: Path, *jobs: str, **more: str) -> str:
    """The jobs of `mesh_run.py` on so many processes."""
    command = [str(MESH_RUN), str(prepared), *jobs]
    if processes > 1:
        return finish(torchrun(processes, *command, **more))
    process = subprocess.Popen(
        [sys.executable, *command], env=os.environ | PATHS, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    return finish(process)


def wait_for_rows(process: subprocess.Popen[str], run: Path, count: int) -> list[int]:
    """The processes that torchrun has started, when the run has so many rows."""
    path = run / "metrics.jsonl"
    while not path.exists() or path.read_bytes().count(b"\n") < count:
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    found = subprocess.run(
        ["pgrep", "-P", str(process.pid), "-f", MESH_RUN.name], capture_output=True, text=True
    )
    return [int(pid) for pid in found.stdout.split()]


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
