"""Checkpoints: complete, verified, never lost."""

from pathlib import Path

import numpy as np
import pytest

from alexnet.base.errors import DataError, EnvironmentProblem
from alexnet.models import checkpoint
from alexnet.models.checkpoint import Checkpoint


def state_of(step: int) -> Checkpoint:
    rng = np.random.default_rng(step)
    arrays = {
        "conv1.weight": rng.normal(size=(4, 3, 5, 5)).astype(np.float32),
        "velocity/conv1.weight": rng.normal(size=(4, 3, 5, 5)).astype(np.float32),
    }
    return Checkpoint(step, arrays, {"counters": {"loss_sum": step / 3}, "schedule": {"drops": 1}})


def test_what_is_saved_is_what_is_loaded(tmp_path: Path) -> None:
    saved = state_of(7)
    found = checkpoint.load(checkpoint.save(tmp_path, saved, keep=3))
    assert found.step == 7 and found.state == saved.state
    for name, value in saved.arrays.items():
        np.testing.assert_array_equal(found.arrays[name], value)


def test_the_last_three_stay(tmp_path: Path) -> None:
    for step in (1, 2, 10, 100, 1000):
        checkpoint.save(tmp_path, state_of(step), keep=3)
    assert [path.name for path in sorted(tmp_path.iterdir())] == [
        f"step-{step:08d}.safetensors" for step in (10, 100, 1000)
    ]
    assert checkpoint.newest(tmp_path).step == 1000


def test_any_flipped_bit_or_cut_is_refused_by_name(tmp_path: Path) -> None:
    path = checkpoint.save(tmp_path, state_of(1), keep=3)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(150):
        place, bit = int(rng.integers(len(whole))), 1 << int(rng.integers(8))
        path.write_bytes(whole[:place] + bytes([whole[place] ^ bit]) + whole[place + 1 :])
        with pytest.raises(DataError, match="step-00000001"):
            checkpoint.load(path)
    for length in rng.integers(len(whole), size=30):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match="step-00000001"):
            checkpoint.load(path)
    for tail in (b"x", b"\0" * 4096):
        path.write_bytes(whole + tail)
        with pytest.raises(DataError):
            checkpoint.load(path)


def test_newest_falls_back_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for step in (1, 2):
        path = checkpoint.save(tmp_path, state_of(step), keep=3)
    path.write_bytes(path.read_bytes()[:-1])
    assert checkpoint.newest(tmp_path).step == 1
    assert "step-00000002" in capsys.readouterr().err


def test_without_a_usable_one_there_is_no_silent_fresh_start(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentProblem, match="no usable checkpoint"):
        checkpoint.newest(tmp_path)
    (tmp_path / "step-00000001.safetensors").write_bytes(b"")
    with pytest.raises(EnvironmentProblem, match="no usable checkpoint"):
        checkpoint.newest(tmp_path)
