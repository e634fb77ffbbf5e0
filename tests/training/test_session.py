"""A run from its data to its model: what is handed in, and what is planned."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from torch import Tensor

from alexnet.base.errors import DataError, UsageError
from alexnet.network import AlexNet
from alexnet.prepared import PreparedDataset, prepare
from alexnet.runs import Run
from alexnet.settings import asked_for
from alexnet.sources import open_source
from alexnet.training.objective import Classification
from alexnet.training.placement import Placement
from alexnet.training.session import Plan, make_plan, start, try_one_batch

SHORT = asked_for(["network.convention=cifar18"], epochs=0.5, batch=4)
CPU = Placement()


@dataclass(frozen=True)
class Doubled(Classification):
    """Twice the loss, and errors that are not counted."""

    def loss(self, outputs: Tensor, x_BCHW: Tensor, labels_B: Tensor) -> Tensor:
        return 2 * super().loss(outputs, x_BCHW, labels_B)

    def wrong(self, outputs: Tensor, x_BCHW: Tensor, labels_B: Tensor) -> Tensor:
        return labels_B.sum() * 0


@pytest.fixture(autouse=True)
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def steps(run: Run) -> list[dict[str, float]]:
    return [row for row in run.metrics() if row["kind"] == "step"]


def test_validation_and_objective_are_handed_in() -> None:
    plan = make_plan("synthetic:32x3", settings=SHORT)
    seen: list[tuple[int, int]] = []

    def validate(network: AlexNet, dataset: PreparedDataset) -> dict[str, float]:
        seen.append((network.classes, len(dataset.split("val"))))
        return {"loss": 7.0, "top1_error": 0.25, "top5_error": 0.0}

    plain = start(plan, validate, CPU, "plain")
    assert seen == [(3, len(plan.dataset.split("val")))]
    assert [row["val_loss"] for row in plain.metrics() if row["kind"] == "epoch"] == [7.0]
    doubled = start(plan, validate, CPU, "doubled", objective=Doubled(3))
    once, twice = steps(plain)[0], steps(doubled)[0]
    assert twice["loss"] == pytest.approx(2 * once["loss"], rel=1e-6)
    assert twice["gradient_norm"] == pytest.approx(2 * once["gradient_norm"], rel=1e-5)
    assert sum(row["top1_error"] for row in steps(doubled)) == 0 < once["top1_error"]


def test_one_batch_is_that_of_a_run_and_leaves_nothing() -> None:
    plan = make_plan("synthetic:32x3", settings=SHORT)
    loss, told = try_one_batch(plan, CPU)
    assert not Path("runs").exists() and told == []
    run = start(plan, lambda *_: {"loss": 1.0, "top1_error": 0.5, "top5_error": 0.0}, CPU)
    assert run.name == "synthetic-32x3-32-small-0"
    assert np.float32(loss) == np.float32(steps(run)[0]["loss"])


def test_a_plan_says_what_was_chosen() -> None:
    plan = make_plan("synthetic:32x3", settings=SHORT)
    images = len(plan.dataset.split("train"))
    assert plan.notes == (
        f"chosen  small: {images} training images are fewer than 100,000",
        "! a warm-up of 1 epoch does not fit into 0.5 epochs: it takes 0.0385 epochs",
    )
    assert make_plan("synthetic:32x3", "cifar18").notes == ()
    fits_paper_only = ["network.convention=cifar18", "schedule.patience=3"]
    with pytest.raises(UsageError, match=r"This schedule has no .schedule\.patience."):
        make_plan("synthetic:32x3", settings=fits_paper_only)


def test_images_that_cannot_be_trained_on_make_no_plan(tmp_path: Path) -> None:
    source = open_source("synthetic:8x2", validation_share=0)
    dataset = prepare(source, tmp_path / "all", side=32)
    with pytest.raises(DataError, match="'val' has no images"):
        Plan(make_plan("synthetic:32x3", settings=SHORT).config, dataset)
