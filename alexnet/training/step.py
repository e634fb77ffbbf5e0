"""One training step: forward, backward, check, update; on a CPU here, on a GPU in `training.gpu`.

A step is begun with `take`, which returns the outcomes that are known by then: a CPU's own, a GPU's
step before, so that the host need not wait for the device. `finish` waits for the rest; afterwards
weights and velocities are those after the last step taken.

Shape letters: B pictures of a batch, K classes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch
import torch.nn.functional as F

from alexnet.config import OptimizerConfig
from alexnet.errors import EnvironmentProblem
from alexnet.loading.loader import Loader
from alexnet.network.alexnet import AlexNet, as_batch
from alexnet.network.dropout import address
from alexnet.network.gpu import HAS_TRITON
from alexnet.network.precision import set_products
from alexnet.training.optimizer import PaperSGD, length

if TYPE_CHECKING:
    from alexnet.loading.gpu import DeviceLoader


@dataclass(frozen=True)
class Outcome:
    """What a step came to: the mean loss, how many pictures were wrong, the lengths of the gradient
    and, before the update, of all weights and velocities.
    """

    step: int
    rate: float
    loss: float
    wrong: int
    norm: float
    state: float

    @property
    def is_finite(self) -> bool:
        """Whether the weights were updated; they never are with numbers that are not finite."""
        return all(map(math.isfinite, (self.loss, self.norm, self.state)))


class Step(Protocol):
    """What the loop needs: `network` is the one that is trained, as it computes."""

    network: AlexNet
    optimizer: PaperSGD

    def loader(self, loader: Loader) -> Loader | DeviceLoader:
        """The same pictures, where and how this step wants them."""
        ...

    def take(self, batch: Any, rate: float) -> list[Outcome]:
        """Begin a step on a batch of `loader`; outcomes in order of the steps."""
        ...

    def finish(self) -> list[Outcome]:
        """Complete what was begun; the outcomes not yet told."""
        ...


def step_for(network: AlexNet, sgd: OptimizerConfig, seed: int, precision: str) -> Step:
    """The way to train `network` on the device that it is on."""
    if next(network.parameters()).is_cuda and HAS_TRITON:
        from alexnet.training.gpu import GpuStep

        return GpuStep(network, sgd, seed, precision)
    if precision == "bf16":
        raise EnvironmentProblem(
            "Training in bf16 needs Triton, which is not installed.",
            remedy="Install it (python -m pip install triton), or say --precision tf32.",
        )
    set_products(precision)
    return EagerStep(network, sgd, seed)


class EagerStep:
    """One operation after the other, in float32."""

    def __init__(self, network: AlexNet, sgd: OptimizerConfig, seed: int) -> None:
        self.network, self.seed = network, seed
        self.device = next(network.parameters()).device
        self.optimizer = PaperSGD(
            network.parameters(), sgd.learning_rate, sgd.momentum, sgd.weight_decay
        )

    def loader(self, loader: Loader) -> Loader:
        """The loader as it is."""
        return loader

    def take(self, batch: Any, rate: float) -> list[Outcome]:
        """One whole step."""
        network, labels_B = self.network, torch.from_numpy(batch.labels_B).to(self.device)
        dropout = address(self.seed, batch.step)
        logits_BK = network(as_batch(batch.x_BHWC).to(self.device), dropout.to(self.device))
        loss = F.cross_entropy(logits_BK, labels_B)
        self.optimizer.zero_grad()
        loss.backward()
        wrong = int((logits_BK.argmax(1) != labels_B).sum())
        norm = length([w.grad for w in network.parameters() if w.grad is not None])
        outcome = Outcome(batch.step, rate, loss.item(), wrong, norm, self.optimizer.length())
        if outcome.is_finite:
            self.optimizer.set_rate(rate)
            self.optimizer.step()
        return [outcome]

    def finish(self) -> list[Outcome]:
        """Nothing is left to do."""
        return []
