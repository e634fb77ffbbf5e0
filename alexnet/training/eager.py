"""A training step in float32, one operation after the other: forward, loss, backward, update."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from alexnet.loading.loader import Loader
from alexnet.network.alexnet import as_batch
from alexnet.network.dropout import address, masks_of
from alexnet.training.mesh import Placed
from alexnet.training.objective import Classification, Objective
from alexnet.training.step import StepResult, gradients_of


class EagerStep:
    """Steps of a network on a CPU, or on a GPU without Triton; see `Step`."""

    def __init__(self, placed: Placed, seed: int, objective: Objective | None = None) -> None:
        self.placed, self.seed, self.network = placed, seed, placed.whole
        self.objective = objective or Classification(placed.whole.classes)
        self._weights = next(self.network.parameters())
        placed.network.train()
        placed.mesh.sum_gradients(placed.network, placed.pieces)

    def take(self, batch: Any, rate: float, epoch: float = 0.0) -> list[StepResult]:
        """One whole step."""
        network, optimizer, mesh = self.placed.network, self.placed.optimizer, self.placed.mesh
        device = self._weights.device
        x_BCHW = as_batch(batch.x_BHWC).to(self._weights)
        labels_B = mesh.labels(torch.from_numpy(batch.labels_B).to(device))
        masks = address(self.seed, batch.step, mesh.rows.start).to(device)

        with masks_of(network, masks):
            outputs = network(x_BCHW)
        loss = self.objective.loss(outputs, x_BCHW, labels_B) * mesh.weight
        optimizer.zero_grad()
        loss.backward()
        mesh.await_gradients()

        wrong = self.objective.wrong(outputs.detach(), x_BCHW, labels_B)
        numbers = self.placed.numbers(loss, wrong, network)
        result = StepResult(batch.step, rate, *numbers.tolist())
        if result.is_finite:
            optimizer.set_rate(rate, epoch)
            optimizer.step()
        self.placed.changed()
        return [result]

    def ready(self) -> None:
        """See `Step`."""
        self.placed.scatter()

    def gradients(self) -> Iterable[tuple[str, Tensor]]:
        """See `Step`."""
        return gradients_of(self.placed.network)

    def loader(self, loader: Loader) -> Loader:
        """The loader as it is."""
        return loader

    def finish(self) -> list[StepResult]:
        """Nothing is left to do but to bring the whole network up to date."""
        self.placed.gather()
        return []
