"""Signals that ask a process to end: Ctrl-C (SIGINT), SIGTERM, and a closed terminal (SIGHUP).

Every verb leaves in order at the first, as if by Ctrl-C, and at once at the second. Training ends its
step and saves before it leaves.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from alexnet.base import ranks

_HANGUP = getattr(signal, "SIGHUP", None)  # not on Windows
_WATCHED = tuple(one for one in (signal.SIGINT, signal.SIGTERM, _HANGUP) if one)
_ECHO = 2.0  # seconds: of several processes each may be asked by the system, and by `torchrun`
_NOTICE = b"\nStopping after this step; the state will be saved. Once more to stop now.\n"


class StopRequest:
    """Whether somebody asked this process to end, and with which signal."""

    signal_number = 0
    _noted = 0.0
    _at_once = True

    def __bool__(self) -> bool:
        return bool(self.signal_number)

    @property
    def exit_code(self) -> int:
        """128 + the signal's number, as shells have it."""
        return 128 + self.signal_number

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Inside the block a request, also one made before, ends it with KeyboardInterrupt."""
        before, self._at_once = self._at_once, True
        try:
            if self:
                raise KeyboardInterrupt
            yield
        finally:
            self._at_once = before

    def _note(self, number: int, _: FrameType | None) -> None:
        if self:
            if ranks.started()[1] > 1 and time.monotonic() - self._noted < _ECHO:
                return
            os._exit(128 + number)
        self.signal_number, self._noted = number, time.monotonic()
        if self._at_once:
            raise KeyboardInterrupt
        os.write(2, _NOTICE)  # print may be at work already in what the signal interrupted


@contextmanager
def stop_request(at_once: bool = False) -> Iterator[StopRequest]:
    """Note signals inside the block, or end it with KeyboardInterrupt; handlers are restored after it.

    Signals are the main thread's: in another there is nothing to note.
    """
    request = StopRequest()
    request._at_once = at_once
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before = {number: signal.getsignal(number) for number in _WATCHED}
    if _HANGUP and before[_HANGUP] == signal.SIG_IGN:
        del before[_HANGUP]  # as `nohup` wants it
    for number in before:
        signal.signal(number, request._note)
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
