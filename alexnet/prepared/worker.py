"""The program that a worker process runs; workers.py is the other end of its pipes."""

from __future__ import annotations

import ctypes
import logging
import os
import pickle
import signal
import sys
from typing import Any

from alexnet.prepared.workers import OUT_OF_MEMORY

try:
    import resource

    HAS_LIMITS = True
except ImportError:  # Windows
    HAS_LIMITS = False

# Bytes of memory of its own. The worst image that is decoded, a WebP of 64 million pixels with
# transparency, needs 1 GB, a batch and its raw shard 0.4 GB, the libraries 0.2 GB; more is a bomb.
MEMORY = 2 * 2**30
_PR_SET_PDEATHSIG = 1  # Linux


def main(parent: int) -> None:
    """Read a task, do it, answer; end when the other side, process `parent`, is gone."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # they are the caller's to answer
    _die_with(parent)
    limit_memory()
    tasks, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    _silence_libraries()
    while True:
        answer: Any
        try:
            function, args, kwargs = pickle.load(tasks)
            answer = function(*args, **kwargs)
        except EOFError:
            return
        except MemoryError:  # whatever is lying about here, a fresh process does not have it
            os._exit(OUT_OF_MEMORY)
        except Exception as error:  # raised again at the caller's side
            answer = error
        try:
            pickle.dump(answer, answers, protocol=5)
            answers.flush()
        except BrokenPipeError:
            return


def _silence_libraries() -> None:
    """What decoders print and log of damaged images is dropped; our own faults still show."""
    logging.disable()
    sys.stderr = os.fdopen(os.dup(2), "w", buffering=1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        os.dup2(nowhere, descriptor)


def limit_memory() -> None:
    """More than MEMORY is refused to this process, as a MemoryError; Linux alone enforces it."""
    if not HAS_LIMITS:
        return
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    most = MEMORY if hard == resource.RLIM_INFINITY else min(MEMORY, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (most, hard))


def _die_with(parent: int) -> None:
    """Let the system kill this process when its caller dies, even in the middle of a task.

    Elsewhere than on Linux it ends after its task, when it finds its pipe closed.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))
    if os.getppid() != parent:  # it died before that was said
        sys.exit()


if __name__ == "__main__":
    main(int(sys.argv[1]))
