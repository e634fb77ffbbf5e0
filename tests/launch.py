"""Processes as `torchrun` starts them, on this machine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parent


def torchrun(
    processes: int, *arguments: str, cwd: Path | None = None, **more: str
) -> subprocess.Popen[str]:
    """`torchrun` with what it starts finding this package and the tests' modules."""
    paths = [str(TESTS.parent), str(TESTS)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)} | more
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    return subprocess.Popen(
        [*start, "--nproc-per-node", str(processes), *arguments],
        env=environment, cwd=cwd, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def finish(process: subprocess.Popen[str], seconds: float = 300) -> str:
    """What a process that has to succeed said."""
    said, _ = process.communicate(timeout=seconds)
    assert process.returncode == 0, said
    return said
