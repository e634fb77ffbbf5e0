"""Processes that look after each other: who is alive, who has failed, and an end for all in time.

Each says every second, in a store that all can read, that it is alive, and looks at what the next says.
Where that has been silent for `SILENCE` seconds, or one has failed, the first cause is written down, and
the others end with it within seconds: nobody waits for a process that is gone.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from contextlib import suppress
from datetime import timedelta
from typing import Any

from alexnet.base.errors import EnvironmentProblem

SILENCE = 20.0  # seconds without a sign of life after which a process counts as lost
_BEAT = 1.0  # seconds
_GRACE = 5.0  # seconds in which a process that reads of a failure may leave by itself


class Watch(threading.Thread):
    """Says that this process is alive, and looks after the next one."""

    def __init__(self, store: Any, number: int, count: int) -> None:
        super().__init__(name="watch", daemon=True)
        self.number, self.count = number, count
        self._store = store
        self._end = threading.Event()

    def run(self) -> None:
        try:
            self._watch()
        except RuntimeError:
            if not self._end.wait(_GRACE):
                self._end_now("The process that keeps the others together is gone")

    def _watch(self) -> None:
        self._store.set_timeout(timedelta(seconds=SILENCE))
        beat, other = 0, (self.number + 1) % self.count
        seen, since = b"", time.monotonic()
        while not self._end.wait(_BEAT):
            beat += 1
            self._store.set(f"beat/{self.number}", str(beat))
            if self._store.check(["fault"]):
                if not self._end.wait(_GRACE):
                    self._end_now(self._store.get("fault").decode())
                return
            now = self._store.get(f"beat/{other}")
            if now == b"left":
                other = (other + 1) % self.count
            elif now != seen:
                seen, since = now, time.monotonic()
            elif time.monotonic() - since > SILENCE:
                self.publish(f"{self._named(other)} gives no sign of life")

    def publish(self, fault: str) -> None:
        """Write down the cause of a failure, unless there is one."""
        self._store.compare_set("fault", "", fault)

    def first_cause(self) -> str:
        """Why an exchange failed: what is written down, or else who has stopped beating."""
        for _ in range(10):
            if self._store.check(["fault"]):
                break
            time.sleep(0.1)
        else:
            before = self._beats()
            time.sleep(3 * _BEAT)
            silent = [n for n, beat in enumerate(self._beats()) if beat == before[n] != b"left"]
            gone = [self._named(n) for n in silent if n != self.number]
            self.publish(f"{' and '.join(gone) or 'A process'} {'are' if gone[1:] else 'is'} gone")
        return str(self._store.get("fault").decode())

    def is_first(self, text: str) -> bool:
        """Whether no other process has said this."""
        try:
            return bool(self._store.add(f"said/{text}", 1) == 1)
        except RuntimeError:
            return True

    def stop(self) -> None:
        """This process leaves."""
        self._end.set()
        if self.is_alive():
            self.join()
        with suppress(RuntimeError):  # who keeps the store may have left before
            self._store.set(f"beat/{self.number}", "left")

    def _beats(self) -> list[bytes]:
        return [self._store.get(f"beat/{n}") for n in range(self.count)]

    def _named(self, number: int) -> str:
        return str(self._store.get(f"who/{number}").decode())

    def _end_now(self, cause: str) -> None:
        """End a process whose main thread waits for one that is gone."""
        error = lost(cause)
        if self.is_first(str(error)):
            print(error, file=sys.__stderr__, flush=True)
        os._exit(error.exit_code)


def lost(cause: str) -> EnvironmentProblem:
    """The error of those that go on no more because another cannot."""
    return EnvironmentProblem(
        f"{cause[:1].upper()}{cause[1:]}; nobody can go on without it.",
        remedy="Start the same command again; a training run goes on with: alexnet resume RUN",
    )
