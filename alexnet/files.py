"""The one way this package writes files: whole or not at all.

A file is written under a temporary name in its own folder, flushed to the disk, renamed into place,
and the folder is flushed too, so that a crash at any moment leaves the old file or the new one.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from alexnet.errors import DataError, EnvironmentProblem

_TEMPORARY = ".tmp."  # .NAME.tmp.PID


def write_atomically(path: Path, content: bytes | Callable[[BinaryIO], None]) -> None:
    """Replace `path` by `content` (bytes, or a function that writes to the open file).

    Raises EnvironmentProblem, leaving the old file as it was, when the disk refuses.
    """
    temporary = path.with_name(f".{path.name}{_TEMPORARY}{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            if isinstance(content, bytes):
                file.write(content)
            else:
                content(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        fsync_folder(path.parent)
    except OSError as error:
        raise _explained(error, path) from error
    finally:
        temporary.unlink(missing_ok=True)


def fsync_folder(folder: Path) -> None:
    """Make renames inside `folder` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sweep_temporaries(folder: Path) -> list[Path]:
    """Delete temporary files that dead processes left in `folder`; return what was deleted."""
    swept = []
    for path in folder.glob(f".*{_TEMPORARY}*"):
        owner = path.name.rpartition(".")[2]
        if owner.isdigit() and not _is_alive(int(owner)):
            path.unlink(missing_ok=True)
            swept.append(path)
    return swept


def require_space(folder: Path, needed: int, what: str, remedy: str) -> None:
    """Raise EnvironmentProblem unless `needed` bytes are free where `folder` is; `what` needs them."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise EnvironmentProblem(
            f"{what} needs {needed / 1e9:.1f} GB; {free / 1e9:.1f} GB are free.",
            where=folder,
            remedy=remedy,
        )


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def classes_hash(classes: Sequence[str]) -> str:
    """A SHA-256 of class names in order: what binds labels and weights to names."""
    return hashlib.sha256("\0".join(classes).encode("utf-8", "surrogateescape")).hexdigest()


def canonical_json(value: Any) -> bytes:
    """JSON whose bytes depend on the value alone (sorted keys, one trailing newline)."""
    return (json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode(
        "utf-8", "surrogateescape"
    )


def write_json(path: Path, value: Any) -> None:
    """Write `value` as canonical JSON, atomically."""
    write_atomically(path, canonical_json(value))


def read_json(path: Path) -> Any:
    """Read a JSON file; raises DataError that names the file and the place of the fault."""
    try:
        return json.loads(path.read_bytes().decode("utf-8", "surrogateescape"))
    except FileNotFoundError:
        raise DataError("A file is missing.", where=path) from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"Not valid JSON: {error}.", where=path) from None


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _explained(error: OSError, path: Path) -> EnvironmentProblem:
    remedy = {
        errno.ENOSPC: "Free some space, or choose another folder.",
        errno.EDQUOT: "The quota is used up: free some space, or choose another folder.",
        errno.EACCES: "The folder is not writable: change its permissions, or choose another.",
        errno.EROFS: "The file system is read-only: choose another folder.",
    }.get(error.errno or 0, "Nothing was changed; try again when the disk answers.")
    return EnvironmentProblem(
        f"Cannot write: {error.strerror or error}.", where=path, remedy=remedy
    )
