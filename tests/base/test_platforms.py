"""What is not on every system is not needed to begin."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import forking

ROOT = str(Path(__file__).resolve().parents[2])
PROGRAM = """
import importlib, mmap, os, pkgutil, signal, sys
import torch, numba, pyarrow, matplotlib.figure, scipy, PIL.Image, safetensors.numpy, jinja2, typer
import alexnet.network.operators

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name in GONE:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

GONE = {"fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "syslog"}
sys.meta_path.insert(0, Missing())
alexnet.network.operators._LIBRARY._destroy()  # to be registered once more
for name in [name for name in sys.modules if name in GONE or name.split(".")[0] == "alexnet"]:
    del sys.modules[name]
for owner, names in {
    os: "fork forkpty getuid geteuid getgid sched_getaffinity sched_setaffinity sysconf statvfs pread "
        "pwrite killpg setsid getpgid nice getloadavg posix_fadvise mkfifo wait4 uname O_NOFOLLOW",
    signal: "SIGHUP SIGKILL SIGPROF SIGALRM SIGUSR1 setitimer alarm pthread_sigmask ITIMER_PROF",
    mmap: "MADV_WILLNEED MADV_DONTNEED MADV_HUGEPAGE",
}.items():
    for name in names.split():
        if hasattr(owner, name):
            delattr(owner, name)
count = 0
import alexnet
for module in pkgutil.walk_packages(alexnet.__path__, "alexnet."):
    if module.name == "alexnet.__main__":
        continue
    try:
        importlib.import_module(module.name)
        count += 1
    except ModuleNotFoundError as error:  # jax and the like, where they are not installed
        if error.name in GONE or error.name.startswith("alexnet"):
            raise
from alexnet.base.provenance import memory_bytes
from alexnet.base.ranks import cores
from alexnet.base.signals import stop_request
with stop_request():
    print(count, cores() > 0, memory_bytes() > 0)
"""


def test_every_module_is_imported_where_there_is_no_fcntl_and_the_like(tmp_path: Path) -> None:
    done = forking.run(
        [sys.executable, "-c", PROGRAM], cwd=tmp_path, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": ROOT},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    count, *works = done.stdout.split()
    assert int(count) > 150 and works == ["True", "True"]
