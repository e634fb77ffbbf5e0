"""What is forked is as what is started: tests that fork their programs rest on this."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import forking
import pytest
from forking import Forked

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing is forked")
ABOUT = """
import json, os, sys
json.dump({
    "arguments": sys.argv, "folder": os.getcwd(), "first": sys.path[0], "name": __name__,
    "parent": os.getppid(), "leads": [os.getsid(0) == os.getpid(), os.getpgid(0) == os.getpid()],
    "environment": dict(os.environ), "said": sys.stdin.read(),
}, sys.stdout)
"""


def about(command: list[str], **options: Any) -> dict[str, Any]:
    process = Forked(
        [sys.executable, *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        **options,
    )
    out, _ = process.communicate("a line\n", timeout=60)
    assert process.returncode == 0
    found: dict[str, Any] = json.loads(out)
    return found


def test_folder_arguments_environment_and_streams_are_its_own(tmp_path: Path) -> None:
    script = tmp_path / "there" / "it.py"
    script.parent.mkdir()
    script.write_text(ABOUT)
    env = {"PATH": os.environ["PATH"], "ONLY": "this"}
    for command in ([str(script), "one"], ["-c", ABOUT, "one"], ["-u", "-m", "it", "one"]):
        folder = script.parent if "-m" in command else tmp_path
        found = about(command, cwd=folder, env=env)
        assert found["arguments"] == [str(script) if command[0] != "-c" else "-c", "one"]
        assert found["folder"] == str(folder) and found["name"] == "__main__"
        assert found["first"] == str(tmp_path if command[0] == "-c" else script.parent)
        assert found["environment"] == env and found["said"] == "a line\n"
        assert found["parent"] == os.getpid()


def test_it_leads_a_session_or_a_group_where_it_is_to() -> None:
    assert about(["-c", ABOUT])["leads"] == [False, False]
    assert about(["-c", ABOUT], process_group=0)["leads"] == [False, True]
    assert about(["-c", ABOUT], start_new_session=True)["leads"] == [True, True]


@pytest.mark.parametrize(
    ("program", "code"),
    [
        ("", 0),
        ("import sys; sys.exit(3)", 3),
        ("import sys; sys.exit('said')", 1),
        ("1 / 0", 1),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -9),
        ("import atexit; atexit.register(print, 'said')", 0),
        ("import threading, time; threading.Timer(0.1, lambda: print('said')).start()", 0),
        ("import sys; print('said'); sys.stdout.close()", 0),
    ],
)
def test_it_ends_as_what_is_started(program: str, code: int) -> None:
    command = [sys.executable, "-c", program]
    forked = forking.run(command, capture_output=True, text=True)
    started = subprocess.run(command, capture_output=True, text=True)
    assert forked.returncode == started.returncode == code
    assert forked.stdout == started.stdout
    assert forked.stderr.splitlines()[-1:] == started.stderr.splitlines()[-1:]


def test_a_signal_reaches_it() -> None:
    program = (
        "import signal, sys\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))\n"
        "print('ready', flush=True)\n"
        "signal.pause()\n"
    )
    with Forked([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout and process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 7
    assert not Path(f"/proc/{process.pid}").exists()


def test_its_threads_are_those_it_is_told_and_kernels_run(tmp_path: Path) -> None:
    """Two threads in a process whose parent has one: of PyTorch's products and of Numba's loops."""
    program = (
        "import sys, torch\n"
        "from alexnet.network import AlexNet\n"
        "network = AlexNet(2, 'cifar18')\n"
        "torch.save([torch.get_num_threads(), network(torch.ones(2, 3, 32, 32)).detach()], sys.argv[1])\n"
    )
    command = [sys.executable, "-c", program]
    env = os.environ | forking.PATHS | {"OMP_NUM_THREADS": "2"}
    forking.run([*command, str(tmp_path / "forked")], env=env, check=True)
    subprocess.run([*command, str(tmp_path / "started")], env=env, check=True)
    import torch

    (ours, y), (theirs, expected) = (torch.load(tmp_path / n) for n in ("forked", "started"))
    assert ours == theirs == 2 and torch.equal(y, expected)


def test_sitecustomize_and_paths_are_those_of_its_environment(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import json\njson.AT_START = 'yes'\n")
    (tmp_path / "beside.py").write_text("import json\nprint(json.AT_START)\n")
    env = os.environ | {"PYTHONPATH": str(tmp_path)}
    for command in (["-c", "import beside"], ["-m", "beside"]):
        done = forking.run([sys.executable, *command], env=env, capture_output=True, text=True)
        assert done.stdout == "yes\n", done.stderr


def test_other_commands_are_started(tmp_path: Path) -> None:
    assert forking.run(["echo", "here"], capture_output=True, text=True).stdout == "here\n"
    done = forking.run(
        [sys.executable, "-X", "importtime", "-c", ""], capture_output=True, text=True
    )
    assert "site" in done.stderr
