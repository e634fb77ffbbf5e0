"""What a run writes down while it trains: rows of metrics and of speed, events, the progress line."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from alexnet.base.progress import Progress
from alexnet.loading.loader import Loader
from alexnet.loading.order import Order
from alexnet.runs import Run
from alexnet.training.state import Training
from alexnet.training.step import StepResult

if TYPE_CHECKING:
    from alexnet.loading.gpu import DeviceLoader

STALL_STEPS = 100  # a loss within 1 % of chance for so long is called a stalled start


class Records:
    """The books of a run; they count into `training.counters`, which checkpoints hold.

    `chance_loss` is that of a network that has learned nothing.
    """

    def __init__(
        self,
        training: Training,
        images: Loader | DeviceLoader,
        chance_loss: float,
        bar: Progress,
    ) -> None:
        self.training, self.chance_loss, self.bar = training, chance_loss, bar
        self._speed = _Speed(training.run, images)

    def add_step(self, result: StepResult) -> None:
        """Count one step, write its row, warn of a stalled start, move the progress line on."""
        counters, order = self.training.counters, self.training.order
        counters.step += 1
        counters.loss_sum += result.loss
        counters.wrong_sum += int(result.wrong)
        counters.steps_in_epoch += 1
        epoch = counters.step * order.batch / order.count
        self._write(
            {
                "kind": "step",
                "step": counters.step,
                "epoch": round(epoch, 6),
                "loss": result.loss,
                "top1_error": result.wrong / order.batch,
                "gradient_norm": result.norm,
                "rate": result.rate,
            }
        )
        self._watch_for_a_stall(result.loss)
        error = 100 * counters.wrong_sum / (counters.steps_in_epoch * order.batch)
        note = (
            f"epoch {epoch:.2f}  loss {counters.loss_sum / counters.steps_in_epoch:.3f}  "
            f"error {error:.1f} %  rate {result.rate:.2g}  {self._speed.note(order.batch)}"
        )
        self.bar.advance(1, note)

    def add_epoch(self, epochs: int, rate: float, errors: Mapping[str, float]) -> None:
        """Write the row of a finished epoch, start its sums anew, let the schedule see the error."""
        counters, order = self.training.counters, self.training.order
        row: dict[str, Any] = {
            "kind": "epoch",
            "step": counters.step,
            "epoch": epochs,
            "train_loss": counters.loss_sum / counters.steps_in_epoch,
            "train_top1_error": counters.wrong_sum / (counters.steps_in_epoch * order.batch),
            **{f"val_{name}": value for name, value in errors.items()},
            "rate": rate,
        }
        self._write(row)
        top5 = f", top-5 error {100 * errors['top5_error']:.1f} %" if "top5_error" in errors else ""
        self.training.run.log(
            f"{_which(order, counters.step)}: loss {row['train_loss']:.3f}, training top-1 error "
            f"{100 * row['train_top1_error']:.1f} %; validation, centre view: loss "
            f"{row['val_loss']:.3f}, top-1 error {100 * row['val_top1_error']:.1f} %{top5}"
        )
        counters.loss_sum, counters.wrong_sum, counters.steps_in_epoch = 0.0, 0, 0
        if event := self.training.schedule.observe(epochs, errors["top1_error"]):
            self._add_event(event)

    def _watch_for_a_stall(self, loss: float) -> None:
        counters = self.training.counters
        is_flat = abs(loss / self.chance_loss - 1) < 0.01
        counters.flat_steps = counters.flat_steps + 1 if is_flat else 0
        if counters.flat_steps == STALL_STEPS:
            self._add_event(
                f"the loss has stayed within 1 % of {self.chance_loss:.3f}, the loss of chance, for "
                f"{STALL_STEPS} steps: the start may have stalled. Try --recipe small, whose start "
                "learns from the first steps, or another --seed"
            )

    def _add_event(self, text: str) -> None:
        self._write({"kind": "event", "step": self.training.counters.step, "text": text})
        self.training.run.log(f"! {text}")

    def _write(self, row: dict[str, Any]) -> None:
        self.training.run.record(self.training.run.metrics_path, row)
        self.training.counters.rows += 1


def _which(order: Order, step: int) -> str:
    """What ended with a step: "epoch 3"; "epochs 4 to 6", where a batch is larger than the set; or what
    of an epoch was trained when the run came to its end.
    """
    before, done = order.epochs_done(step - 1), order.epochs_done(step)
    if done == before:
        return f"after {step * order.batch / order.count:.3g} epochs"
    return f"epoch {done}" if done == before + 1 else f"epochs {before + 1} to {done}"


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
