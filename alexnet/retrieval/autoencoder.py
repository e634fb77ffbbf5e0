"""A deep autoencoder whose middle layer is binary: codes from which vectors can be rebuilt.

After Krizhevsky and Hinton (2011): the code layer is logistic, rounded on the forward pass, the rounding
ignored on the backward pass. What is known since stands in place of their stack of Boltzmann machines:
ReLUs in the other layers, initial weights by fan-in, and a linear first layer along the principal
directions, which hold nearly all that vectors differ in.

`alexnet.training.train` reads images and trains an `AlexNet`; this loop has its update rule and schedule.

Legend: N vectors, S of a sample, U numbers of a vector, D directions, M of a batch, B bits.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from alexnet.base.errors import NumericsError
from alexnet.base.progress import progress
from alexnet.base.randomness import Purpose, permutation, stream
from alexnet.config import Anneal, Epochs
from alexnet.retrieval.projections import principal
from alexnet.retrieval.vectors import Vectors
from alexnet.training.optimizer import PaperSGD
from alexnet.training.schedule import AnnealSchedule

DIRECTIONS = 256  # in which vectors are rebuilt
HIDDEN = (512, 256)  # units of the encoder's layers; the decoder has them the other way round
EPOCHS = 30
SQUARE = 256.0  # what vectors are scaled to: their mean squared distance from the mean
SAMPLE = 2**17  # vectors that are trained on, at most
_BATCH, _RATE, _MOMENTUM, _DECAY = 128, 0.2, 0.9, 1e-5
_WARM_UP = 1.0  # epochs
_LONGEST = 1.0  # gradient; a longer one is shortened, so that no step leads astray


class _Rounded(torch.autograd.Function):
    """Rounded forward; backward as if it were not."""

    @staticmethod
    def forward(ctx: Any, p: Tensor) -> Tensor:
        return (p > 0.5).to(p.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient


def rounded(p: Tensor) -> Tensor:
    """Probabilities as bits, 0 or 1; the gradient passes straight through."""
    return _Rounded.apply(p)  # type: ignore[no-any-return, no-untyped-call]


class Autoencoder(nn.Module):
    """Vectors of D numbers, through ReLUs, to B bits and back."""

    def __init__(self, numbers: int, bits: int, seed: int) -> None:
        super().__init__()
        down, up = (numbers, *HIDDEN, bits), (bits, *reversed(HIDDEN), numbers)
        self.encoder = self._layers("encoder", down, seed)
        self.decoder = self._layers("decoder", up, seed)

    @staticmethod
    def _layers(name: str, sizes: tuple[int, ...], seed: int) -> nn.ModuleList:
        """Normally distributed weights, of variance 2 / fan-in before a ReLU and 1 / fan-in elsewhere."""
        made = nn.ModuleList()
        for n, (fan_in, units) in enumerate(pairwise(sizes)):
            gain = 2.0 if n < len(sizes) - 2 else 1.0
            draw = stream(seed, Purpose.CODES, f"{name} {n}")
            weights = draw.standard_normal((units, fan_in), np.float32) * math.sqrt(gain / fan_in)
            layer = nn.Linear(fan_in, units)
            with torch.no_grad():
                layer.weight.copy_(torch.from_numpy(weights))
                layer.bias.zero_()
            made.append(layer)
        return made

    def code(self, x_MD: Tensor) -> Tensor:
        """The bits of vectors, 0 or 1, M x B."""
        return rounded(torch.sigmoid(_through(self.encoder, x_MD)))

    def forward(self, x_MD: Tensor) -> Tensor:
        """Vectors as they are rebuilt from their bits, M x D; the decoder reads 0 as -1."""
        return _through(self.decoder, 2 * self.code(x_MD) - 1)


def _through(layers: nn.ModuleList, x: Tensor) -> Tensor:
    for n, layer in enumerate(layers):
        x = layer(torch.relu(x) if n else x)
    return x


def fit(
    vectors_NU: Vectors, bits: int, seed: int
) -> tuple[np.ndarray, np.ndarray, tuple[tuple[np.ndarray, np.ndarray], ...]]:
    """The mean, the directions, and the layers of an encoder that was trained on these vectors.

    Raises NumericsError where training comes to numbers that are not finite.
    """
    found = principal(vectors_NU, DIRECTIONS, seed)
    x_SD = found.of_sample(vectors_NU, SAMPLE)
    # So that a vector's square is always as large on the average; it is 0 where all vectors are equal.
    scale = math.sqrt(float(found.variance_D.sum()) / SQUARE) or 1.0
    x_SD /= np.float32(scale)
    network = Autoencoder(x_SD.shape[1], bits, seed)
    train(network, torch.from_numpy(x_SD), EPOCHS, seed)
    arrays = [w.detach().numpy() for w in network.encoder.parameters()]
    layers = zip(arrays[::2], arrays[1::2], strict=True)
    return (
        found.mean_U,
        found.basis_UD / scale,
        tuple((weights.T.copy(), biases) for weights, biases in layers),
    )


@contextmanager
def _one_thread() -> Iterator[None]:
    """The steps are so short that threads would wait for each other for most of the time."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def train(network: Autoencoder, x_SD: Tensor, epochs: int, seed: int) -> list[float]:
    """Train to rebuild vectors, whose mean square is `SQUARE`: of each epoch's batches the mean squared
    error as a share of it."""
    optimizer = PaperSGD(network.parameters(), _RATE, _MOMENTUM, _DECAY)
    steps = max(1, len(x_SD) // _BATCH)
    schedule = AnnealSchedule(_RATE, Anneal(Epochs(min(_WARM_UP, epochs / 4))), epochs)
    losses = []
    with _one_thread(), progress("codes", epochs * steps, "steps") as shown:
        for epoch in range(epochs):
            order = torch.from_numpy(permutation(seed, Purpose.CODES, epoch, len(x_SD)))
            total = 0.0
            for step in range(steps):
                batch_MD = x_SD[order[step * _BATCH : (step + 1) * _BATCH]]
                loss = (network(batch_MD) - batch_MD).square().sum(1).mean() / SQUARE
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(network.parameters(), _LONGEST)
                optimizer.set_rate(schedule.rate(epoch + (step + 1) / steps))
                optimizer.step()
                total += float(loss.detach())
                if not math.isfinite(total):
                    raise NumericsError(f"The autoencoder's error is {total} in epoch {epoch + 1}.")
                shown.advance(1, f"error {total / (step + 1):.3f}")
            losses.append(total / steps)
    return losses
