"""Saves that fail or are killed at every change of the disk, and checkpoints damaged in every way."""

import errno
import os
import random
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from torture import faults
from torture.conftest import Figure

from alexnet.base import files
from alexnet.base.errors import AlexNetError, DataError, EnvironmentProblem
from alexnet.models import checkpoint
from alexnet.models.checkpoint import Checkpoint

slow = pytest.mark.slow


def state_of(step: int) -> Checkpoint:
    rng = np.random.default_rng(step)
    shapes = {"conv1.weight": (4, 3, 5, 5), "fc8.weight": (30, 70), "fc8.bias": (30,)}
    arrays = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    arrays |= {f"velocity/{name}": -value for name, value in arrays.items()}
    return Checkpoint(step, arrays, {"counters": {"loss_sum": step / 3}, "schedule": {"drops": 1}})


def is_exactly(found: Checkpoint, step: int) -> bool:
    meant = state_of(step)
    return (found.step, found.state) == (step, meant.state) and all(
        found.arrays[name].tobytes() == value.tobytes() for name, value in meant.arrays.items()
    )


def save_in_a_process(folder: Path, step: int, kind: str, at: int) -> tuple[int, str]:
    """The exit status and message of a save whose change number `at` fails as `kind`."""
    reads, writes = os.pipe()
    pid = os.fork()
    if not pid:
        os.dup2(writes, 2)
        count = 0

        def strike(operation: str, path: Path) -> int | None:
            nonlocal count
            count += 1
            if count < at or (count > at and kind not in ("ENOSPC", "short")):
                return None
            if kind == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if kind == "short" and count == at and operation == "write":
                return 7
            code = errno.EIO if kind == "EIO" else errno.ENOSPC
            raise OSError(code, os.strerror(code), str(path))

        files.step = strike
        try:
            checkpoint.save(folder, state_of(step), keep=2)
        except EnvironmentProblem as error:
            os.write(2, str(error).encode())
            os._exit(5)
        os._exit(0)
    os.close(writes)
    with open(reads, "rb") as pipe:
        said = pipe.read().decode()
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), said


@pytest.mark.timeout(600)
def test_a_save_may_fail_at_every_change_of_the_disk(tmp_path: Path, figure: Figure) -> None:
    cases = 0
    for kind in faults.KINDS:
        for at in range(1, 100):
            folder = tmp_path / f"{kind}-{at}"
            for step in (1, 2, 3):
                checkpoint.save(folder, state_of(step), keep=2)
            status, said = save_in_a_process(folder, 4, kind, at)
            if status == 0:
                break
            assert status == (-signal.SIGKILL if kind == "kill" else 5), f"{kind} at {at}: {said}"
            if kind != "kill":
                assert "Cannot write" in said and folder.name in said, f"{kind} at {at}: {said}"
            newest = checkpoint.newest(folder)
            assert is_exactly(newest, newest.step) and newest.step in (3, 4), f"{kind} at {at}"
            whole = [one for one in checkpoint.paths(folder) if checkpoint.load(one)]
            assert len(whole) >= 2, f"{kind} at {at}: never fewer than two"
            checkpoint.save(folder, state_of(5), keep=2)
            assert is_exactly(checkpoint.newest(folder), 5)
            files.sweep_temporaries(folder)
            assert sorted(folder.iterdir()) == checkpoint.paths(folder), f"{kind} at {at}"
            cases += 1
        assert at > 5, "a save changes the disk more often than that"
    figure("a save fails at every single change of the disk (full, broken, short write, killed): "
           "the state before or after it loads, two whole ones remain", cases)  # fmt: skip


def damages(whole: bytes, rng: random.Random) -> Iterator[tuple[str, bytes]]:
    """Endless ways to damage a file's bytes; what comes out always differs."""
    while True:
        at = rng.randrange(len(whole))
        kind = rng.choice(["flip", "cut", "zeros", "tail", "swap", "other"])
        if kind == "flip":
            damaged = whole[:at] + bytes([whole[at] ^ 1 << rng.randrange(8)]) + whole[at + 1 :]
        elif kind == "cut":
            damaged = whole[:at]
        elif kind == "zeros":
            page = at // 4096 * 4096
            damaged = whole[:page] + bytes(len(whole[page : page + 4096])) + whole[page + 4096 :]
        elif kind == "tail":
            damaged = whole + rng.randbytes(rng.randrange(1, 9000))
        elif kind == "swap":
            other = rng.randrange(len(whole))
            a, b = sorted((at, other))
            damaged = whole[:a] + whole[b : b + 64] + whole[a + 64 : b] + whole[a : a + 64]
            damaged += whole[b + 64 :]
        else:
            damaged = rng.randbytes(at)
        if damaged != whole:
            yield f"{kind} at {at}", damaged


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("cases", [200, pytest.param(2000, marks=slow)])
def test_no_damaged_checkpoint_is_ever_loaded(tmp_path: Path, figure: Figure, cases: int) -> None:
    good, path = [checkpoint.save(tmp_path, state_of(step), keep=2) for step in (1, 2)]
    whole = path.read_bytes()
    rng = random.Random(cases)
    for _, (what, damaged) in zip(range(cases), damages(whole, rng), strict=False):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=path.name):
            checkpoint.load(path)
            pytest.fail(f"seed {cases}: loaded after {what}")
        if rng.random() < 0.05:
            assert is_exactly(checkpoint.newest(tmp_path), 1), f"seed {cases}: {what}"
    assert good.exists()
    figure("a checkpoint with flipped bits, cut, with a zeroed page, swapped pieces, or garbage behind "
           "it: refused by name, and the one before is loaded", cases)  # fmt: skip


@pytest.mark.parametrize("state", ["[]", "1", "{}", '{"format": 2}', '{"format": 2, "step": "7"}'])
def test_a_right_hash_over_nonsense_is_no_checkpoint(tmp_path: Path, state: str) -> None:
    path, array = tmp_path / "step-00000007.safetensors", np.ones(3, np.float32)
    digest = checkpoint._content_hash(["w"], {"w": array}.__getitem__, state)
    path.write_bytes(safetensors.numpy.save({"w": array}, {"state": state, "sha256": digest}))
    with pytest.raises(DataError, match="no checkpoint of a run"):
        checkpoint.load(path)


def test_a_damaged_checkpoint_does_not_count_as_one_that_is_kept(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        path = checkpoint.save(tmp_path, state_of(step), keep=2)
    path.write_bytes(path.read_bytes()[:-1])
    checkpoint.save(tmp_path, state_of(4), keep=2)
    assert [int(one.stem[5:]) for one in checkpoint.paths(tmp_path)] == [2, 3, 4]
    checkpoint.save(tmp_path, state_of(5), keep=2)
    assert [int(one.stem[5:]) for one in checkpoint.paths(tmp_path)] == [4, 5]


def test_what_the_disk_gives_back_is_compared(tmp_path: Path) -> None:
    """A disk that loses a write and says nothing: found before the old file is replaced."""
    path = tmp_path / "it"
    files.write_atomically(path, b"old")

    def lose(operation: str, temporary: Path) -> None:
        if operation == "verify":
            temporary.write_bytes(b"other bytes")

    before, files.step = files.step, lose
    try:
        with pytest.raises(AlexNetError, match="other bytes than were written"):
            files.write_atomically(path, b"new")
    finally:
        files.step = before
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_after_a_power_cut_there_is_the_old_file_or_the_new_one(
    tmp_path: Path, figure: Figure
) -> None:
    """What the system may have kept in memory is lost: the bytes of a file until it is flushed, a new
    name until its folder is. Cut at every change of the disk, with each of these lost or not.
    """
    folder = tmp_path / "checkpoints"
    for step in (1, 2, 3):
        checkpoint.save(folder, state_of(step), keep=2)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    states: list[tuple[dict[str, bytes], set[str], dict[str, bytes]]] = []
    loose, durable = set[str](), dict(before)  # not yet flushed; the folder as it was last flushed

    def look(operation: str, path: Path) -> None:
        nonlocal durable
        now = {one.name: one.read_bytes() for one in folder.iterdir()}
        states.append((now, set(loose), dict(durable)))
        if operation == "write":
            loose.add(path.name)
        elif operation == "flush" and path == folder:
            durable = now
        elif operation == "flush":
            loose.discard(path.name)
        elif operation == "rename" and (source := files.temporary_name(path).name) in loose:
            loose.add(path.name)
            loose.discard(source)

    files.step = look
    try:
        checkpoint.save(folder, state_of(4), keep=2)
    finally:
        files.step = files._go_on
    cases, rng = 0, random.Random(0)
    for now, not_flushed, flushed in states:
        for names in (now, flushed):  # new names reached the disk, or they did not
            for lost in (not_flushed, set[str]()):
                shutil.rmtree(folder)
                folder.mkdir()
                for name, content in names.items():
                    part = content[: rng.randrange(len(content) + 1)] if name in lost else content
                    (folder / name).write_bytes(part)
                newest = checkpoint.newest(folder)
                assert newest.step in (3, 4) and is_exactly(newest, newest.step)
                cases += 1
    assert cases > 20
    figure("the power fails at any change of the disk in a save, and what was not flushed is lost: "
           "the state before or after it loads", cases)  # fmt: skip
