"""The program that a worker process runs; workers.py is the other end of its pipes."""

from __future__ import annotations

import os
import pickle
import signal
import sys
from typing import Any


def main() -> None:
    """Read a task, do it, answer; end when the other side is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the caller's to answer
    tasks, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints goes to stderr, not into the answers
    while True:
        try:
            function, args, kwargs = pickle.load(tasks)
        except EOFError:
            return
        answer: Any
        try:
            answer = function(*args, **kwargs)
        except Exception as error:  # raised again at the caller's side
            answer = error
        try:
            pickle.dump(answer, answers, protocol=5)
            answers.flush()
        except BrokenPipeError:
            return


if __name__ == "__main__":
    main()
