"""Runs that are killed, stopped and resumed against one that never was: bit for bit."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from alexnet.training import checkpoint

SCRIPT = Path(__file__).with_name("narrow_run.py")


def begin(folder: Path, prepared: Path, how: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(SCRIPT), str(folder), str(prepared), how]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True)


def finish(folder: Path, prepared: Path, how: str) -> None:
    process = begin(folder, prepared, how)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 0, said


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory, prepared: Path) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "whole"
    finish(folder, prepared, "new")
    return folder


def assert_same(run: Path, other: Path) -> None:
    ours, theirs = (checkpoint.newest(folder / "checkpoints") for folder in (run, other))
    assert ours.step == theirs.step and ours.state == theirs.state
    assert ours.arrays.keys() == theirs.arrays.keys()
    for name, value in ours.arrays.items():
        assert value.tobytes() == theirs.arrays[name].tobytes(), name
    assert (run / "metrics.jsonl").read_bytes() == (other / "metrics.jsonl").read_bytes()


def rows(folder: Path) -> int:
    path = folder / "metrics.jsonl"
    return path.read_bytes().count(b"\n") if path.exists() else 0


def wait_for_rows(process: subprocess.Popen[str], folder: Path, count: int) -> None:
    deadline = time.monotonic() + 60
    while rows(folder) < count and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)


def test_same_seed_twice(uninterrupted: Path, prepared: Path, tmp_path: Path) -> None:
    finish(tmp_path / "again", prepared, "new")
    assert_same(tmp_path / "again", uninterrupted)


@pytest.mark.parametrize(
    "seed", [0, 1, *(pytest.param(n, marks=pytest.mark.slow) for n in range(2, 10))]
)
def test_killed_at_random_moments(
    uninterrupted: Path, prepared: Path, tmp_path: Path, seed: int
) -> None:
    random.seed(seed)
    folder, how, kills = tmp_path / "killed", "new", 0
    while kills < 3:
        process = begin(folder, prepared, how)
        wait_for_rows(process, folder, rows(folder) + random.randint(4, 8))
        time.sleep(random.uniform(0, 0.05))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        kills += 1
        how = "resume" if list((folder / "checkpoints").glob("step-*")) else "new"
        assert how == "resume", f"seed {seed}: a checkpoint is due every three steps"
    finish(folder, prepared, "resume")
    assert_same(folder, uninterrupted)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_by_a_signal(
    uninterrupted: Path, prepared: Path, tmp_path: Path, number: signal.Signals
) -> None:
    folder = tmp_path / "stopped"
    process = begin(folder, prepared, "new")
    wait_for_rows(process, folder, 5)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 128 + number, said
    assert "alexnet resume" in said and "saved" in said
    saved = checkpoint.newest(folder / "checkpoints")
    assert saved.step >= 5 and rows(folder) >= saved.step
    finish(folder, prepared, "resume")
    assert_same(folder, uninterrupted)


def test_damaged_newest_checkpoint_costs_three_steps_and_nothing_else(
    uninterrupted: Path, prepared: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "damaged"
    process = begin(folder, prepared, "new")
    wait_for_rows(process, folder, 10)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    newest = sorted((folder / "checkpoints").glob("step-*"))[-1]
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)
    finish(folder, prepared, "resume")
    assert_same(folder, uninterrupted)


def test_two_trainers_on_one_run(prepared: Path, tmp_path: Path) -> None:
    folder = tmp_path / "contested"
    first = begin(folder, prepared, "new")
    wait_for_rows(first, folder, 1)
    first.send_signal(signal.SIGSTOP)  # alive, and the run's writer, however long the other takes
    second = begin(folder, prepared, "resume")
    _, said = second.communicate(timeout=60)
    assert second.returncode == 5 and f"process {first.pid}" in said
    first.kill()
    first.communicate()


@pytest.mark.slow
def test_full_network_killed_inside_a_save(tmp_path: Path) -> None:
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
    assert not list(checkpoints.glob(".*")), "and swept away at the next start"
    assert_same(tmp_path / "runs" / "killed", tmp_path / "runs" / "whole")
    models = [
        tmp_path / "runs" / name / "model" / "model.safetensors" for name in ("killed", "whole")
    ]
    assert models[0].read_bytes() == models[1].read_bytes()
