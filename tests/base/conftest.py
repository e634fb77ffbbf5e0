"""What the tests of files and locks have in common."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.fixture
def dead() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid
