"""The loop: one function that takes a network from its first weights, or its last checkpoint, on.

Shape letters: B images of a batch, K classes, H x W pixels, C colours.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import torch

from alexnet.base import ranks
from alexnet.base.errors import NumericsError, Stopped
from alexnet.base.progress import progress
from alexnet.base.signals import stop_request
from alexnet.config import RunConfig
from alexnet.loading.loader import Batch, Loader
from alexnet.loading.order import Order
from alexnet.network.alexnet import AlexNet, as_batch
from alexnet.network.memory import keep_memory
from alexnet.runs import Run
from alexnet.training.schedule import schedule_of
from alexnet.training.state import Training, is_unborn, restore, save
from alexnet.training.step import Step, StepResult

if TYPE_CHECKING:
    from alexnet.loading.gpu import DeviceLoader

# The validation split's `loss`, `top1_error` and `top5_error` (shares, not per cent).
Validate = Callable[[AlexNet], Mapping[str, float]]

_NOWHERE = "the loss only"
_STALL_STEPS = 100  # a loss within 1 % of chance for so long is called a stalled start


def train(
    run: Run,
    config: RunConfig,
    loader: Loader,
    stepper: Step,
    validate: Validate,
    resume: bool = False,
    override: Collection[str] = (),
) -> None:
    """Train a network on the loader's images to the end of `config.length` (section 5).

    Writes the run's metrics and checkpoints; `resume` goes on from the newest one, with a changed
    configuration only where `override` names the changed keys. Raises NumericsError before an update
    with numbers that are not finite, and Stopped, after saving, when a signal asked for it.
    """
    keep_memory()
    placed, order = stepper.placed, loader.order
    weights = placed.whole, placed.whole_optimizer
    training = Training(run, config, *weights, schedule_of(config), order)
    if resume and not is_unborn(run):
        restore(training, override)
        stepper.ready()
        run.set_config(config)
    else:
        if resume:
            run.log("there is no checkpoint and no step yet: starting at the first")
        save(training)  # so that there is always something to resume from
    first, last = training.counters.step, order.steps(config.length.count)
    loader.require_likeness(loader.make(first))
    images = stepper.loader(loader)

    with stop_request() as stop, progress("training", last, "steps", done=first) as bar:
        speed = _Speed(run, images)

        def settle(outcomes: list[StepResult]) -> None:
            for outcome in outcomes:
                if not outcome.is_finite:
                    stepper.finish()
                    raise _not_finite(outcome, training, stepper, loader)
                note = _record_step(training, outcome, stepper.objective.chance_loss)
                bar.advance(1, f"{note}  {speed.note(order.batch)}")

        def end_epoch(step: int) -> None:
            """Validate, and close the epoch; a signal puts it off, and the next start does it.

            Several processes would be stopped at different places: they save before they validate.
            """
            if ranks.world() > 1:
                save(training)
            try:
                with stop.at_once() if ranks.world() == 1 else nullcontext():
                    errors = validate(stepper.network)
            except KeyboardInterrupt:
                return
            _record_epoch(training, order.epochs_done(step), training.rate(step - 1), errors)

        def leave(step: int) -> None:
            if step < last or training.counters.steps_in_epoch:
                ranks.meet()  # rank 0 has saved
                raise Stopped(
                    f"Stopped at step {step} of {last}; everything is saved.",
                    signal_number=stop.signal_number or signal.SIGTERM,  # another process got it
                    remedy=f"Continue with: alexnet resume {run.folder}",
                )

        if training.counters.steps_in_epoch and (_ends_epoch(order, first) or first == last):
            end_epoch(first)  # it was put off
            stopping = ranks.any_of(bool(stop))
            save(training)
            if stopping:
                leave(first)
        for batch in images.batches(first, last):
            step = batch.step + 1  # the steps done after this one
            settle(stepper.take(batch, training.rate(batch.step), training.epoch(batch.step)))
            if _ends_epoch(order, step) or step == last:
                settle(stepper.finish())
                end_epoch(step)
            stopping = ranks.any_of(bool(stop))  # a signal from here on waits for the next step
            if step % config.checkpoint.every.count == 0 or stopping or step == last:
                settle(stepper.finish())
                save(training)
            if stopping:
                leave(step)


def _ends_epoch(order: Order, step: int) -> bool:
    """Whether an epoch is over after so many steps."""
    return step > 0 and order.epochs_done(step) > order.epochs_done(step - 1)


def _record_step(training: Training, outcome: StepResult, chance_loss: float) -> str:
    """Count one step, write its row, warn of a stalled start; the progress line's note."""
    counters, order = training.counters, training.order
    counters.step += 1
    counters.loss_sum += outcome.loss
    counters.wrong_sum += int(outcome.wrong)
    counters.steps_in_epoch += 1
    row = {
        "kind": "step",
        "step": counters.step,
        "epoch": round(counters.step * order.batch / order.count, 6),
        "loss": outcome.loss,
        "top1_error": outcome.wrong / order.batch,
        "gradient_norm": outcome.norm,
        "rate": outcome.rate,
    }
    _record(training, row)
    is_flat = abs(outcome.loss / chance_loss - 1) < 0.01
    counters.flat_steps = counters.flat_steps + 1 if is_flat else 0
    if counters.flat_steps == _STALL_STEPS:
        _event(
            training,
            f"the loss has stayed within 1 % of {chance_loss:.3f}, that of chance, for {_STALL_STEPS} "
            "steps: the start may have stalled. Try --recipe small, whose start learns from the "
            "first steps, or another --set seed=N",
        )
    error = 100 * counters.wrong_sum / (counters.steps_in_epoch * order.batch)
    mean = counters.loss_sum / counters.steps_in_epoch
    return (
        f"epoch {row['epoch']:.2f}  loss {mean:.3f}  top-1 error {error:.1f} %  "
        f"rate {outcome.rate:.2g}"
    )


def _record_epoch(
    training: Training, epochs: int, rate: float, errors: Mapping[str, float]
) -> None:
    """Write the row of a finished epoch, start its sums anew, let the schedule see the error."""
    counters = training.counters
    row: dict[str, Any] = {
        "kind": "epoch",
        "step": counters.step,
        "epoch": epochs,
        "train_loss": counters.loss_sum / counters.steps_in_epoch,
        "train_top1_error": counters.wrong_sum
        / (counters.steps_in_epoch * training.config.optimizer.batch.count),
        "val_loss": errors["loss"],
        "val_top1_error": errors["top1_error"],
        "val_top5_error": errors["top5_error"],
        "rate": rate,
    }
    _record(training, row)
    training.run.log(
        f"epoch {epochs}: loss {row['train_loss']:.3f}, training top-1 error "
        f"{100 * row['train_top1_error']:.1f} %; validation, centre view: loss "
        f"{row['val_loss']:.3f}, top-1 error {100 * row['val_top1_error']:.1f} %, top-5 error "
        f"{100 * row['val_top5_error']:.1f} %"
    )
    counters.loss_sum, counters.wrong_sum, counters.steps_in_epoch = 0.0, 0, 0
    if event := training.schedule.observe(epochs, errors["top1_error"]):
        _event(training, event)


def _record(training: Training, row: dict[str, Any]) -> None:
    training.run.record(training.run.metrics_path, row)
    training.counters.rows += 1


def _event(training: Training, text: str) -> None:
    _record(training, {"kind": "event", "step": training.counters.step, "text": text})
    training.run.log(f"! {text}")


def _not_finite(
    outcome: StepResult, training: Training, stepper: Step, loader: Loader
) -> NumericsError:
    """The error that names the step, the first place with a bad number, and the images."""
    batch = loader.make(outcome.step)
    place, guilty = _first_bad(training, stepper, batch)
    keys = loader.keys(batch)
    # Each process has looked at its own images and gradients; of several findings the first is told.
    found = [one for one in ranks.gathered([(place, keys, guilty)]) if one[0] != _NOWHERE]
    place, keys, guilty = found[0] if found else (_NOWHERE, keys, [])
    named = [keys[n] for n in guilty] or keys
    return NumericsError(
        f"The loss is {outcome.loss}, the length of the gradient {outcome.norm}, that of weights and "
        f"velocities {outcome.state}, at step {outcome.step + 1}; nothing was updated. "
        f"First bad number in: {place}.",
        where=f"images {', '.join(named[:8])}{', ...' if len(named) > 8 else ''}",
        remedy=f"Lower optimizer.learning_rate in {training.run.folder / 'config.yaml'}, then go back "
        f"to the last checkpoint: alexnet resume {training.run.folder} "
        "--override optimizer.learning_rate",
    )


def _first_bad(training: Training, stepper: Step, batch: Batch) -> tuple[str, list[int]]:
    """The first place with a number that is not finite, and which images of the batch have it."""
    weights = training.network.named_parameters()
    for name, w in weights:
        for what, values in (("weights", w), ("velocity", training.optimizer.velocity(w))):
            if not values.norm().isfinite():  # also where it is too large to be squared
                return f"{what} of {name}", []
    with torch.no_grad():
        network = stepper.network
        x = as_batch(batch.x_BHWC).to(next(network.parameters()))
        found = {"the images": x, **network.activations(x, network.activation_names)}
    for name, values in found.items():
        finite_B = values.flatten(1).isfinite().all(1)
        if not finite_B.all():
            return name, (~finite_B).nonzero().flatten().tolist()
    for name, gradient in stepper.gradients():
        if not gradient.norm().isfinite():
            return f"gradient of {name}", []
    return _NOWHERE, []


class _Speed:
    """Images per second and the share of time spent waiting for them, since the last row."""

    def __init__(self, run: Run, loader: Loader | DeviceLoader, interval: float = 10.0) -> None:
        self.run, self.loader, self.interval = run, loader, interval
        self.begun, self.waited, self.images = time.monotonic(), 0.0, 0

    def note(self, images: int) -> str:
        """Count a step's images; write a row of `timing.jsonl` every interval."""
        self.images += images
        seconds = time.monotonic() - self.begun
        rate = self.images / seconds
        wait = (self.loader.waited - self.waited) / seconds
        if seconds >= self.interval:
            row = {"time": time.time(), "images_per_second": round(rate, 2), "wait": round(wait, 4)}
            self.run.record(self.run.timing_path, row)
            self.begun, self.waited, self.images = time.monotonic(), self.loader.waited, 0
        return f"{rate:.1f} img/s  waiting {100 * wait:.0f} %"
