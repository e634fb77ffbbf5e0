"""Training steps of the same network on the same synthetic batch: forward, backward, update.

All in float32 on all cores. Each function makes one implementation's step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from alexnet import paper
from alexnet.benchmark.alternate import Comparison, Implementation, Step
from alexnet.benchmark.ceilings import products
from alexnet.benchmark.pytorch_network import pytorch_alexnet
from alexnet.benchmark.synthetic import synthetic_batch
from alexnet.network import AlexNet, keep_memory
from alexnet.network.dropout import address, masks_of
from alexnet.network.table import training_flops
from alexnet.training.optimizer import PaperSGD, squares


def comparisons(peers: Sequence[str], batch: int) -> list[Comparison]:
    """This package beside `peers`; the ceiling is the network's products at the machine's rate."""
    makers = {"alexnet": alexnet, **{name: _PEERS[name] for name in peers}}
    return [
        Comparison(
            f"training, batch {batch}",
            [Implementation(name, partial(make, batch), batch) for name, make in makers.items()],
            products(training_flops()),
            f"float32 matrix products, {training_flops() / 1e9:.3f} GFLOP an image",
        )
    ]


def alexnet(batch: int) -> Step:
    """This package's training step, its dropout and its check for finite numbers included."""
    keep_memory()
    return allocator(batch)


def allocator(batch: int) -> Step:
    """The same, where the allocator has not been told to keep its memory for the next step."""
    network = AlexNet()
    optimizer = PaperSGD(
        network.parameters(), paper.LEARNING_RATE, paper.MOMENTUM, paper.WEIGHT_DECAY
    )
    x_NCHW, labels_N = synthetic_batch(batch)
    x_NCHW = x_NCHW.contiguous(memory_format=torch.channels_last)

    def step() -> None:
        with masks_of(network, address(0, 0)):
            loss = F.cross_entropy(network(x_NCHW), labels_N)
        optimizer.zero_grad()
        loss.backward()
        squares([w.grad for w in network.parameters() if w.grad is not None]).item()
        optimizer.step()

    return step


def pytorch(batch: int) -> Step:
    """The same network of PyTorch's own modules, run eagerly as its tutorials do."""
    network = pytorch_alexnet()
    return _pytorch_step(network, network, batch)


def compiled(batch: int) -> Step:
    """PyTorch's network through its compiler."""
    network = pytorch_alexnet()
    return _pytorch_step(network, torch.compile(network), batch)


def jax(batch: int) -> Step:
    """The same network in JAX, the whole step compiled."""
    from alexnet.benchmark.jax_network import training_step

    return training_step(batch)


def tensorflow(batch: int) -> Step:
    """The same network in TensorFlow, the whole step one graph."""
    from alexnet.benchmark.tensorflow_network import training_step

    return training_step(batch)


_PEERS: dict[str, Callable[[int], Step]] = {
    "pytorch": pytorch,
    "compile": compiled,
    "jax": jax,
    "tensorflow": tensorflow,
    "allocator": allocator,
}


def _pytorch_step(network: nn.Module, run: Callable[[Tensor], Tensor], batch: int) -> Step:
    optimizer = torch.optim.SGD(
        network.parameters(),
        paper.LEARNING_RATE,
        momentum=paper.MOMENTUM,
        weight_decay=paper.WEIGHT_DECAY,
    )
    x_NCHW, labels_N = synthetic_batch(batch)

    def step() -> None:
        optimizer.zero_grad()
        F.cross_entropy(run(x_NCHW), labels_N).backward()
        optimizer.step()

    return step
