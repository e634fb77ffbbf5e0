"""The loop: one function that takes a network from its initial weights, or its last checkpoint, on."""

from __future__ import annotations

import signal
from collections.abc import Callable, Collection, Mapping
from contextlib import nullcontext
from shlex import quote

from alexnet.base import ranks
from alexnet.base.errors import Stopped
from alexnet.base.progress import progress
from alexnet.base.signals import stop_request
from alexnet.config import RunConfig
from alexnet.loading.loader import Loader
from alexnet.loading.order import Order
from alexnet.network.alexnet import AlexNet
from alexnet.network.memory import keep_memory
from alexnet.runs import Run, typed
from alexnet.training.diagnosis import not_finite
from alexnet.training.records import Records
from alexnet.training.schedule import schedule_of
from alexnet.training.state import Training, has_begun, has_learned, restore, save
from alexnet.training.step import Step, StepResult

# The validation split's `loss` and `top1_error` (a share, not per cent), and what else is measured there.
Validate = Callable[[AlexNet], Mapping[str, float]]
# What is done with the errors of an epoch, which is named by how many are done; rank 0 has the weights.
Validated = Callable[[int, Mapping[str, float]], None]


def train(
    run: Run,
    config: RunConfig,
    loader: Loader,
    stepper: Step,
    validate: Validate,
    resume: bool = False,
    override: Collection[str] = (),
    validated: Validated | None = None,
) -> None:
    """Train a network on the loader's images to the end of `config.length` (section 5).

    `validated` is called after every epoch. Writes the run's metrics and checkpoints; `resume` goes on
    from the newest one, with a changed configuration only where `override` names the changed keys. Raises
    NumericsError before an update with values that are not finite, and Stopped, after saving, when a
    signal asked for it.
    """
    keep_memory()
    placed, order = stepper.placed, loader.order
    weights = placed.whole, placed.whole_optimizer
    training = Training(run, config, *weights, schedule_of(config), order)
    if resume and has_begun(run):
        restore(training, override)
        stepper.ready()
        run.set_config(config)
    else:
        if resume:
            run.log("there is no checkpoint and no step yet: starting at the first")
        save(training)  # so that there is always something to resume from
    first, last = training.counters.step, order.steps(config.length.count)
    if ranks.from_rank_0(has_learned(run, config)):
        return
    loader.require_likeness(loader.make(first))
    images = stepper.loader(loader)

    with stop_request() as stop, progress("training", last, "steps", done=first) as bar:
        records = Records(training, images, stepper.objective.chance_loss, bar)

        def settle(results: list[StepResult]) -> None:
            """Write down what steps came to; a GPU's results arrive a step late."""
            for result in results:
                if not result.is_finite:
                    stepper.finish()
                    raise not_finite(result, training, stepper, loader)
                records.add_step(result)

        def end_epoch(step: int) -> bool:
            """Validate, and close the epoch: whether there is nothing left to learn.

            A signal puts it off, and the next start does it.

            Several processes would be stopped at different places: they save before they validate.
            """
            if ranks.world() > 1:
                save(training)
            try:
                with stop.at_once() if ranks.world() == 1 else nullcontext():
                    errors = validate(stepper.network)
            except KeyboardInterrupt:
                return False
            records.add_epoch(order.epochs_done(step), training.rate(step - 1), errors)
            if validated is not None:
                validated(order.epochs_done(step), errors)
            return ranks.from_rank_0(has_learned(run, config))

        def leave(step: int) -> None:
            """Stop after `step`, which is saved, unless there is nothing left to do."""
            if step < last or training.counters.steps_in_epoch:
                ranks.meet()  # rank 0 has saved
                raise Stopped(
                    f"Stopped at step {step} of {last}; everything is saved.",
                    signal_number=stop.signal_number or signal.SIGTERM,  # another process got it
                    remedy=f"Continue with: alexnet resume {quote(typed(run))}",
                )

        if training.counters.steps_in_epoch and (_ends_epoch(order, first) or first == last):
            learned = end_epoch(first)  # it was put off
            stopping = ranks.any_of(bool(stop))
            save(training)
            if stopping:
                leave(first)
            if learned:
                return
        for batch in images.batches(first, last):
            step, learned = batch.step + 1, False  # the steps done after this one
            settle(stepper.take(batch, training.rate(batch.step), training.epoch(batch.step)))
            if _ends_epoch(order, step) or step == last:
                settle(stepper.finish())
                learned = end_epoch(step)
            stopping = ranks.any_of(bool(stop))  # a signal from here on waits for the next step
            if step % config.checkpoint.every.count == 0 or stopping or step == last or learned:
                settle(stepper.finish())
                save(training)
            if learned:
                break
            if stopping:
                leave(step)


def _ends_epoch(order: Order, step: int) -> bool:
    """Whether an epoch is over after so many steps."""
    return step > 0 and order.epochs_done(step) > order.epochs_done(step - 1)
