"""Locks: who may write in a folder."""

from __future__ import annotations

import fcntl
import os
import platform
import time
from pathlib import Path

from alexnet.base.errors import EnvironmentProblem
from alexnet.base.files import disk_errors, is_alive, make_folder


class Lock:
    """The right to write in a folder, which one process has; the system takes it back at its end.

    Raises EnvironmentProblem at once, naming the holder, where another process has it; `what` says
    what that process does there.
    """

    def __init__(self, path: Path, what: str) -> None:
        with disk_errors(path):
            make_folder(path.parent)
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = self._holder()
            self.release()
            raise EnvironmentProblem(
                f"{what} already, by {holder}.",
                where=path.parent,
                remedy="Wait for it, or stop it first.",
            ) from None
        name = f"process {os.getpid()} on {platform.node()}\n".encode()
        os.pwrite(self._descriptor, name, 0)
        os.ftruncate(self._descriptor, len(name))

    def _holder(self) -> str:
        """Who has it; asked again for half a second while the file still names one that is dead."""
        for _ in range(50):
            # By its descriptor: the holder may have renamed the folder meanwhile.
            text = os.pread(self._descriptor, 500, 0).decode("utf-8", "replace").partition("\n")[0]
            words = text.split()
            here = len(words) == 4 and words[1].isdigit() and words[3] == platform.node()
            if words and not (here and not is_alive(int(words[1]))):
                return text
            time.sleep(0.01)
        return "another process"

    def release(self) -> None:
        """Let others write."""
        os.close(self._descriptor)
