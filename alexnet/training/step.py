"""What the loop asks of a training step, and what a step comes to.

A step is begun with `take`, which returns the results that are known by then: a CPU's own (`eager`), a
GPU's step before (`gpu`), so that the host need not wait for the device. `finish` waits for the rest;
afterwards weights and velocities are those after the last step taken.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from torch import Tensor, nn

from alexnet.loading.loader import Loader
from alexnet.network.alexnet import AlexNet
from alexnet.training.mesh import Placed
from alexnet.training.objective import Objective

if TYPE_CHECKING:
    from alexnet.loading.gpu import DeviceLoader


@dataclass(frozen=True)
class StepResult:
    """What a step came to: the mean loss, how many images were wrong, the lengths of the gradient and,
    before the update, of all weights and velocities.
    """

    step: int
    rate: float
    loss: float
    wrong: float
    norm: float
    state: float

    @property
    def is_finite(self) -> bool:
        """Whether the weights were updated; they never are with numbers that are not finite."""
        return all(map(math.isfinite, (self.loss, self.norm, self.state)))


class Step(Protocol):
    """What the loop needs: `network` is the one that is trained, whole, and as it computes."""

    network: AlexNet
    placed: Placed
    objective: Objective

    def ready(self) -> None:
        """Compute with the whole network's weights and velocities as they are now."""
        ...

    def gradients(self) -> Iterable[tuple[str, Tensor]]:
        """Those of the last step that this process has, by name."""
        ...

    def loader(self, loader: Loader) -> Loader | DeviceLoader:
        """The same images, where and how this step wants them."""
        ...

    def take(self, batch: Any, rate: float, epoch: float = 0.0) -> list[StepResult]:
        """Begin a step on a batch of `loader`, at a rate to which the factors of an epoch are applied;
        results in order of the steps.
        """
        ...

    def finish(self) -> list[StepResult]:
        """Complete what was begun, also in the whole network; the results not yet told."""
        ...


def gradients_of(network: nn.Module) -> Iterable[tuple[str, Tensor]]:
    """The gradients that a network has, by the names of their parameters."""
    return ((name, w.grad) for name, w in network.named_parameters() if w.grad is not None)
