"""One training step: forward, backward, check, update; on a CPU here, on a GPU in `training.gpu`.

A step is begun with `take`, which returns the outcomes that are known by then: a CPU's own, a GPU's
step before, so that the host need not wait for the device. `finish` waits for the rest; afterwards
weights and velocities are those after the last step taken.

Shape letters: B images of a batch, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from alexnet.base.errors import EnvironmentProblem
from alexnet.loading.loader import Loader
from alexnet.network.alexnet import AlexNet, as_batch
from alexnet.network.columns import Columns
from alexnet.network.dropout import address
from alexnet.network.kernels.gpu import HAS_TRITON
from alexnet.network.precision import set_products
from alexnet.training.mesh import Placed

if TYPE_CHECKING:
    from alexnet.loading.gpu import DeviceLoader


@dataclass(frozen=True)
class Outcome:
    """What a step came to: the mean loss, how many images were wrong, the lengths of the gradient
    and, before the update, of all weights and velocities.
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

    def ready(self) -> None:
        """Compute with the whole network's weights and velocities as they are now."""
        ...

    def gradients(self) -> Iterable[tuple[str, Tensor]]:
        """Those of the last step that this process has, by name."""
        ...

    def loader(self, loader: Loader) -> Loader | DeviceLoader:
        """The same images, where and how this step wants them."""
        ...

    def take(self, batch: Any, rate: float, epoch: float = 0.0) -> list[Outcome]:
        """Begin a step on a batch of `loader`, at a rate to which the factors of an epoch are applied;
        outcomes in order of the steps.
        """
        ...

    def finish(self) -> list[Outcome]:
        """Complete what was begun, also in the whole network; the outcomes not yet told."""
        ...


def step_for(placed: Placed, seed: int, precision: str) -> Step:
    """The way to train a network on the device that it is on."""
    on_gpu = next(placed.whole.parameters()).is_cuda
    if on_gpu and HAS_TRITON and not isinstance(placed.network, Columns):
        from alexnet.training.gpu import GpuStep

        return GpuStep(placed, seed, precision)
    if precision == "bf16":
        raise EnvironmentProblem(
            "Training in bf16 needs Triton, and a process for each column.",
            remedy="Install it (python -m pip install triton), start `torchrun`, or say "
            "--precision tf32.",
        )
    set_products(precision)
    return EagerStep(placed, seed)


def gradients_of(network: nn.Module) -> Iterable[tuple[str, Tensor]]:
    """The gradients that a network has, by the names of their parameters."""
    return ((name, w.grad) for name, w in network.named_parameters() if w.grad is not None)


class EagerStep:
    """One operation after the other, in float32."""

    def __init__(self, placed: Placed, seed: int) -> None:
        self.placed, self.seed, self.network = placed, seed, placed.whole
        self._weights = next(self.network.parameters())
        placed.mesh.sum_gradients(placed.network, placed.pieces)

    def ready(self) -> None:
        """See `Step`."""
        self.placed.scatter()

    def gradients(self) -> Iterable[tuple[str, Tensor]]:
        """See `Step`."""
        return gradients_of(self.placed.network)

    def loader(self, loader: Loader) -> Loader:
        """The loader as it is."""
        return loader

    def take(self, batch: Any, rate: float, epoch: float = 0.0) -> list[Outcome]:
        """One whole step."""
        placed, mesh = self.placed, self.placed.mesh
        labels_B = mesh.labels(torch.from_numpy(batch.labels_B).to(self._weights.device))
        dropout = address(self.seed, batch.step, mesh.rows.start).to(self._weights.device)
        logits_BK = placed.network(as_batch(batch.x_BHWC).to(self._weights), dropout)
        loss = F.cross_entropy(logits_BK, labels_B) * mesh.weight
        placed.optimizer.zero_grad()
        loss.backward()
        mesh.await_gradients()
        wrong = (logits_BK.detach().argmax(1) != labels_B).sum()
        outcome = Outcome(batch.step, rate, *placed.numbers(loss, wrong, placed.network).tolist())
        if outcome.is_finite:
            placed.optimizer.set_rate(rate, epoch)
            placed.optimizer.step()
        placed.changed()
        return [outcome]

    def finish(self) -> list[Outcome]:
        """Nothing is left to do but to bring the whole network up to date."""
        self.placed.gather()
        return []
