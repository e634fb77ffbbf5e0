"""Locks: who may write in a folder.

The lock is the operating system's, on an open file (flock; LockFileEx on Windows), so that it ends with
the process that holds it, however that ends. The file stays, and says nothing by being there. It may be
removed where nobody holds it; by the holder only when nobody may need the lock any more.
"""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path

from filelock import lock_descriptor

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
            is_mine = lock_descriptor(self._descriptor, blocking=False)
        except OSError as error:
            self.release()
            raise EnvironmentProblem(
                f"Nothing can be locked here: {error.strerror}.",
                where=path.parent,
                remedy="Choose a folder on a disk that has locks; a network's may have to allow them.",
            ) from None
        if not is_mine:
            holder = self._holder()
            self.release()
            raise EnvironmentProblem(
                f"{what} already, by {holder}.",
                where=path.parent,
                remedy="Wait for it, or stop it first.",
            )
        name = f"process {os.getpid()} on {platform.node()}\n".encode()
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        os.write(self._descriptor, name)
        os.ftruncate(self._descriptor, len(name))

    def _holder(self) -> str:
        """Who has it; asked again for half a second while the file still names one that is dead."""
        for _ in range(50):
            # By its descriptor: the holder may have renamed the folder meanwhile.
            text = self._text().partition("\n")[0]
            words = text.split()
            here = len(words) == 4 and words[1].isdigit() and words[3] == platform.node()
            if words and not (here and not is_alive(int(words[1]))):
                return text
            time.sleep(0.01)
        return "another process"

    def _text(self) -> str:
        try:
            os.lseek(self._descriptor, 0, os.SEEK_SET)
            return os.read(self._descriptor, 500).decode("utf-8", "replace")
        except OSError:  # where a lock keeps others from reading too
            return ""

    def release(self) -> None:
        """Let others write."""
        os.close(self._descriptor)


def is_held(path: Path) -> bool:
    """Whether a process has the lock of this path.

    Only where the one that had it last is alive is it tried for: that would turn another away.
    """
    try:
        words = path.read_text().split()
        if len(words) == 4 and words[3] == platform.node() and not is_alive(int(words[1])):
            return False
        descriptor = os.open(path, os.O_RDWR)
    except (OSError, ValueError):
        return False
    try:
        return not lock_descriptor(descriptor, blocking=False)
    except OSError:
        return False
    finally:
        os.close(descriptor)
