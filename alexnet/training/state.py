"""The complete state of a run, as it is saved, and as a stopped run goes back to it; how far one got."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass, field
from typing import Any

import torch

from alexnet.base import ranks
from alexnet.base.errors import DataError
from alexnet.base.files import flush
from alexnet.config import RunConfig
from alexnet.loading.order import Order
from alexnet.models import checkpoint
from alexnet.models.arrays import parameters_of, set_parameters
from alexnet.models.checkpoint import Checkpoint
from alexnet.network.alexnet import AlexNet
from alexnet.prepared import PreparedDataset
from alexnet.runs import Run
from alexnet.settings import from_dict, to_dict
from alexnet.training.checks import require_same_config
from alexnet.training.optimizer import PaperSGD
from alexnet.training.schedule import Schedule, schedule_of


@dataclass
class Counters:
    """Where a run is; with weights, velocities and the schedule's state, all there is to know."""

    step: int = 0
    loss_sum: float = 0.0  # over the steps of the current epoch
    wrong_sum: int = 0
    steps_in_epoch: int = 0
    flat_steps: int = 0  # consecutive steps with a loss like chance
    rows: int = 0  # in metrics.jsonl


@dataclass
class Training:
    """The parts of a run that change from step to step."""

    run: Run
    config: RunConfig
    network: AlexNet  # whole
    optimizer: PaperSGD
    schedule: Schedule
    order: Order
    counters: Counters = field(default_factory=Counters)

    def rate(self, step: int, schedule: Schedule | None = None) -> float:
        """The rate of a step, in its middle, by the run's schedule or another."""
        return (schedule or self.schedule).rate(self.epoch(step))

    def epoch(self, step: int) -> float:
        """How many epochs are done in the middle of a step."""
        return (step + 0.5) * self.order.batch / self.order.count


def save(training: Training) -> None:
    """Write a checkpoint; the rows that led to it reach the disk before it does.

    Of several processes rank 0 writes: what it holds is the whole network, whatever the layout.
    """
    run, network = training.run, training.network
    if not ranks.is_rank_0():
        return
    flush(run.metrics_path)
    velocities = {
        f"velocity/{name}": training.optimizer.velocity(parameter).cpu().contiguous().numpy()
        for name, parameter in network.named_parameters()
    }
    state = {
        "counters": asdict(training.counters),
        "schedule": training.schedule.state,
        "config": to_dict(training.config),
    }
    checkpoint.save(
        run.checkpoints,
        Checkpoint(training.counters.step, {**parameters_of(network), **velocities}, state),
        training.config.checkpoint.keep,
    )


def has_begun(run: Run) -> bool:
    """Whether the run got as far as a checkpoint or a row: to something that could be lost."""
    return ranks.from_rank_0(bool(checkpoint.paths(run.checkpoints) or run.metrics()))


def has_learned(run: Run, config: RunConfig) -> bool:
    """Whether an epoch of a run had the training error with which it ends sooner."""
    if not config.until_error:
        return False
    errors = (row["train_top1_error"] for row in run.metrics() if row["kind"] == "epoch")
    return min(errors, default=1.0) <= config.until_error


def ended_sooner(run: Run, config: RunConfig) -> bool:
    """Whether a run has the training error with which it ends, and its model."""
    has_model = (run.model / "config.json").is_file()
    return ranks.from_rank_0(has_model and has_learned(run, config))


def is_done(run: Run, config: RunConfig, dataset: PreparedDataset, is_longer: bool = False) -> bool:
    """Whether a run is at its end, and has its model; `is_longer` where that was just moved."""
    count = len(dataset.split("train"))
    steps = Order(count, config.optimizer.batch.count, config.seed).steps(config.length.count)
    rows = run.metrics()
    has_model = (run.model / "config.json").is_file() or is_longer
    is_at_end = bool(rows) and rows[-1]["step"] >= steps
    return ranks.from_rank_0(has_model and is_at_end) or ended_sooner(run, config)


def restore(training: Training, override: Collection[str]) -> None:
    """Go back to the newest checkpoint that verifies, and forget the rows after it.

    Raises IncompatibleError where the configuration has changed and `override` does not name the key.
    """
    saved = checkpoint.newest(training.run.checkpoints)
    if lacks := {"config", "counters", "schedule"} - saved.state.keys():
        raise DataError(f"The checkpoint lacks {sorted(lacks)[0]}.", where=training.run.checkpoints)
    then = from_dict(saved.state["config"])
    for one in require_same_config(training.run, then, training.config, override):
        training.run.log(f"! {one.key} was {one.first}, and is {one.second} from here on")
    weights = {n: value for n, value in saved.arrays.items() if not n.startswith("velocity/")}
    set_parameters(training.network, weights, training.run.checkpoints)
    for name, parameter in training.network.named_parameters():
        velocity = torch.from_numpy(saved.arrays[f"velocity/{name}"])
        training.optimizer.velocity(parameter).copy_(velocity)
    training.counters = Counters(**saved.state["counters"])
    training.schedule.state.update(saved.state["schedule"])
    ranks.require_same({"the checkpoint": f"step {saved.step}: {saved.state['counters']}"})
    _tell_of_another_rate(training, then, saved.state["schedule"])
    training.run.keep_rows(training.counters.rows)
    training.run.log(f"resumed at step {saved.step}")


def _tell_of_another_rate(training: Training, then: RunConfig, state: dict[str, Any]) -> None:
    """Say so if the rate goes another way than it would have, as under a planned fall made longer."""
    planned = schedule_of(then)
    planned.state.update(state)
    step = training.counters.step
    before, now = training.rate(step, planned), training.rate(step)
    if abs(now - before) > 0.01 * before:
        training.run.log(f"! the rate here would have been {before:.3g}; it is {now:.3g}")
