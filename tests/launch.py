"""Processes as `torchrun` starts them, on this machine."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from forking import PATHS, TESTS, Forked

MESH_RUN = TESTS / "training" / "mesh_run.py"
ENDED_WITHIN = 60.0  # seconds after a process is lost, with torchrun's thirty for those that hang


def torchrun(
    processes: int,
    *arguments: str,
    cwd: Path | None = None,
    popen: type[subprocess.Popen[str]] = Forked,
    **more: str,
) -> subprocess.Popen[str]:
    """`torchrun` with what it starts finding this package and the tests' modules.

    It and its processes are forked, not started, unless with another `popen`.
    """
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    return popen(
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
        return finish(torchrun(processes, *command, **more))  # type: ignore[arg-type]
    process = Forked(
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
    found = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True)
    return [pid for pid in map(int, found.stdout.split()) if _name(pid) == MESH_RUN.name]


def _name(pid: int) -> str:
    """Of the program that a process carries out: of a forked one, that of the process itself."""
    words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    started = [Path(word.decode()).name for word in words if word.endswith(b".py")]
    return started[0] if started else Path(f"/proc/{pid}/comm").read_text().strip()


def is_alive(pid: int) -> bool:
    """Whether a process goes on; one that has ended and that nobody has taken away does not."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
