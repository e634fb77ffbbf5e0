"""The process that others are forked from, and what they do to be as if they had been started.

`forking` is the other end of its channel: each request is a command line with a folder, an environment
and three streams; the answer is the number of the process that carries it out.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import importlib
import io
import json
import os
import runpy
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

from forking import REQUEST, Forked, fork_from_here

_NAME = 15  # of prctl
_PATIENCE = 10  # seconds: `torchrun` gives processes that it ends thirty
_BEGIN_OTHERS = ("alexnet", "torch.distributed.run")  # what begins processes of its own


def begin() -> None:
    """The program of the process that others are forked from: `begin(CHANNEL, MODULE...)`."""
    channel, *modules = sys.argv[1:]
    for module in modules:
        importlib.import_module(module)
    _ready_numba()
    serve(socket.socket(fileno=int(channel)))


def _ready_numba() -> None:
    """What Numba loads before its first kernel, which takes 0.3 s; no kernel runs."""
    from numba.core.registry import cpu_target

    cpu_target.typing_context.refresh()
    cpu_target.target_context.refresh()


def serve(channel: socket.socket) -> NoReturn:
    """Fork for each request, until nobody can ask any more; the child leaves by what it carries out."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.collect()
    gc.freeze()  # what is here already stays in memory that is shared
    while True:
        message, streams, _, _ = socket.recv_fds(channel, REQUEST, 3)
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
    unbuffered = request["command"][0] == "-u"
    command = request["command"][unbuffered:]
    _open_streams(unbuffered)
    _import_paths(command, paths)
    fork_from_here(command[0] == "-m" and command[1] in _BEGIN_OTHERS)
    if "torch" in sys.modules:
        import torch

        torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", len(os.sched_getaffinity(0)))))
    _end(lambda: _carry_out(command))


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
        sys.excepthook(*sys.exc_info())
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    try:
        if not sys.stdout.closed:
            sys.stdout.flush()
    except OSError:
        code = code or 120  # as Python has it
    sys.stderr.flush()
    os._exit(code & 0xFF)


def _open_streams(unbuffered: bool) -> None:
    sys.stdin = io.TextIOWrapper(io.BufferedReader(io.FileIO(0, closefd=False)))
    for number, name, errors in ((1, "stdout", "strict"), (2, "stderr", "backslashreplace")):
        stream = io.TextIOWrapper(
            io.BufferedWriter(io.FileIO(number, "w", closefd=False)), errors=errors,
            line_buffering=number == 2, write_through=unbuffered,
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
    if name == "torch.distributed.run":
        _fork_ranks()
    ctypes.CDLL(None).prctl(_NAME, Path(name).name[:15].encode(), 0, 0, 0)
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


def _fork_ranks() -> None:
    """What this `torchrun` begins is forked, and has less time to end when it has to."""
    from torch.distributed.elastic.agent.server.local_elastic_agent import LocalElasticAgent
    from torch.distributed.elastic.multiprocessing.api import PContext
    from torch.distributed.elastic.multiprocessing.subprocess_handler import subprocess_handler

    subprocess_handler.Popen = Forked  # type: ignore[attr-defined]
    LocalElasticAgent._shutdown.__defaults__ = (signal.SIGTERM, _PATIENCE)
    PContext.close.__defaults__ = (None, _PATIENCE)
