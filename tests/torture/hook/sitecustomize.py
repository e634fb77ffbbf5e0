"""Put first on PYTHONPATH by `torture.faults.environment`: the fault is then in every Python process.

The changes of the disk are counted in a file that all processes of a case share; at the chosen one
the fault happens.
"""

import errno
import fcntl
import json
import os
import signal
from pathlib import Path

PLAN = json.loads(os.environ["TORTURE_PLAN"])


def count() -> int:
    """One more change of the disk; how many there have been."""
    with open(PLAN["counter"], "ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(b".")
        file.flush()
        return file.tell()


def strike(operation: str, path: Path) -> int | None:
    if not any(part in str(path) for part in PLAN["paths"]):
        return None
    number, kind = count(), PLAN["kind"]
    with open(PLAN["counter"] + ".log", "a") as log:
        log.write(f"{number} {operation} {path.name}\n")
    if kind == "count" or number < PLAN["at"]:
        return None
    if kind == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "short":  # the disk takes half of what it is given, and then nothing more
        if operation == "write" and number == PLAN["at"]:
            return 1
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    if number == PLAN["at"] or PLAN["stays"]:
        code = getattr(errno, kind)
        raise OSError(code, os.strerror(code), str(path))
    return None


if PLAN["kind"]:
    from alexnet.base import files

    files.step = strike

if PLAN["images"]:
    from alexnet.prepared import shards

    shards.IMAGES = dict.fromkeys(shards.IMAGES, PLAN["images"])
