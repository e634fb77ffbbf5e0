"""A run from its data to its model: what is handed in, and what is planned."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from torch import Tensor, empty

import alexnet
from alexnet.base.errors import DataError, EnvironmentProblem, IncompatibleError, UsageError
from alexnet.models import checkpoint, load_model
from alexnet.network import AlexNet
from alexnet.prepared import PreparedDataset, prepare
from alexnet.runs import Run
from alexnet.settings import asked_for
from alexnet.sources import open_source
from alexnet.training.objective import Classification
from alexnet.training.placement import Placement
from alexnet.training.plan import Plan, make_plan
from alexnet.training.session import resume, start, try_one_batch

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


def test_what_is_wrong_before_any_image_is_read_is_said_before_they_are_prepared(
    tmp_path: Path,
) -> None:
    (tmp_path / "pets" / "cat").mkdir(parents=True)
    (tmp_path / "pets" / "cat" / "0.jpg").write_bytes(b"read by nobody")
    with pytest.raises(DataError, match="one class only: cat"):
        make_plan("pets")
    Path("runs", "taken").mkdir(parents=True)
    with pytest.raises(UsageError, match="never overwritten"):
        alexnet.train("pets", name="taken")
    assert not Path("prepared").exists()


def test_images_that_cannot_be_trained_on_make_no_plan(tmp_path: Path) -> None:
    source = open_source("synthetic:8x2", validation_share=0)
    dataset = prepare(source, tmp_path / "all", side=32)
    with pytest.raises(DataError, match="'val' has no images"):
        Plan(make_plan("synthetic:32x3", settings=SHORT).config, dataset)


ERRORS = {"loss": 1.0, "top1_error": 0.5, "top5_error": 0.0}


def fail(*_: object) -> dict[str, float]:
    raise ZeroDivisionError


def stopped_in_its_warm_up(plan: Plan, name: str) -> Run:
    """A run of which one epoch is trained, and not validated."""

    with pytest.raises(ZeroDivisionError):
        start(plan, fail, CPU, name)
    return Run.open(name)


def long(*settings: str, epochs: float = 4, batch: int = 4) -> Plan:
    about = ["network.convention=cifar18", "checkpoint.every=2", *settings]
    return make_plan("synthetic:32x3", "small", asked_for(about, epochs=epochs, batch=batch))


def test_a_run_that_would_end_in_its_warm_up_gets_a_shorter_one() -> None:
    """Resumed or gone on with; its share of the run stays, and the rates behind it are as they were."""
    for name in ("resumed", "again"):
        run = stopped_in_its_warm_up(long("schedule.warmup=2"), name)
        before = run.metrics()
        if name == "resumed":
            with pytest.raises(ZeroDivisionError):  # before there is a checkpoint of the new length
                resume(run, fail, epochs=1.5)
            resume(run, lambda *_: ERRORS)
        else:
            start(long(epochs=1.5), lambda *_: ERRORS, CPU, name, go_on=True)
        assert str(run.config.schedule.warmup) == "0.75 epochs"  # type: ignore[union-attr]
        log = (run.folder / "log.txt").read_text()
        assert "! a warm-up of 2 epochs does not fit into 1.5 epochs: it takes 0.75 epochs" in log
        saved = int(log.partition("resumed at step ")[2].split()[0])
        assert saved > 0 and run.metrics()[:saved] == before[:saved]
        assert run.metrics()[-1]["kind"] == "epoch" and (run.model / "config.json").is_file()


def test_a_run_is_at_its_end_by_its_own_batch() -> None:
    """So many steps of another would be more epochs: it is refused before they are counted."""
    run = start(long(epochs=1), lambda *_: ERRORS, CPU, "it")
    rows = len(run.metrics())
    with pytest.raises(IncompatibleError, match=r"optimizer\.batch: 4 images then, 32 images now"):
        start(long(epochs=5, batch=32), lambda *_: ERRORS, CPU, "it", go_on=True)
    with pytest.raises(IncompatibleError, match="recipe: small then, cifar18 now"):
        start(make_plan("synthetic:32x3", "cifar18"), lambda *_: ERRORS, CPU, "it", go_on=True)
    assert len(run.metrics()) == rows and (run.model / "config.json").is_file()


def test_a_length_that_does_not_fit_is_named() -> None:
    run = stopped_in_its_warm_up(long(), "it")
    with pytest.raises(UsageError, match="length is 0") as error:
        resume(run, lambda *_: ERRORS, epochs=0)
    assert error.value.where == "--epochs 0"


def test_the_end_of_a_run_says_what_its_error_means() -> None:
    """From the counts that validation gives beside the errors."""
    plan = make_plan(
        "synthetic:64x3", "small", asked_for(["network.convention=cifar18"], epochs=0.1)
    )
    images = len(plan.dataset.split("val"))
    assert len({*plan.dataset.split("val").labels.tolist()}) > 1

    def all_one(*_: object) -> dict[str, float]:
        return {"loss": 1.0, "top1_error": 0.5, "answer": 1, "answered": images}

    run = start(plan, all_one, CPU, "it")
    log = (run.folder / "log.txt").read_text()
    assert f"result  validation, centre view: Top-1 error: {round(images / 2)} of {images}" in log
    assert f'Every image became "{plan.dataset.titles[1]}".' in log
    (row,) = [row for row in run.metrics() if row["kind"] == "epoch"]
    assert (row["val_answer"], row["val_answered"]) == (1, images) and "val_top5_error" not in row


def test_what_speaks_against_a_plan_is_in_the_log() -> None:
    plan = make_plan("synthetic:32x3", settings=SHORT)
    few = len(plan.dataset.split("train"))
    assert plan.warnings[0].startswith(f"! {few} training images of 3 classes are few")
    run = start(plan, lambda *_: ERRORS, CPU, "it")
    log = (run.folder / "log.txt").read_text()
    assert all(one in log for one in plan.warnings)
    assert {one.removeprefix("! ") for one in plan.warnings} <= {*run.remarks()}


def test_a_run_that_has_learned_enough_is_not_offered_more_epochs() -> None:
    """It ends at an error: only another error lets it go on, and the remedy says which file has that."""
    run = start(long("until_error=0.99", epochs=3), lambda *_: ERRORS, CPU, "it")
    done = run.metrics()[-1]["epoch"]
    assert done < 3
    for epochs in (None, 6):
        with pytest.raises(UsageError, match="the training error at which it ends, 99 %") as error:
            resume(run, lambda *_: ERRORS, epochs=epochs)
        assert "--epochs" not in error.value.remedy and "until_error: 0" in error.value.remedy
    path = run.folder / "config.yaml"
    path.write_text(path.read_text().replace("until_error: 0.99", "until_error: 0"))
    resume(run, lambda *_: ERRORS)
    assert run.metrics()[-1]["epoch"] == 3


def test_a_batch_that_no_memory_holds_is_refused_with_one_that_fits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("alexnet.training.checks.memory_bytes", lambda: 10**7)
    plan = long(batch=1000)
    with pytest.raises(EnvironmentProblem, match="A batch of 1,000 images needs more") as error:
        start(plan, lambda *_: ERRORS, CPU, "it")
    assert not Path("runs").exists()
    fits = int(error.value.remedy.rpartition("--batch ")[2])
    start(long(batch=fits, epochs=0.1), lambda *_: ERRORS, CPU, "it")


def test_memory_that_runs_out_is_told_with_a_smaller_batch() -> None:
    def full(*_: object) -> dict[str, float]:
        return {"loss": float(empty(2**55).sum()), "top1_error": 0.0}

    with pytest.raises(EnvironmentProblem, match="not enough memory for batches of 4") as error:
        start(long(epochs=1), full, CPU, "it")
    assert error.value.remedy.endswith("--batch 2")


def test_the_best_epoch_is_kept_and_one_state_to_go_on_from() -> None:
    errors = iter((0.75, 0.25, 0.5, 0.25, 0.1))
    weights: list[np.ndarray] = []

    def validate(network: AlexNet, _: object) -> dict[str, float]:
        weights.append(network.get_parameter("fc4.bias").detach().numpy().copy())
        return {**ERRORS, "top1_error": next(errors)}

    run = start(long(epochs=4), validate, CPU, "best")
    network, card = load_model(run.best)
    assert (card.provenance["epochs"], card.provenance["val_top1_error"]) == (2, 0.25)
    np.testing.assert_array_equal(network.fc4.bias.detach(), weights[1])
    np.testing.assert_array_equal(load_model(run.model)[0].fc4.bias.detach(), weights[3])
    assert "epoch 2: validation top-1 error 25.0 %" in (run.folder / "log.txt").read_text()
    assert len(checkpoint.paths(run.checkpoints)) == 1, "of the states, the one to go on from"
    resume(run, validate, epochs=5)
    network, card = load_model(run.best)
    assert card.provenance["epochs"] == 5
    np.testing.assert_array_equal(network.fc4.bias.detach(), weights[4])
