"""Signals while training: the first asks to stop after this step, the second stops now."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_NOTICE = b"\nStopping after this step; the state will be saved. Once more to stop now.\n"


class StopRequest:
    """Whether somebody asked the run to stop, and with which signal."""

    signal_number = 0

    def __bool__(self) -> bool:
        return bool(self.signal_number)


@contextmanager
def stop_request() -> Iterator[StopRequest]:
    """Catch SIGINT (Ctrl-C) and SIGTERM inside the block; handlers are restored after it."""
    request = StopRequest()

    def note(number: int, _: FrameType | None) -> None:
        if request:
            os._exit(128 + number)
        request.signal_number = number
        os.write(2, _NOTICE)  # print may be at work already in what the signal interrupted

    watched = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, note) for number in watched]
    try:
        yield request
    finally:
        for number, handler in zip(watched, before, strict=True):
            signal.signal(number, handler)
