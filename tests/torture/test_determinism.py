"""The same seed gives the same bits, whatever the number of threads and wherever a run was stopped."""

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from torture.conftest import Figure
from torture.narrow_run import BATCH, config_of, train_narrow

from alexnet import runs as store
from alexnet.config import AugmentationConfig
from alexnet.loading import cutting
from alexnet.loading.loader import Loader
from alexnet.models import checkpoint
from alexnet.prepared import PreparedDataset


def state(folder: Path) -> str:
    """A hash of all that a run has learned."""
    newest = checkpoint.newest(folder / "checkpoints")
    digest = hashlib.sha256(repr(sorted(newest.state.items())).encode())
    for name, value in sorted(newest.arrays.items()):
        digest.update(name.encode() + value.tobytes())
    digest.update((folder / "metrics.jsonl").read_bytes())
    return digest.hexdigest()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("every", [6, pytest.param(1, marks=pytest.mark.slow)])
def test_resumed_after_any_step_it_is_the_same_run(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, figure: Figure, every: int
) -> None:
    """Also the same seed twice: the first run is made two times."""
    monkeypatch.setattr(store, "RUNS", tmp_path)
    config = config_of(3, every=1)
    config = replace(config, checkpoint=replace(config.checkpoint, keep=1000))
    for name in ("whole", "again"):
        train_narrow(tmp_path / name, prepared, config)
    expected = state(tmp_path / "whole")
    assert state(tmp_path / "again") == expected
    last = checkpoint.newest(tmp_path / "whole" / "checkpoints").step
    steps = range(0, last, every)
    for step in steps:
        shutil.rmtree(tmp_path / "again")
        shutil.copytree(tmp_path / "whole", tmp_path / "again")
        for later in checkpoint.paths(tmp_path / "again" / "checkpoints")[step + 1 :]:
            later.unlink()
        train_narrow(tmp_path / "again", prepared, config)
        assert state(tmp_path / "again") == expected, f"resumed after step {step}"
    figure(
        "the same seed twice, and resumed after every step of three epochs: equal hashes",
        len(steps),
    )


@pytest.mark.parametrize("shuffle", ["full", "blocks"])
def test_threads_of_the_loader_do_not_change_a_bit(
    prepared: Path, monkeypatch: pytest.MonkeyPatch, shuffle: str
) -> None:
    dataset = PreparedDataset.open(prepared)

    def hashed(threads: int) -> list[str]:
        monkeypatch.setattr(cutting, "cores", lambda: threads)
        loader = Loader(
            dataset.split("train"), dataset.statistics, AugmentationConfig(), BATCH, 5, shuffle
        )
        made = loader.batches(0, 20)
        return [
            hashlib.sha256(batch.x_BHWC.tobytes() + batch.indices_B.tobytes()).hexdigest()
            for batch in made
        ]

    one = hashed(1)
    assert len(set(one)) == 20 and hashed(2) == one and hashed(4) == one
