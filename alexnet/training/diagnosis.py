"""Where a step's first value that is not finite is, and which images have it."""

from __future__ import annotations

from shlex import quote

import torch

from alexnet.base import ranks
from alexnet.base.errors import NumericsError
from alexnet.loading.loader import Batch, Loader
from alexnet.network.alexnet import as_batch
from alexnet.runs import typed
from alexnet.training.state import Training
from alexnet.training.step import Step, StepResult

_NOWHERE = "the loss only"
_IMAGES_NAMED = 8


def not_finite(result: StepResult, training: Training, step: Step, loader: Loader) -> NumericsError:
    """The error that names the step, the first place with such a value, and the images."""
    batch = loader.make(result.step)
    place, guilty = _first_place(training, step, batch)
    keys = loader.keys(batch)
    # Each process has looked at its own images and gradients; of several findings the first is told.
    found = [one for one in ranks.gathered([(place, keys, guilty)]) if one[0] != _NOWHERE]
    place, keys, guilty = found[0] if found else (_NOWHERE, keys, [])
    named = [keys[n] for n in guilty] or keys
    more = ", ..." if len(named) > _IMAGES_NAMED else ""
    return NumericsError(
        f"Non-finite value at step {result.step + 1}, before the update: loss {result.loss:.4g}, "
        f"gradient norm {result.norm:.4g}, norm of weights and velocities {result.state:.4g}. "
        f"First found in {place}.",
        where=f"images {', '.join(named[:_IMAGES_NAMED])}{more}",
        remedy=f"Lower optimizer.learning_rate in {training.run.folder / 'config.yaml'}, then go back "
        f"to the last checkpoint: alexnet resume {quote(typed(training.run))} "
        "--override optimizer.learning_rate",
    )


def _first_place(training: Training, step: Step, batch: Batch) -> tuple[str, list[int]]:
    """The first place with a value that is not finite, and which images of the batch have it."""
    for name, w in training.network.named_parameters():
        for what, values in (("weights", w), ("velocity", training.optimizer.velocity(w))):
            if not values.norm().isfinite():  # also where it is too large to be squared
                return f"{what} of {name}", []
    network = step.network
    with torch.no_grad():
        x = as_batch(batch.x_BHWC).to(next(network.parameters()))
        found = {"the images": x, **network.activations(x, network.activation_names)}
    for name, values in found.items():
        finite_B = values.flatten(1).isfinite().all(1)
        if not finite_B.all():
            return name, (~finite_B).nonzero().flatten().tolist()
    for name, gradient in step.gradients():
        if not gradient.norm().isfinite():
            return f"gradient of {name}", []
    return _NOWHERE, []
