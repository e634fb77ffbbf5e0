"""Replicas, columns and hybrids, each process a real one of `torchrun`, against one process."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest
from launch import ENDED_WITHIN, MESH_RUN, finish, torchrun, train, wait_for_rows
from torture.narrow_run import narrow

from alexnet.base import ranks
from alexnet.config import AugmentationConfig
from alexnet.loading.loader import Loader
from alexnet.models import checkpoint
from alexnet.network.traffic import LAYOUTS, traffic
from alexnet.prepared import PreparedDataset

EPOCHS, SOME = "2.1", "0.5"  # of 37 images in batches of 4: 20 steps, 5 steps
BATCH = 4
LONG = ("fused-2", "fused-4", "columns-4", "hybrid-4")
# Networks whose layers do not all learn alike: what a column or a hybrid has to divide otherwise.
OTHERS = ("paper:columns", "paper:hybrid", "onetower:hybrid", "caffe:hybrid")
EXACT = "float64"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, prepared: Path) -> Path:
    """A run of every layout on 1, 2 and 4 processes; and `moved`, which went from one to another."""
    folder = tmp_path_factory.mktemp("mesh") / "runs"

    def jobs(processes: int) -> list[str]:
        layouts = LAYOUTS if processes > 1 else ("fused",)
        named = {layout: f"{layout}-{processes}" for layout in layouts}
        exact = [
            f"{folder}/{name}:{layout}:{EPOCHS if name in LONG else SOME}:{EXACT}"
            for layout, name in named.items()
        ]
        return exact + [f"{folder}/{name}-single:{n}:{SOME}:float32" for n, name in named.items()]

    train(4, prepared, *jobs(4), f"{folder}/moved:columns:0.8:{EXACT}")
    pairs = [other.split(":") for other in OTHERS]
    others = [f"{folder}/{net}-{layout}:{layout}:{SOME}:{EXACT}:{net}" for net, layout in pairs]
    train(2, prepared, *jobs(2), f"{folder}/moved:hybrid:1.5:{EXACT}", *others)
    last = [f"{folder}/{name}:fused:{EPOCHS}:{EXACT}" for name in ("one", "moved")]
    alone = {f"{folder}/{net}:fused:{SOME}:{EXACT}:{net}" for net, _ in pairs}
    train(1, prepared, *jobs(1), *last, *alone)
    return folder


def losses(run: Path) -> list[float]:
    rows = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return [row["loss"] for row in rows if row["kind"] == "step"]


def assert_near(run: Path, other: Path, tolerance: float) -> None:
    assert losses(run) == pytest.approx(losses(other), rel=tolerance)
    ours, theirs = (checkpoint.newest(one / "checkpoints") for one in (run, other))
    assert ours.step == theirs.step and ours.arrays.keys() == theirs.arrays.keys()
    for name, value in ours.arrays.items():
        expected = theirs.arrays[name]
        scale = np.abs(expected).max()
        np.testing.assert_allclose(value, expected, rtol=tolerance, atol=tolerance * scale)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("processes", [2, 4])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_trains_as_one_process(runs: Path, layout: str, processes: int) -> None:
    name = f"{layout}-{processes}"
    assert_near(runs / name, runs / ("one" if name in LONG else "fused-1"), 1e-12)
    assert_near(runs / f"{name}-single", runs / "fused-1-single", 2e-5)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("other", OTHERS)
def test_other_networks_train_as_in_one_process(runs: Path, other: str) -> None:
    network, _, layout = other.partition(":")
    assert_near(runs / f"{network}-{layout}", runs / network, 1e-12)


def test_a_run_goes_on_in_another_layout(runs: Path) -> None:
    assert_near(runs / "moved", runs / "one", 1e-12)


@pytest.mark.parametrize("processes", [2, 4])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_bytes_are_those_computed(runs: Path, layout: str, processes: int) -> None:
    """What the system took of a step in float64 less one in float32: so the messages' heads drop out."""
    sent = [
        np.median(json.loads((runs / f"{layout}-{processes}{kind}" / "sent-0.json").read_text()))
        for kind in ("", "-single")
    ]
    about = narrow(4).convention
    exact, single = (traffic(layout, processes, BATCH, about, size).bytes for size in (8, 4))
    assert sent[0] - sent[1] == pytest.approx(exact - single, rel=0.01)


def test_the_paper_s_layouts_send_so_much() -> None:
    assert traffic("fused", 2).bytes == 2 * 4 * 60_965_224 / 2
    numbers = 2 * (13 * 13 * 128 + 6 * 6 * 128 + 2048 + 2048) + 500
    assert traffic("columns", 2) == (4 * 128 * numbers, 0)
    assert traffic("hybrid", 2).gradients == 4 * 2_334_080


@pytest.mark.parametrize("parts", [1, 3, 4, 8])
def test_processes_share_the_images_of_one(prepared: Path, parts: int) -> None:
    dataset = PreparedDataset.open(prepared)
    split, about = dataset.split("train"), (dataset.statistics, AugmentationConfig(), 8, 3, "full")
    whole = Loader(split, *about).make(5)  # type: ignore[arg-type]
    several = [Loader(split, *about, ranks.share(8, n, parts)).make(5) for n in range(parts)]  # type: ignore[arg-type]
    assert [len(one.labels_B) for one in several] == sorted(
        (len(one.labels_B) for one in several), reverse=True
    )
    for name in ("x_BHWC", "labels_B", "epochs_B", "indices_B"):
        joined = np.concatenate([getattr(one, name) for one in several])
        np.testing.assert_array_equal(joined, getattr(whole, name))


@pytest.mark.timeout(900)
def test_the_steps_of_a_gpu_are_the_same_in_every_layout(prepared: Path, tmp_path: Path) -> None:
    """Their kernels in Triton's interpreter, one operation after the other."""
    pytest.importorskip("triton", reason="Triton is not installed")
    interpreted = {"STEP": "gpu", "TRITON_INTERPRET": "1"}
    train(1, prepared, f"{tmp_path}/one:fused:0.3:float32")
    jobs = [f"{tmp_path}/{layout}:{layout}:0.3:float32" for layout in LAYOUTS]
    train(2, prepared, *jobs, **interpreted)
    for layout in LAYOUTS:
        assert_near(tmp_path / layout, tmp_path / "one", 2e-5)


@pytest.mark.timeout(900)
def test_torchrun_starts_again_after_a_death_and_the_run_is_the_same(
    runs: Path, prepared: Path, tmp_path: Path
) -> None:
    whole, broken = runs / "columns-2", tmp_path / "broken"
    process = torchrun(
        2, "--max-restarts", "1", str(MESH_RUN), str(prepared), f"{broken}:columns:{SOME}:{EXACT}",
        DIE_AT="4",
    )  # fmt: skip
    assert "resumed at step 4" in finish(process)
    ours, theirs = (checkpoint.newest(one / "checkpoints") for one in (broken, whole))
    assert ours.step == 5 and ours.state == theirs.state
    for name, value in ours.arrays.items():
        assert value.tobytes() == theirs.arrays[name].tobytes(), name
    assert (broken / "metrics.jsonl").read_bytes() == (whole / "metrics.jsonl").read_bytes()


@pytest.mark.timeout(900)
def test_asked_to_stop_all_save_once_and_leave(prepared: Path, runs: Path, tmp_path: Path) -> None:
    run = tmp_path / "stopped"
    process = torchrun(2, str(MESH_RUN), str(prepared), f"{run}:hybrid:{EPOCHS}:{EXACT}")
    children = wait_for_rows(process, run, 3)
    process.send_signal(signal.SIGTERM)
    os.kill(children[0], signal.SIGTERM)  # as from a system that asks everyone
    said, _ = process.communicate(timeout=ENDED_WITHIN)
    assert process.returncode != 0 and said.count("everything is saved") == 1, said
    done = len(losses(run))
    assert checkpoint.newest(run / "checkpoints").step == done < len(losses(runs / "one")), said
    train(2, prepared, f"{run}:hybrid:{EPOCHS}:{EXACT}")
    assert_near(run, runs / "one", 1e-12)
