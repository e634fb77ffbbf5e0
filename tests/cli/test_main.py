"""The command line as a process: what it prints, where, and its exit codes."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from launch import PATHS

from alexnet import __version__
from alexnet.base.errors import AlexNetError, DataError, Stopped
from alexnet.cli import main

ROOT = Path(__file__).parents[2]
HEAVY = {"torch", "numpy", "numba", "pyarrow", "matplotlib", "PIL", "skimage", "sklearn"}


def alexnet(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "alexnet", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, **options)  # type: ignore[call-overload,no-any-return]


@pytest.fixture
def verb_that_raises(monkeypatch: pytest.MonkeyPatch) -> object:
    """Replaces the work of `alexnet summary` by an error."""

    def make(error: BaseException) -> None:
        def broken(_: str) -> int:
            raise error

        monkeypatch.setattr("alexnet.cli.summary._convention", broken)

    return make


def test_what_an_error_names_cannot_steer_the_terminal(
    verb_that_raises: Callable[[BaseException], None], capsys: pytest.CaptureFixture[str]
) -> None:
    verb_that_raises(DataError("No\x1b[2J", where="photos/\r\udcff é.jpg", remedy="Look."))
    assert main.run(["summary", "x"]) == 3
    assert capsys.readouterr().err == "No\\x1b[2J\nphotos/\\r\\xff é.jpg\nLook.\n"


@pytest.mark.parametrize("what", ["import alexnet", "-m alexnet --help"])
def test_heavy_libraries_wait_until_they_are_needed(what: str) -> None:
    arguments = ["-c", what] if what.startswith("import") else what.split()
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    )
    loaded = {line.split("|")[-1].strip().split(".")[0] for line in done.stderr.splitlines()}
    assert "alexnet" in loaded
    assert loaded.isdisjoint(HEAVY)


def test_help_names_every_verb() -> None:
    done = alexnet("--help")
    assert done.returncode == 0
    verbs = "quickstart doctor data train resume runs evaluate predict report summary reproduce benchmark"
    for verb in verbs.split():
        assert f"\n  {verb} " in done.stdout
    assert alexnet().stdout == done.stdout == alexnet("-h").stdout == alexnet("help").stdout


@pytest.mark.parametrize("verb", [["train"], ["data", "prepare"], ["benchmark"]])
def test_help_has_three_ways(verb: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    said = []
    for arguments in (["help", *verb], [*verb, "-h"], [*verb, "--help"]):
        assert main.run(arguments) == 0
        said.append(capsys.readouterr().out)
    assert said[0] == said[1] == said[2]
    assert said[0].startswith(f"Usage: alexnet {' '.join(verb)} ")


def test_the_shell_completes_verbs_and_options() -> None:
    def completed(words: str) -> list[str]:
        asked = {"_ALEXNET_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": "1"}
        number = str(len(words.split()) - 1)
        env = os.environ | asked | {"COMP_CWORD": number}
        return alexnet(env=env).stdout.split()

    assert completed("alexnet re") == ["resume", "report", "reproduce"]
    assert "--epochs" in completed("alexnet train --")
    script = alexnet("--show-completion", "bash", env=os.environ | {"SHELL": "/bin/bash"}).stdout
    assert "_ALEXNET_COMPLETE=complete_bash" in script


def test_version() -> None:
    assert alexnet("--version").stdout == f"alexnet {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["trian"], "No such command 'trian'. Did you mean 'train'?\nHelp: alexnet --help\n"),
        (["help", "trian"], "No such command 'trian'. Did you mean 'train'?\nHelp: alexnet --help"),
        (["summary", "--jsn"], "--json"),
        (["train", "x", "--batch-size", "3"], "No such option: --batch-size.\nSay --batch N."),
        (["train", "x", "--lr=1"], "Say --set optimizer.learning_rate=VALUE."),
        (["train", "x", "--workers", "3"], "there is nothing to set"),
        (["summary", "a", "b"], "Help: alexnet summary --help"),
        (["evaluate", "model"], "\nalexnet evaluate MODEL... DATA\nHelp: "),
        (["summary", "no/such/model"], "There is no model 'no/such/model'.\nlooked for"),
    ],
)
def test_usage_errors_are_short_and_leave_with_2(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert words in err
    assert len(err.splitlines()) <= 3


@pytest.mark.parametrize(
    ("error", "code", "lines"),
    [
        (
            DataError("No images.", where="a/b", remedy="Add some."),
            3,
            "No images.\na/b\nAdd some.",
        ),
        (Stopped("Stopped at step 3.", signal_number=signal.SIGTERM), 143, "Stopped at step 3."),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), 5, "Permission denied.\n/x"),
        (KeyboardInterrupt(), 130, "Interrupted."),
    ],
)
def test_errors_are_lines_and_codes(
    verb_that_raises: object,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    code: int,
    lines: str,
) -> None:
    verb_that_raises(error)  # type: ignore[operator]
    assert main.run(["summary"]) == code
    assert capsys.readouterr().err == lines + "\n"


def test_debug_shows_the_traceback_at_any_place(verb_that_raises: object) -> None:
    verb_that_raises(DataError("No images."))  # type: ignore[operator]
    for arguments in (["--debug", "summary"], ["summary", "--debug"]):
        with pytest.raises(AlexNetError):
            main.run(arguments)


def test_our_own_bugs_keep_their_traceback(verb_that_raises: object) -> None:
    verb_that_raises(ZeroDivisionError())  # type: ignore[operator]
    with pytest.raises(ZeroDivisionError):
        main.run(["summary"])


@contextmanager
def nobody_reads() -> Iterator[int]:
    """The end of a pipe that is written to, whose reader has left."""
    reading, writing = os.pipe()
    os.close(reading)
    yield writing
    os.close(writing)


@pytest.mark.parametrize(
    ("arguments", "stderr"),
    [("summary", subprocess.PIPE), ("runs", subprocess.PIPE), ("--help", subprocess.STDOUT)],
)
def test_a_reader_that_leaves_early_is_no_error(
    arguments: str, stderr: int, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "alexnet", arguments]
    with nobody_reads() as pipe:
        done = subprocess.run(
            command, stdout=pipe, stderr=stderr, cwd=tmp_path, env=os.environ | PATHS
        )
    assert not done.stderr
    assert done.returncode == 0


def test_errors_and_unfinished_work_keep_their_codes_when_nobody_reads(tmp_path: Path) -> None:
    for arguments, code in ((["trian"], 2), (["data", "prepare", "synthetic:50x2"], 141)):
        with nobody_reads() as pipe:
            command = [sys.executable, "-m", "alexnet", *arguments]
            done = subprocess.run(
                command, stdout=pipe, stderr=pipe, cwd=tmp_path, env=os.environ | PATHS
            )
        assert done.returncode == code


def test_a_broken_pipe_that_is_not_ours_is_an_error(
    verb_that_raises: Callable[[BaseException], None], capsys: pytest.CaptureFixture[str]
) -> None:
    verb_that_raises(BrokenPipeError(errno.EPIPE, "Broken pipe"))
    assert main.run(["summary"]) == 5
    assert capsys.readouterr().err == "Broken pipe.\n"


def test_names_that_are_not_utf_8_do_not_break_the_message() -> None:
    done = alexnet("summary", os.fsdecode(b"caf\xe9"))
    assert done.returncode == 2
    assert "There is no model 'caf\\udce9'." in done.stderr


@pytest.mark.parametrize(
    ("verb", "number"),
    [("check", signal.SIGTERM), ("prepare", signal.SIGINT), ("prepare", signal.SIGHUP)],
)
def test_every_verb_leaves_in_order_when_asked_to_end(
    tmp_path: Path, verb: str, number: signal.Signals
) -> None:
    """No traceback, no process left behind, and nothing half written under its last name."""
    command = [sys.executable, "-m", "alexnet", "data", verb, "synthetic:4000x2"]
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),  # as without `nohup`
    )
    assert process.stderr
    deadline = time.monotonic() + 120
    while not (workers := children(process.pid)) and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.5)
    process.send_signal(number)
    said = process.communicate(timeout=60)[1].decode()
    assert process.returncode == 128 + number, said
    assert "Traceback" not in said
    assert workers and not [pid for pid in workers if Path(f"/proc/{pid}").exists()]
    assert not list(tmp_path.rglob(".*.tmp.*")) and not list(tmp_path.rglob("dataset.json"))


def children(pid: int) -> list[int]:
    """The processes that a process has started."""
    found = Path(f"/proc/{pid}/task/{pid}/children")
    threads = found.parent.parent.glob("*/children") if found.exists() else []
    return [int(word) for path in threads for word in path.read_text().split()]
