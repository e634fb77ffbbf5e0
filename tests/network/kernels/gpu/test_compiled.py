"""What the interpreter cannot show: every kernel compiles for a real GPU, and fits its registers."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton", reason="Triton is not installed")


@pytest.mark.skipif(
    (platform.system(), platform.machine()) != ("Linux", "x86_64"),
    reason="Triton's assembler for NVIDIA GPUs is only in its Linux wheels",
)
def test_every_kernel_compiles_for_an_h100(tmp_path: Path) -> None:
    environment = {**os.environ, "TRITON_CACHE_DIR": str(tmp_path)}
    environment.pop("TRITON_INTERPRET", None)
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("compile_kernels.py"))],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(found) == 20
    for kernel in found:
        assert kernel["stack"] == 0, f"registers spill: {kernel}"
        assert kernel["wide"] or "cut" in kernel["kernel"], f"reads number by number: {kernel}"
