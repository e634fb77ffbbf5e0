"""What training minimizes and counts: handed to the steps, so that one loop trains for any task.

Shape letters: B images of a batch, K classes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch.nn.functional as F
from torch import Tensor


class Objective(Protocol):
    """A task, as functions of what the network makes of a batch.

    `x_BCHW` are the images that it read, `labels_B` their labels; a task need not look at both. All
    are on one device, where a recorded step runs the functions without waiting for the host.
    """

    def loss(self, outputs: Tensor, x_BCHW: Tensor, labels_B: Tensor) -> Tensor:
        """The mean loss of the images: a scalar that can be differentiated."""
        ...

    def wrong(self, outputs: Tensor, x_BCHW: Tensor, labels_B: Tensor) -> Tensor:
        """How many images are in error, a scalar; zero where the task has no errors to count."""
        ...

    @property
    def chance_loss(self) -> float:
        """The loss of a network that has learned nothing; not a number where that is not known."""
        ...


@dataclass(frozen=True)
class Classification:
    """The cross-entropy of the softmax over classes (section 3.5), and top-1 errors."""

    classes: int

    def loss(self, outputs: Tensor, x_BCHW: Tensor, labels_B: Tensor) -> Tensor:
        """The mean of -log p(label), from logits B x K."""
        return F.cross_entropy(outputs, labels_B)

    def wrong(self, outputs: Tensor, x_BCHW: Tensor, labels_B: Tensor) -> Tensor:
        """How many images have another class as their most probable one."""
        return (outputs.argmax(1) != labels_B).sum()

    @property
    def chance_loss(self) -> float:
        """ln K: of equal probabilities."""
        return math.log(self.classes)
