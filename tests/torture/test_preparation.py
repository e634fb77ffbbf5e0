"""A preparation that is killed, or whose disk fails, ends with the bytes it would have had anyway."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from folders import contents
from forking import Forked
from torture import faults
from torture.conftest import Figure

SEED = 20121203
GATED = """
import sys
import alexnet.prepared, alexnet.sources
from alexnet.cli.main import run
print("ready", flush=True)
sys.stdin.readline()
sys.exit(run(sys.argv[1:]))
"""


def command(spec: str, workers: int = 1) -> list[str]:
    options = ["-o", "out", "--storage", "jpeg", "--val", "0.3", "--workers", str(workers)]
    return ["data", "prepare", spec, *options]


def uninterrupted(folder: Path, arguments: Sequence[str], images: int) -> dict[str, bytes]:
    """What the command makes, by the name of the file; changes of the disk are counted in `counter`.

    Its processes are started, as a user's are; those that are compared with it are forked.
    """
    env = faults.environment(folder / "counter", "count", images=images)
    command = [sys.executable, "-m", "alexnet", *arguments]
    done = subprocess.run(command, env=env, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return contents(folder / "out")


def assert_it_ends_as(
    whole: dict[str, bytes], folder: Path, arguments: Sequence[str], images: int
) -> None:
    """The same command, now without a fault; nothing is left in the folder or beside it."""
    env = faults.environment(folder / "counter", "", images=images)
    done = faults.run(["-m", "alexnet", *arguments], env, folder)
    assert done.returncode == 0, done.stderr
    found = contents(folder / "out")
    assert sorted(found) == sorted(whole)
    assert found == whole
    assert {path.name for path in folder.iterdir()} <= {"out", "counter", "counter.log"}


# --- The disk -------------------------------------------------------------------------------------


def fail_and_go_on(
    folder: Path,
    kind: str,
    at: int,
    whole: dict[str, bytes],
    arguments: Sequence[str],
    images: int,
) -> None:
    folder.mkdir()
    env = faults.environment(folder / "counter", kind, at, images=images)
    done = faults.run(["-m", "alexnet", *arguments], env, folder)
    assert "Traceback" not in done.stderr
    if kind == "kill":  # of the program, or of a worker, which the program survives to tell
        told = done.returncode == 5 and "a worker process ended with status -9" in done.stderr
        assert done.returncode == -signal.SIGKILL or told, done.stderr
    else:
        assert done.returncode == 5, (done.returncode, done.stderr)
        assert re.search(r"^out(\.unfinished)?(/\S+)?$", done.stderr, re.MULTILINE), done.stderr
    if (folder / "out").exists():
        assert {
            name: data for name, data in contents(folder / "out").items() if name in whole
        } == whole
    assert_it_ends_as(whole, folder, arguments, images)


@pytest.mark.timeout(7200)
@pytest.mark.parametrize("every", [97, pytest.param(1, marks=pytest.mark.slow)])
def test_a_disk_that_fails_at_any_change_loses_nothing(
    tmp_path: Path, every: int, figure: Figure
) -> None:
    arguments, images = command("synthetic:8x2"), 4
    whole = uninterrupted(tmp_path, arguments, images)
    changes = faults.counted(tmp_path / "counter")
    assert changes > 100
    *errors, kill = faults.KINDS
    cases = [(k, at) for at in range(1, changes + 1) for k in (kill, errors[at % 3])][::every]

    def run(case: tuple[str, int]) -> None:
        kind, at = case
        try:
            fail_and_go_on(tmp_path / f"{kind}-{at}", kind, at, whole, arguments, images)
        except AssertionError as error:
            change = (tmp_path / "counter.log").read_text().splitlines()[at - 1]
            raise AssertionError(f"{kind} at change {change}: {error}") from error

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(run, cases))
    figure(
        "Any one change of the disk by a preparation fails (killed there; and disk full, broken or a "
        "short write in turn): a plain error, and the same command ends with the same bytes",
        len(cases),
    )


# --- Kills ----------------------------------------------------------------------------------------


def alive(session: int) -> list[int]:
    """Processes of a session that are not dead, whoever their parent is now."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, its_session = path.read_text().rpartition(")")[2].split()[:4]
        except OSError:
            continue  # it has just ended
        if int(its_session) == session and state not in "ZX":
            found.append(int(path.parent.name))
    return found


def run_and_kill(
    folder: Path, arguments: Sequence[str], images: int, chance: random.Random, seconds: float
) -> None:
    """Kill at any moment or near the end; all processes at once, or the first alone."""
    env = faults.environment(folder / "counter", "", images=images)
    near_the_end, alone = chance.random() < 0.4, chance.random() < 0.3
    with Forked(
        [sys.executable, "-m", "alexnet", *arguments],
        env=env, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:  # fmt: skip
        if near_the_end:
            while not (folder / "out.unfinished" / "statistics.safetensors").exists():
                if process.poll() is not None:
                    break
                time.sleep(0.001)
            time.sleep(chance.uniform(0, 0.06))
        else:
            time.sleep(chance.uniform(0, seconds))
        if process.poll() is None:
            for one in [process.pid] if alone else alive(process.pid):
                with suppress(ProcessLookupError):
                    os.kill(one, signal.SIGKILL)
    deadline = time.monotonic() + 60
    while left := alive(process.pid):
        assert time.monotonic() < deadline, f"still alive: {left}"
        time.sleep(0.01)


@pytest.mark.timeout(7200)
@pytest.mark.parametrize("cases", [1, pytest.param(50, marks=pytest.mark.slow)])
def test_killed_at_any_moment_it_goes_on_and_ends_with_the_same_bytes(
    tmp_path: Path, cases: int, figure: Figure
) -> None:
    arguments, images = command("synthetic:200x4", workers=2), 25
    begun = time.monotonic()
    whole = uninterrupted(tmp_path, arguments, images)
    seconds = time.monotonic() - begun
    assert sum(name.endswith(".arrow") for name in whole) >= 8
    kills = 0
    for number in range(cases):
        chance = random.Random(f"{SEED} {number}")
        folder = tmp_path / str(number)
        folder.mkdir()
        for _ in range(chance.choice([1, 1, 2, 3])):
            run_and_kill(folder, arguments, images, chance, seconds)
            kills += 1
        try:
            assert_it_ends_as(whole, folder, arguments, images)
        except AssertionError as error:
            raise AssertionError(f"seed {SEED}, case {number}: {error}") from error
    figure("A preparation killed (SIGKILL) at a random moment ends with the same bytes", kills)


# --- Two at once ----------------------------------------------------------------------------------


def start_gated(folder: Path, arguments: Sequence[str]) -> subprocess.Popen[str]:
    """The command in a process that has imported everything and waits for a line."""
    process = Forked(
        [sys.executable, "-c", GATED, *arguments],
        env=faults.environment(folder / "counter", "", images=4), cwd=folder, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    return process


def go(process: subprocess.Popen[str]) -> None:
    assert process.stdin
    process.stdin.write("\n")
    process.stdin.flush()


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("cases", [1, pytest.param(20, marks=pytest.mark.slow)])
@pytest.mark.parametrize("late", [False, True], ids=["together", "at the end of the first"])
def test_of_two_preparations_of_one_folder_exactly_one_goes_on(
    tmp_path: Path, cases: int, late: bool, figure: Figure
) -> None:
    """The second comes together with the first, or when the first is about to leave."""
    arguments = command("synthetic:8x2")
    whole = uninterrupted(tmp_path, arguments, 4)
    for number in range(cases):
        folder = tmp_path / str(number)
        folder.mkdir()
        both = [start_gated(folder, arguments) for _ in range(2)]
        for process in both:
            assert process.stdout and process.stdout.readline() == "ready\n"
        go(both[0])
        if late:
            while not (folder / "out.unfinished" / "dataset.json").exists():
                if both[0].poll() is not None or (folder / "out").exists():
                    break
            time.sleep(random.Random(f"{SEED} {number}").uniform(0, 0.01))
        go(both[1])
        told = [process.communicate()[1] for process in both]
        codes = [process.returncode for process in both]
        if late:  # the second finds the set finished, or is turned away
            assert codes in ([0, 0], [0, 5]), (codes, told)
        else:
            assert sorted(codes) == [0, 5], (codes, told)
        for code, text in zip(codes, told, strict=True):
            assert code == 0 or "is being prepared already, by process" in text, text
        assert_it_ends_as(whole, folder, arguments, 4)
    figure(
        f"Two preparations of one folder, {'the second late' if late else 'together'}: "
        "one goes on, the other is turned away",
        cases,
    )
