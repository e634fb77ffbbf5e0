"""Errors that are answers: what is wrong, where, and what to do next.

Every error a user can cause is an `AlexNetError`; the command line prints its three lines and
leaves with its exit code. Anything else that escapes is our own bug and shows its traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class AlexNetError(Exception):
    """What is wrong, where (path, line, value), and the remedy; `exit_code` is the process's."""

    exit_code = 1

    def __init__(self, what: str, *, where: object = "", remedy: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = str(where)
        self.remedy = remedy

    def __str__(self) -> str:
        return "\n".join(line for line in (self.what, self.where, self.remedy) if line)


class UsageError(AlexNetError, ValueError):
    """A name, option or value that does not exist or does not fit."""

    exit_code = 2


class DataError(AlexNetError, ValueError):
    """Images, archives, labels or prepared sets that cannot be used as they are."""

    exit_code = 3


class NumericsError(AlexNetError, ArithmeticError):
    """A number that is not finite where training or evaluation needs one."""

    exit_code = 4


class EnvironmentProblem(AlexNetError, RuntimeError):
    """The machine: no space, no permission, a held lock, no such device, a missing package."""

    exit_code = 5


class IncompatibleError(AlexNetError, ValueError):
    """Two things that do not belong together: classes, architecture, format version, configuration."""

    exit_code = 6


class Stopped(AlexNetError):
    """Asked to stop by a signal, after saving; the exit code is 128 + the signal's number."""

    def __init__(self, what: str, *, signal_number: int, remedy: str = "") -> None:
        super().__init__(what, remedy=remedy)
        self.exit_code = 128 + signal_number


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A sentence with the nearest known name, or the whole list when none is near."""
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"Did you mean {near[0]!r}?" if near else f"Known: {', '.join(known)}."
