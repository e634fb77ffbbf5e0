"""Faults at the k-th change of the disk, in a process and in all that it starts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import forking

HOOK = Path(__file__).with_name("hook")
ROOT = Path(__file__).resolve().parents[2]
# ENOSPC: the disk is full; EIO: it is broken; short: it takes one byte and is full; kill: SIGKILL.
KINDS = ("ENOSPC", "EIO", "short", "kill")


def environment(
    counter: Path, kind: str, at: int = 0, paths: Sequence[str] = ("",), images: int = 0
) -> dict[str, str]:
    """The environment in which change number `at` of a path with one of `paths` in it fails as `kind`.

    A full disk stays full, whatever else is tried. `kind` "count" only counts, into `counter`; with
    "" there are no faults. `images` is how many go into a shard, if not as many as usual.
    """
    plan = {
        "counter": str(counter), "kind": kind, "at": at, "paths": list(paths),
        "stays": kind == "ENOSPC", "images": images,
    }  # fmt: skip
    before = os.environ.get("PYTHONPATH", "")
    return {
        **os.environ,
        "TORTURE_PLAN": json.dumps(plan),
        "PYTHONPATH": os.pathsep.join([str(HOOK), str(ROOT), *filter(None, [before])]),
    }


def run(
    arguments: Sequence[str | Path], env: Mapping[str, str], cwd: Path, timeout: float = 120
) -> subprocess.CompletedProcess[str]:
    """A Python program in a process of its own, forked, to its end."""
    return forking.run(
        [sys.executable, *map(str, arguments)],
        env=env, cwd=cwd, timeout=timeout, capture_output=True, text=True,
    )  # fmt: skip


def counted(counter: Path) -> int:
    """How many changes of the disk there were."""
    return counter.stat().st_size if counter.exists() else 0
