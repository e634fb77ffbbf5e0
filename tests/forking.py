"""Python programs in processes forked from one that has imported everything they need.

A start of Python with PyTorch takes two to four seconds of a core, a fork of one that has it some
milliseconds. `Forked` is `subprocess.Popen` for that: the process is a child of the caller's own, with
its own environment, folder, streams, group and end. What it is forked from runs no kernel and has one
thread, so that every pool of threads begins in the child, as it would after a start.

What is fixed when a library is loaded is not as after a start: options of the interpreter, the seed of
hashes, `NUMBA_*`. Tests that are about those, about memory, or about the start, start a process.
"""

from __future__ import annotations

import ctypes
import inspect
import json
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

TESTS = Path(__file__).parent
PATHS = {"PYTHONPATH": os.pathsep.join([str(TESTS.parent), str(TESTS)])}
# What training, the verbs and `torchrun` import, and what a worker of a preparation does.
PROGRAMS = """
    alexnet.cli.main alexnet.models.find alexnet.training.train alexnet.training.session
    alexnet.evaluation.evaluate alexnet.evaluation.classifier alexnet.prepared.verification
    alexnet.sources.open torch.distributed.run torture.narrow_run
"""
WORKERS = "alexnet.prepared.work alexnet.prepared.worker"
# No library may begin a thread when it is loaded; Arrow's allocator would.
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "JE_ARROW_MALLOC_CONF": "background_thread:false"}
_SUBREAPER = 36  # of prctl
_LINUX = sys.platform == "linux"
REQUEST = 2**18  # bytes at most


class Forked(subprocess.Popen[Any]):
    """`subprocess.Popen` of `[sys.executable, FILE or -m MODULE or -c PROGRAM, ...]` without its start.

    Other commands, and all elsewhere than on Linux, are started as ever.
    """

    modules = PROGRAMS

    def _execute_child(self, *given: Any) -> None:
        about = inspect.signature(super()._execute_child).bind(*given).arguments  # type: ignore[misc]
        command = list(map(str, about["args"]))
        if not _can_be_forked(command, about):
            super()._execute_child(*given)  # type: ignore[misc]
            return
        environment = os.environ if about["env"] is None else about["env"]
        request = {
            "command": command[1:],
            "folder": str(about["cwd"] or Path.cwd()),
            "environment": dict(environment),
            "session": about["start_new_session"],
            "group": about["process_group"],
        }
        ends = (about["p2cread"], about["c2pwrite"], about["errwrite"])
        streams = [own if end == -1 else end for own, end in enumerate(ends)]
        self.pid = _parent(self.modules).fork(request, streams)
        self._child_created = True
        pipes = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
        self._close_pipe_fds(*(about[name] for name in pipes))  # type: ignore[attr-defined]


class ForkedWorker(Forked):
    """The same for a worker of a preparation, which has less in memory."""

    modules = WORKERS


def run(command: list[str], **options: Any) -> subprocess.CompletedProcess[Any]:
    """`subprocess.run`, forked; `timeout`, `check` and `capture_output` as there."""
    timeout, check = options.pop("timeout", None), options.pop("check", False)
    if options.pop("capture_output", False):
        options |= {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with Forked(command, **options) as process:
        try:
            said = process.communicate(timeout=timeout)
        except BaseException:
            process.kill()
            raise
    done = subprocess.CompletedProcess(command, process.returncode, *said)
    if check:
        done.check_returncode()
    return done


def fork_workers() -> None:
    """Workers of preparations that this process begins are forked from now on."""
    from alexnet.prepared import workers

    workers.subprocess = SimpleNamespace(Popen=ForkedWorker, PIPE=subprocess.PIPE)  # type: ignore[attr-defined,assignment]


def start_workers() -> None:
    """They are started again, as users have them."""
    from alexnet.prepared import workers

    workers.subprocess = subprocess  # type: ignore[attr-defined]


def _can_be_forked(command: list[str], about: dict[str, Any]) -> bool:
    plain = not (about["preexec_fn"] or about["pass_fds"] or about["shell"] or about["executable"])
    if command[0] != sys.executable:
        return False
    program = next((word for word in command[1:] if word != "-u"), "-")
    return _LINUX and plain and (program in ("-m", "-c") or not program.startswith("-"))


class Parent:
    """The process that others are forked from, and how they are asked for."""

    def __init__(self, modules: str | None) -> None:
        """One that imports these modules; without, a fork of this process as it is now."""
        self._channel, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._channel.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, REQUEST)
        if modules is None:
            import forked

            if os.fork() == 0:
                self._channel.close()
                nowhere = os.open(os.devnull, os.O_RDWR)
                for number in range(3):
                    os.dup2(nowhere, number)
                forked.serve(other)
        else:
            program = "import forked; forked.begin()"
            command = [sys.executable, "-c", program, str(other.fileno()), *modules.split()]
            environment = os.environ | PATHS | _ONE_THREAD
            self._process = subprocess.Popen(command, env=environment, pass_fds=[other.fileno()])
        other.close()

    def fork(self, request: dict[str, Any], streams: list[int]) -> int:
        """The number of a new child of this process."""
        with _asking:
            _prctl(_SUBREAPER, 1)  # whose parent ends is then our child
            try:
                socket.send_fds(self._channel, [json.dumps(request).encode()], streams)
                return int(self._channel.recv(64))
            except (OSError, ValueError) as error:
                raise RuntimeError(
                    "What others are forked from has ended, and said why."
                ) from error
            finally:
                _prctl(_SUBREAPER, 0)


_parents: dict[str, Parent] = {}
_starting, _asking = threading.Lock(), threading.Lock()
_OWN = ""  # the key of a fork of a forked process, made at its beginning, for everything


def _parent(modules: str) -> Parent:
    with _starting:
        if _OWN not in _parents and modules not in _parents:
            _parents[modules] = Parent(modules)
        return _parents.get(_OWN) or _parents[modules]


def fork_from_here(wanted: bool) -> None:
    """What a forked process begins is forked from it as it is now, or as in any other process."""
    _parents.clear()
    if wanted:
        _parents[_OWN] = Parent(None)
        fork_workers()


def _prctl(what: int, value: int) -> None:
    ctypes.CDLL(None).prctl(what, value, 0, 0, 0)
