"""Runs command lines, each in a forked process of its own: `door.py CASES.json FOUND.json`.

A case is {"folder", "command", "memory"}; what was found of it is its exit status, what it said, its
peak of memory, and what it did that reading has no business to do: run programs, connect, write.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import traceback
from pathlib import Path
from typing import Any

SUSPICIOUS = {
    *("os.system", "os.exec", "os.posix_spawn", "os.fork", "pty.spawn", "webbrowser.open"),
    *("socket.connect", "socket.bind", "socket.getaddrinfo", "urllib.Request", "shutil.rmtree"),
    *("os.remove", "os.rename", "os.mkdir", "os.link", "os.symlink", "os.truncate", "os.chmod"),
}


def watch(log: int) -> None:
    """Note what Python itself reports of this process; it cannot be turned off again."""

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        what = ""
        worker = event == "subprocess.Popen" and "alexnet.prepared.worker" in arguments[1]
        if event in SUSPICIOUS or (event == "subprocess.Popen" and not worker):
            what = f"{event} {arguments!r}"
        elif (
            event == "open"
            and not isinstance(arguments[0], int)  # the pipes of a worker
            and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        ):
            what = f"open {arguments[0]!r} for writing"
        if what:
            os.write(log, what.encode("utf-8", "replace") + b"\n")

    sys.addaudithook(hook)


def child(case: dict[str, Any], out: Path) -> None:
    os.chdir(case["folder"])
    for descriptor, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(out / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
    log = os.open(out / "did", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    resource.setrlimit(resource.RLIMIT_DATA, (case["memory"], case["memory"]))
    watch(log)
    code = 1
    try:
        code = enter(case["command"])
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def enter(command: list[str]) -> int:
    """The command line, or for checkpoints the function behind it."""
    from alexnet.base.errors import AlexNetError
    from alexnet.cli import main
    from alexnet.models import checkpoint

    if command[0] != "(checkpoint)":
        return main.run(command)
    try:
        checkpoint.load(Path(command[1]))
    except AlexNetError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


def preload() -> None:
    """What every child would import again."""
    import alexnet.cli.main
    import alexnet.evaluation
    import alexnet.models.checkpoint
    import alexnet.models.find
    import alexnet.network
    import alexnet.prepared
    import alexnet.sources  # noqa: F401


def main() -> None:
    preload()
    found = []
    out = Path(sys.argv[2]).resolve().parent / "out"
    out.mkdir()
    for case in json.loads(Path(sys.argv[1]).read_text()):
        pid = os.fork()
        if pid == 0:
            child(case, out)
        _, status, used = os.wait4(pid, 0)
        said = {
            name: (out / name).read_text("utf-8", "replace") for name in ("stdout", "stderr", "did")
        }
        found.append(
            {"code": os.waitstatus_to_exitcode(status), "peak": used.ru_maxrss * 1024, **said}
        )
    Path(sys.argv[2]).write_text(json.dumps(found))


if __name__ == "__main__":
    main()
