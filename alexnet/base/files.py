"""The one way this package changes the disk: a file is the old one or the new one, never a part.

A file is written under a temporary name in its own folder, flushed to the disk, read back, renamed into
place, and the folder is flushed too. Every step of that passes `step`, where tests put a full disk, a
broken one, or the end of the process.
"""

from __future__ import annotations

import errno
import fcntl
import glob
import hashlib
import json
import os
import platform
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from alexnet.base.errors import DataError, EnvironmentProblem

_TEMPORARY = ".tmp."  # .NAME.tmp.PID
_LITTER = {"thumbs.db", "desktop.ini", "__macosx"}


def _go_on(operation: str, path: Path) -> int | None:
    return None


# Called before every change of the disk: "create", "write", "flush", "verify", "rename", "remove",
# "folder", "append". It may raise, and for a "write" it may answer how many bytes the disk takes.
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
    with _explaining(path):
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
    with _explaining(paths[-1]):
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
    with _explaining(path):
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
    with _explaining(path):
        step("append", path)
        with open(path, "ab", buffering=0) as file:
            left = memoryview(text.encode("utf-8", "surrogateescape"))
            while left:
                left = left[file.write(left) :]


def flush(path: Path) -> None:
    """Make what was appended to a file survive a power cut; there need be no such file."""
    if path.exists():
        with _explaining(path), open(path, "ab") as file:
            step("flush", path)
            os.fsync(file.fileno())


def rename(old: Path, new: Path) -> None:
    """Give a file or folder another name, for good; raises EnvironmentProblem when the disk refuses."""
    with _explaining(new):
        _rename(old, new)


def remove(path: Path) -> None:
    """Delete a file, or a folder with all that is in it; there need be none."""
    with _explaining(path):
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
    with _explaining(path):
        for folder in reversed(missing):
            step("folder", folder)
            folder.mkdir(exist_ok=True)
            _flush_folder(folder.parent)


class Lock:
    """The right to write in a folder, which one process has; the system takes it back at its end.

    Raises EnvironmentProblem at once, naming the holder, where another process has it; `what` says
    what that process does there.
    """

    def __init__(self, path: Path, what: str) -> None:
        with _explaining(path):
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
            if words and not (here and not _is_alive(int(words[1]))):
                return text
            time.sleep(0.01)
        return "another process"

    def release(self) -> None:
        """Let others write."""
        os.close(self._descriptor)


def sweep_temporaries(folder: Path, name: str = "") -> list[Path]:
    """Delete what dead processes left of the file or folder `name`, or of any; what was deleted."""
    swept = []
    for path in folder.glob(f".{glob.escape(name) or '*'}{_TEMPORARY}*"):
        owner = path.name.rpartition(".")[2]
        if owner.isdigit() and not _is_alive(int(owner)):
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


def program_hash() -> str:
    """The SHA-256 of this package's source files: which program this is, down to the last change."""
    digest, package = hashlib.sha256(), Path(__file__).parents[1]
    for path in sorted(package.rglob("*.py")):
        digest.update(f"{path.relative_to(package)}\0{sha256_of(path)}\0".encode())
    return digest.hexdigest()


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
    except (ValueError, RecursionError) as error:  # numbers too long, brackets too deep among them
        raise DataError(f"Not valid JSON: {error}.", where=path) from None


def is_hidden(name: str) -> bool:
    """Whether a file or folder is litter of an operating system or editor, by its name."""
    return name.startswith(".") or name.lower() in _LITTER


def printable(name: str) -> str:
    """A name that is safe to print: bytes that are no UTF-8 and control characters escaped."""
    return "".join(c if c.isprintable() else _escaped(c) for c in name)


def _escaped(character: str) -> str:
    """As Python writes it, a byte that is no UTF-8 as that byte."""
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # how the system's names come with such bytes
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@contextmanager
def _explaining(path: Path) -> Iterator[None]:
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
