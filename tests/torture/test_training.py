"""Runs that are killed, stopped, starved of disk and resumed, against one that never was: bit for bit."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from forking import Forked
from torture import faults
from torture.conftest import Figure

from alexnet.models import checkpoint

SCRIPT = Path(__file__).with_name("narrow_run.py")
slow = pytest.mark.slow


def begin(
    folder: Path, prepared: Path, *more: str, env: Mapping[str, str] | None = None
) -> subprocess.Popen[str]:
    command = [sys.executable, str(SCRIPT), str(folder), str(prepared), *more]
    return Forked(command, stderr=subprocess.PIPE, text=True, env=env)


def finish(folder: Path, prepared: Path) -> None:
    process = begin(folder, prepared)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 0, said


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory, prepared: Path) -> Path:
    """By a process that is started, as a user's is; those that are compared with it are forked."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    subprocess.run([sys.executable, str(SCRIPT), str(folder), str(prepared)], check=True)
    return folder


def assert_same(run: Path, other: Path) -> None:
    ours, theirs = (checkpoint.newest(folder / "checkpoints") for folder in (run, other))
    assert ours.step == theirs.step and ours.state == theirs.state
    assert ours.arrays.keys() == theirs.arrays.keys()
    for name, value in ours.arrays.items():
        assert value.tobytes() == theirs.arrays[name].tobytes(), name
    assert (run / "metrics.jsonl").read_bytes() == (other / "metrics.jsonl").read_bytes()
    leftovers = [*run.rglob(".*"), *run.parent.glob(f".{run.name}.*")]
    assert not leftovers, "what a killed process left is swept away at the next start"


def rows(folder: Path) -> int:
    path = folder / "metrics.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def wait_for_rows(process: subprocess.Popen[str], folder: Path, count: int) -> None:
    deadline = time.monotonic() + 60
    while rows(folder) < count and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kills", [2, pytest.param(100, marks=slow)])
def test_killed_at_random_moments(
    uninterrupted: Path, prepared: Path, tmp_path: Path, figure: Figure, kills: int
) -> None:
    """Every second kill at any moment from the start on, every other inside a save."""
    inside = done = seed = 0
    while done < kills:
        random.seed(seed)
        folder, most = tmp_path / f"run-{seed}", min(4, kills - done)
        for _ in range(most):
            if (done + seed) % 2:
                counter = tmp_path / f"counter-{done}"
                env = faults.environment(counter, "kill", random.randint(1, 18), ["/checkpoints/"])
                process = begin(folder, prepared, env=env)
                process.communicate(timeout=120)
                inside += process.returncode == -signal.SIGKILL
            else:
                process = begin(folder, prepared)
                wait_for_rows(process, folder, rows(folder) + random.choice([0, 0, 2, 5]))
                time.sleep(random.uniform(0, 0.1))
                process.kill()
                process.communicate()
            done += process.returncode == -signal.SIGKILL
            if process.returncode == 0:
                break
        finish(folder, prepared)
        try:
            assert_same(folder, uninterrupted)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error
        shutil.rmtree(folder)
        seed += 1
    assert inside >= kills // 3
    figure("training killed at a random moment (every second time inside a save), resumed: "
           "weights, velocities and metrics are the same bits", done)  # fmt: skip


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("cases", [2, pytest.param(50, marks=slow)])
def test_stopped_by_a_signal_at_random_moments(
    uninterrupted: Path, prepared: Path, tmp_path: Path, figure: Figure, cases: int
) -> None:
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    for seed in range(cases):
        random.seed(seed)
        folder, number = tmp_path / f"run-{seed}", numbers[seed % 3]
        process = begin(folder, prepared)
        wait_for_rows(process, folder, random.randint(1, 20))
        time.sleep(random.uniform(0, 0.05))
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
        assert process.returncode in (128 + number, 0), f"seed {seed}: {said}"
        if process.returncode:
            assert "alexnet resume" in said and "saved" in said, f"seed {seed}: {said}"
            saved = checkpoint.newest(folder / "checkpoints")
            assert saved.state["counters"]["rows"] == rows(folder), f"seed {seed}"
        finish(folder, prepared)
        assert_same(folder, uninterrupted)
        shutil.rmtree(folder)
    figure("training stopped by SIGTERM, SIGINT or SIGHUP at a random moment: saved, exit code 128 + "
           "the signal, resumed: the same bits", cases)  # fmt: skip


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("every", [4, pytest.param(1, marks=slow)])
def test_every_change_of_the_disk_may_fail(
    uninterrupted: Path, prepared: Path, tmp_path: Path, figure: Figure, every: int
) -> None:
    """From the making of the run's folder to its second save, each change in turn, in turns each way."""
    counter = tmp_path / "counter"
    env = faults.environment(counter, "count", paths=["/counted"])
    process = begin(tmp_path / "counted", prepared, env=env)
    process.communicate(timeout=120)
    log = Path(f"{counter}.log").read_text().splitlines()
    second = next(n for n, line in enumerate(log) if "rename step-00000003" in line)
    cases = range(1 + every // 2, second + 6, every)
    assert len(cases) >= len(faults.KINDS), "each kind has its turn"
    for n, k in enumerate(cases):
        kind = faults.KINDS[n % 4]
        folder, counter = tmp_path / f"run-{k}", tmp_path / f"counter-{k}"
        env = faults.environment(counter, kind, k, [f"/{folder.name}", f"/.{folder.name}"])
        process = begin(folder, prepared, env=env)
        _, said = process.communicate(timeout=120)
        what = f"{kind} at {log[k - 1]}: {said}"
        if kind == "kill":
            assert process.returncode == -signal.SIGKILL, what
        else:
            assert process.returncode == 5 and folder.name in said, what
            assert "Traceback" not in said and "Cannot write" in said, what
        finish(folder, prepared)
        assert_same(folder, uninterrupted)
        shutil.rmtree(folder)
    figure("any one change of the disk in starting and saving a run fails (disk full, broken, a short "
           "write, or the process killed there): a clear message, and resumed the same bits",
           len(cases))  # fmt: skip


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("cases", [1, pytest.param(20, marks=slow)])
def test_two_trainers_on_one_run(
    prepared: Path, tmp_path: Path, figure: Figure, cases: int
) -> None:
    folder = tmp_path / "contested"
    process = begin(folder, prepared, "1000")
    wait_for_rows(process, folder, 4)
    process.terminate()
    process.communicate(timeout=60)
    for case in range(cases):
        two = [begin(folder, prepared, "1000") for _ in range(2)]
        deadline = time.monotonic() + 60
        while all(one.poll() is None for one in two):
            assert time.monotonic() < deadline, f"case {case}: nobody gave way"
            time.sleep(0.01)
        loser, winner = sorted(two, key=lambda one: one.poll() is None)
        _, said = loser.communicate()
        assert loser.returncode == 5 and f"by process {winner.pid}" in said, f"case {case}: {said}"
        before = rows(folder)
        wait_for_rows(winner, folder, before + 2)
        assert winner.poll() is None and rows(folder) > before, f"case {case}: the winner goes on"
        winner.kill()
        winner.communicate()
    figure(
        "two trainers on one run: exactly one goes on, the other leaves, saying who has it", cases
    )


@slow
@pytest.mark.timeout(1200)
def test_full_network_killed_inside_a_save(tmp_path: Path, figure: Figure) -> None:
    settings = ("optimizer.batch=4", "length=1", "schedule.warmup=0", "checkpoint.every=2")
    command = [sys.executable, "-m", "alexnet", "train", "synthetic:20x2", "--recipe", "small"]
    command += [word for setting in settings for word in ("--set", setting)]
    subprocess.run([*command, "--name", "whole"], cwd=tmp_path, check=True, capture_output=True)
    process = subprocess.Popen(
        [*command, "--name", "killed"], cwd=tmp_path, stderr=subprocess.DEVNULL
    )
    checkpoints = tmp_path / "runs" / "killed" / "checkpoints"
    deadline = time.monotonic() + 120
    while not list(checkpoints.glob("step-*")) or not list(checkpoints.glob(".*")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.001)
    process.kill()  # half a gigabyte of the second checkpoint is being written
    process.wait()
    assert list(checkpoints.glob(".*")), "a part of it is left behind"
    resume = [sys.executable, "-m", "alexnet", "resume", "killed"]
    subprocess.run(resume, cwd=tmp_path, check=True, capture_output=True)
    assert_same(tmp_path / "runs" / "killed", tmp_path / "runs" / "whole")
    models = [
        tmp_path / "runs" / name / "model" / "model.safetensors" for name in ("killed", "whole")
    ]
    assert models[0].read_bytes() == models[1].read_bytes()
    figure("the full network of 61 million weights, killed inside the save of its half gigabyte, "
           "resumed: the same bits, and the same model file", 1)  # fmt: skip


def test_on_a_disk_that_is_really_full(uninterrupted: Path, prepared: Path, tmp_path: Path) -> None:
    """A file system in memory with room for three checkpoints, but not for a fourth beside them."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=240k", "tmpfs", str(disk)]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small file system needs root")
    try:
        process = begin(disk / "run", prepared)
        _, said = process.communicate(timeout=120)
        assert process.returncode == 5 and "No space left" in said and "Traceback" not in said
        saved = checkpoint.newest(disk / "run" / "checkpoints")
        assert len(checkpoint.paths(disk / "run" / "checkpoints")) >= 2 and saved.step >= 3
        subprocess.run(["mount", "-o", "remount,size=8m", str(disk)], check=True)
        finish(disk / "run", prepared)
        assert_same(disk / "run", uninterrupted)
    finally:
        subprocess.run(["umount", str(disk)], check=True)
