"""The one way this package changes the disk: a file is the old one or the new one, never a part.

A file is written under a temporary name in its own folder, flushed to the disk, read back, renamed into
place, and the folder is flushed too. Every step of that passes `step`, where tests put a full disk, a
broken one, or the end of the process.
"""

from __future__ import annotations

import errno
import glob
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from alexnet.base.errors import DataError, EnvironmentProblem

_TEMPORARY = ".tmp."  # .NAME.tmp.PID


def _go_on(operation: str, path: Path) -> int | None:
    return None


# Called before every change of the disk: "create", "write", "flush", "verify", "rename", "remove",
# "link", "folder", "append". It may raise, and for a "write" it may answer how many bytes the disk takes.
step: Callable[[str, Path], int | None] = _go_on


class Written(NamedTuple):
    """What a file came to: its size in bytes and its SHA-256 in hexadecimal."""

    size: int
    sha256: str


class Writer:
    """A new file, open for writing, that counts and hashes what it is given."""

    closed = False  # Arrow asks

    def __init__(self, path: Path) -> None:
        self.path, self.size, self.digest = path, 0, hashlib.sha256()
        step("create", path)
        self._file = open(path, "wb", buffering=0)  # noqa: SIM115 - `write_atomically` closes it

    def write(self, data: Any) -> int:
        """Write all of `data` (anything with a buffer), however little the disk takes at a time."""
        view = memoryview(data).cast("B")
        self.digest.update(view)
        self.size += len(view)
        left = view
        while left:
            most = step("write", self.path)
            left = left[self._file.write(left[:most]) :]
        return len(view)

    def flush(self) -> None:
        """Nothing waits to be written."""

    def writable(self) -> bool:
        """It is."""
        return True

    def readable(self) -> bool:
        """It is not."""
        return False

    def finish(self) -> Written:
        """Flush to the disk, and read back; raises OSError where the disk gives back something else."""
        step("flush", self.path)
        os.fsync(self._file.fileno())
        written = Written(self.size, self.digest.hexdigest())
        step("verify", self.path)
        if sha256_of(self.path) != written.sha256:
            raise OSError(errno.EIO, "The disk gives back other bytes than were written")
        return written

    def close(self) -> None:
        """Close the file; once is enough."""
        self._file.close()


def write_atomically(path: Path, content: bytes | Callable[[Writer], None]) -> Written:
    """Replace `path` by `content` (bytes, or a function that writes to the open file).

    Raises EnvironmentProblem, leaving the old file as it was, when the disk refuses.
    """
    temporary = temporary_name(path)
    with disk_errors(path):
        make_folder(path.parent)
        sweep_temporaries(path.parent, path.name)
        try:
            file = Writer(temporary)
            try:
                if isinstance(content, bytes):
                    file.write(content)
                else:
                    content(file)
                written = file.finish()
            finally:
                file.close()
            _rename(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    return written


@contextmanager
def drafts(paths: Sequence[Path]) -> Iterator[list[Path]]:
    """Where files that belong together are filled, by whatever writes them; at the end of the block
    they get their own names, in this order.

    The last of several describes the others: an old one is deleted before any of them is replaced, so
    that where it is, all are of one writing. Raises EnvironmentProblem when the disk refuses: the old
    files are as they were, or some are replaced and there is no description.
    """
    temporary = [temporary_name(path) for path in paths]
    with disk_errors(paths[-1]):
        for path in paths:
            make_folder(path.parent)
            sweep_temporaries(path.parent, path.name)
        try:
            yield temporary
            for path in temporary:
                flush(path)
            if len(paths) > 1 and paths[-1].exists():
                remove(paths[-1])
                _flush_folder(paths[-1].parent)
            for path, final in zip(temporary, paths, strict=True):
                _rename(path, final)
        except BaseException:
            for path in temporary:
                path.unlink(missing_ok=True)
            raise


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A new folder beside `path`, to be filled; at the end of the block it gets that name.

    Nothing is at `path`, or an empty folder. What a failure or a killed process leaves of the new one is
    deleted; raises EnvironmentProblem when the disk refuses.
    """
    make_folder(path.parent)  # named as it was typed, if it cannot be made
    path = path.resolve()
    folder = temporary_name(path)
    with disk_errors(path):
        sweep_temporaries(path.parent, path.name)
    remove(folder)
    try:
        make_folder(folder)
        yield folder
        rename(folder, path)
    except BaseException:
        remove(folder)
        raise


def append(path: Path, text: str) -> None:
    """Add lines to a file that grows; raises EnvironmentProblem when the disk refuses.

    They are flushed to the disk by `flush`, not before.
    """
    with disk_errors(path):
        step("append", path)
        with open(path, "ab", buffering=0) as file:
            left = memoryview(text.encode("utf-8", "surrogateescape"))
            while left:
                left = left[file.write(left) :]


def flush(path: Path) -> None:
    """Make what was appended to a file survive a power cut; there need be no such file."""
    if path.exists():
        with disk_errors(path), open(path, "ab") as file:
            step("flush", path)
            os.fsync(file.fileno())


def rename(old: Path, new: Path) -> None:
    """Give a file or folder another name, for good; raises EnvironmentProblem when the disk refuses."""
    with disk_errors(new):
        _rename(old, new)


def link(old: Path, new: Path) -> bool:
    """Give a file a second name, whatever has that; False where the file system has no such thing."""
    remove(new)
    with disk_errors(new):
        step("link", new)
    try:
        os.link(old, new)
    except OSError:
        return False
    with disk_errors(new):
        _flush_folder(new.parent)
    return True


def remove(path: Path) -> None:
    """Delete a file, or a folder with all that is in it; there need be none."""
    with disk_errors(path):
        step("remove", path)
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def make_folder(path: Path) -> None:
    """The folder and those above it, as far as they are missing; raises EnvironmentProblem."""
    there = next(folder for folder in (path, *path.parents) if folder.exists())
    if not there.is_dir():
        raise EnvironmentProblem(
            "There is a file where a folder should be.",
            where=there,
            remedy="Move it away, or choose another folder.",
        )
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    with disk_errors(path):
        for folder in reversed(missing):
            step("folder", folder)
            folder.mkdir(exist_ok=True)
            _flush_folder(folder.parent)


def sweep_temporaries(folder: Path, name: str = "") -> list[Path]:
    """Delete what dead processes left of the file or folder `name`, or of any; what was deleted."""
    swept = []
    for path in folder.glob(f".{glob.escape(name) or '*'}{_TEMPORARY}*"):
        owner = path.name.rpartition(".")[2]
        if owner.isdigit() and not is_alive(int(owner)):
            remove(path)
            swept.append(path)
    return swept


def temporary_name(path: Path) -> Path:
    """Where a file or folder is filled before it is renamed to `path`."""
    return path.with_name(f".{path.name}{_TEMPORARY}{os.getpid()}")


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
    except (ValueError, RecursionError) as error:  # numbers too long, brackets too deep among them
        raise DataError(f"Not valid JSON: {error}.", where=path) from None


def is_alive(pid: int) -> bool:
    """Whether a process of this number runs on this machine; where nobody can tell, it may."""
    if os.name == "nt":  # a signal 0 would end it
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """What the system says of `path`, as an error that says what to do."""
    try:
        yield
    except OSError as error:
        raise _explained(error, path) from error


def _rename(old: Path, new: Path) -> None:
    step("rename", new)
    os.replace(old, new)
    _flush_folder(new.parent)


def _flush_folder(folder: Path) -> None:
    """Make what was renamed or made inside `folder` survive a power cut."""
    step("flush", folder)
    if os.name == "nt":  # folders cannot be opened there
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _explained(error: OSError, path: Path) -> EnvironmentProblem:
    remedy = {
        errno.ENOSPC: "Free some space, or choose another folder.",
        errno.EDQUOT: "The quota is used up: free some space, or choose another folder.",
        errno.EACCES: "The folder is not writable: change its permissions, or choose another.",
        errno.EROFS: "The file system is read-only: choose another folder.",
    }.get(error.errno or 0, "Try again when the disk answers.")
    return EnvironmentProblem(
        f"Cannot write: {error.strerror or error}.", where=path, remedy=remedy
    )
