"""Python programs in processes forked from one that has imported everything they need.

A start of Python with PyTorch takes two to four seconds of a core, a fork of one that has it some
milliseconds. `Forked` is `subprocess.Popen` for that: the process is a child of the caller's own, with
its own environment, folder, streams, group and end. What it is forked from runs no kernel and has one
thread, so that every pool of threads begins in the child, as it would after a start.

What is fixed when a library is loaded is not as after a start: options of the interpreter, the seed of
hashes, `NUMBA_*`. Tests that are about those, about memory, or about the start, start a process.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import importlib
import inspect
import io
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, NoReturn

TESTS = Path(__file__).parent
PATHS = {"PYTHONPATH": os.pathsep.join([str(TESTS.parent), str(TESTS)])}
PROGRAMS = (  # what training, the verbs and `torchrun` import
    *("alexnet.cli.main", "alexnet.models.find", "alexnet.training.train", "alexnet.training.session"),
    *("alexnet.evaluation.evaluate", "alexnet.evaluation.classifier", "alexnet.prepared.verify"),
    *("alexnet.sources.open", "torch.distributed.run", "torture.narrow_run"),
)
WORKERS = ("alexnet.prepared.work", "alexnet.prepared.worker")  # what a worker of a preparation imports
# No library may begin a thread when it is loaded; Arrow's allocator would.
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "JE_ARROW_MALLOC_CONF": "background_thread:false"}
_SUBREAPER, _NAME = 36, 15  # of prctl
_LINUX = sys.platform == "linux"
_REQUEST = 2**18  # bytes at most
_BEGIN_OTHERS = ("alexnet", "torch.distributed.run")  # what processes of their own are forked for


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

    workers.subprocess = SimpleNamespace(Popen=ForkedWorker, PIPE=subprocess.PIPE)  # type: ignore[attr-defined]


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


# --- This side ------------------------------------------------------------------------------------


class Parent:
    """The process that others are forked from, and how they are asked for."""

    def __init__(self, modules: tuple[str, ...] | None) -> None:
        """One that imports these modules; without, a fork of this process as it is now."""
        self._channel, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._channel.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _REQUEST)
        if modules is None:
            if os.fork() == 0:
                self._channel.close()
                nowhere = os.open(os.devnull, os.O_RDWR)
                for number in range(3):
                    os.dup2(nowhere, number)
                _serve(other)
        else:
            program = "import forking; forking.begin()"
            command = [sys.executable, "-c", program, str(other.fileno()), *modules]
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
                raise RuntimeError("What others are forked from has ended, and said why.") from error
            finally:
                _prctl(_SUBREAPER, 0)


_parents: dict[tuple[str, ...] | None, Parent] = {}
_starting, _asking = threading.Lock(), threading.Lock()


def _parent(modules: tuple[str, ...]) -> Parent:
    """Of a forked process the fork that was made at its beginning, for everything."""
    with _starting:
        found = _parents.get(None) or _parents.get(modules)
        if found is None:
            found = _parents[modules] = Parent(modules)
        return found


def _prctl(what: int, value: int | bytes) -> None:
    ctypes.CDLL(None).prctl(what, value, 0, 0, 0)


# --- The other side -------------------------------------------------------------------------------


def begin() -> None:
    """The program of the process that others are forked from: `begin(CHANNEL, MODULE...)`."""
    channel, *modules = sys.argv[1:]
    for module in modules:
        importlib.import_module(module)
    _ready_numba()
    _serve(socket.socket(fileno=int(channel)))


def _ready_numba() -> None:
    """What Numba loads before its first kernel, which takes 0.3 s; no kernel runs."""
    from numba.core.registry import cpu_target

    cpu_target.typing_context.refresh()
    cpu_target.target_context.refresh()


def _serve(channel: socket.socket) -> NoReturn:
    """Fork for each request, until nobody can ask any more; the child leaves by what it carries out."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.collect()
    gc.freeze()  # what is here already stays in memory that is shared
    while True:
        message, streams, _, _ = socket.recv_fds(channel, _REQUEST, 3)
        if not message:
            os._exit(0)
        assert len(os.listdir("/proc/self/task")) == 1, "threads do not survive a fork"
        reads, writes = os.pipe()
        between = os.fork()
        if between == 0:
            between, child = os.getpid(), os.fork()
            if child:
                os.write(writes, str(child).encode())
                os._exit(0)  # whoever asked is then the child's parent
            for descriptor in (channel.detach(), reads, writes):
                os.close(descriptor)
            while os.getppid() == between:
                time.sleep(0.0005)
            _become(json.loads(message), streams)
        os.waitpid(between, 0)
        channel.send(os.read(reads, 64))
        for descriptor in (reads, writes, *streams):
            os.close(descriptor)


def _become(request: dict[str, Any], streams: list[int]) -> NoReturn:
    """Be the process that the request describes, to its end."""
    for number, descriptor in enumerate(streams):
        os.dup2(descriptor, number)
        os.close(descriptor)
    if request["session"]:
        os.setsid()
    elif request["group"] >= 0:
        os.setpgid(0, request["group"])
    os.chdir(request["folder"])
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    os.environ.clear()
    os.environ.update(request["environment"])
    command = request["command"]
    unbuffered = command[0] == "-u"
    _open_streams(unbuffered)
    _import_paths(command[unbuffered:], paths)
    if "torch" in sys.modules:
        import torch

        torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", len(os.sched_getaffinity(0)))))
    _parents.clear()
    _end(lambda: _carry_out(command[unbuffered:]))


def _end(program: Callable[[], None]) -> NoReturn:
    """Carry out a program and end as Python does, but for taking every module apart (0.2 s)."""
    code = 1
    try:
        program()
        code = 0
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
        if isinstance(leaving.code, str):
            print(leaving.code, file=sys.stderr)
    except BaseException:
        sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
    except OSError:
        code = code or 120  # as Python has it
    sys.stderr.flush()
    os._exit(code & 0xFF)


def _open_streams(unbuffered: bool) -> None:
    sys.stdin = sys.__stdin__ = open(0, closefd=False)
    for number, name, errors in ((1, "stdout", "strict"), (2, "stderr", "backslashreplace")):
        stream = io.TextIOWrapper(
            open(number, "wb", closefd=False), errors=errors, line_buffering=number == 2,
            write_through=unbuffered,
        )  # fmt: skip
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def _import_paths(command: list[str], before: list[str]) -> None:
    """What Python does with PYTHONPATH at its start; a `sitecustomize` in it is carried out."""
    inside = command[0] in ("-m", "-c")
    first = os.getcwd() if inside else str(Path(command[0]).resolve().parent)
    given = list(filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)))
    sys.path[:] = [first, *given, *(path for path in sys.path if path not in ["", *before])]
    sys.path_importer_cache.clear()
    if any(Path(folder, "sitecustomize.py").exists() for folder in given):
        sys.modules.pop("sitecustomize", None)
        importlib.import_module("sitecustomize")


def _carry_out(command: list[str]) -> None:
    """What `python COMMAND` carries out, in a `__main__` of its own."""
    program, *arguments = command
    name = arguments.pop(0) if program in ("-m", "-c") else program
    if program == "-m" and name in _BEGIN_OTHERS:
        _parents[None] = Parent(None)
        fork_workers()
    if name == "torch.distributed.run":
        from torch.distributed.elastic.multiprocessing.subprocess_handler import subprocess_handler

        subprocess_handler.Popen = Forked  # type: ignore[misc]
    _prctl(_NAME, Path(name).name[:15].encode() if program != "-c" else b"python")
    sys.argv = [program if program == "-c" else name, *arguments]
    if program == "-m":
        if not hasattr(sys.modules.get(name), "__path__"):
            sys.modules.pop(name, None)  # it is carried out anew
        runpy.run_module(name, run_name="__main__", alter_sys=True)
        return
    main = sys.modules["__main__"] = ModuleType("__main__")
    if program == "-c":
        exec(compile(name, "<string>", "exec"), main.__dict__)
    else:
        main.__file__ = name
        exec(compile(Path(name).read_bytes(), name, "exec"), main.__dict__)
