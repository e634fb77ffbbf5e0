"""Those who are measured: each builds its network, then does one thing again and again.

A contestant is a function of the batch size that returns what is to be timed. All of them train the
same network on the same made-up batch: forward, backward, update, in float32 on all cores.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from alexnet import paper
from alexnet.network import AlexNet, keep_memory
from alexnet.network.linear import product
from alexnet.training.optimizer import PaperSGD, gradient_norm

Step = Callable[[], None]
CEILING_SIDE = 4096


def alexnet(batch: int) -> Step:
    """This package's training step, its masks and its check for finite numbers included."""
    keep_memory()
    network = AlexNet()
    optimizer = PaperSGD(
        network.parameters(), paper.LEARNING_RATE, paper.MOMENTUM, paper.WEIGHT_DECAY
    )
    x_NCHW, labels_N = _made_up(batch)
    x_NCHW = x_NCHW.contiguous(memory_format=torch.channels_last)

    def step() -> None:
        loss = F.cross_entropy(network(x_NCHW, network.dropout_masks(batch, 0, 0)), labels_N)
        optimizer.zero_grad()
        loss.backward()
        gradient_norm(network.parameters())
        optimizer.step()

    return step


def pytorch(batch: int) -> Step:
    """The same network of PyTorch's own modules, run eagerly as its tutorials do."""
    network = pytorch_alexnet()
    optimizer = torch.optim.SGD(
        network.parameters(),
        paper.LEARNING_RATE,
        momentum=paper.MOMENTUM,
        weight_decay=paper.WEIGHT_DECAY,
    )
    x_NCHW, labels_N = _made_up(batch)

    def step() -> None:
        optimizer.zero_grad()
        F.cross_entropy(network(x_NCHW), labels_N).backward()
        optimizer.step()

    return step


def ceiling(_: int) -> Step:
    """One float32 product of 4096 x 4096 matrices, by the faster of MKL and oneDNN."""
    a, b = torch.randn(2, CEILING_SIDE, CEILING_SIDE).unbind()
    out = torch.empty_like(a)
    ways: list[Step] = [lambda: torch.mm(a, b, out=out), lambda: product(a, b)]  # type: ignore
    return min(ways, key=_seconds)


CONTESTANTS: dict[str, Callable[[int], Step]] = {
    "alexnet": alexnet,
    "pytorch": pytorch,
    "ceiling": ceiling,
}


class PerColumnLRN(nn.LocalResponseNorm):
    """PyTorch's normalization, which knows no columns, given each column as a picture of its own."""

    def forward(self, x_NCHW: Tensor) -> Tensor:
        N, C, H, W = x_NCHW.shape
        return super().forward(x_NCHW.reshape(2 * N, C // 2, H, W)).reshape(N, C, H, W)


def pytorch_alexnet(classes: int = paper.CLASSES) -> nn.Sequential:
    """The paper's network of PyTorch's own modules; its `alpha` is n times the paper's."""
    lrn, layers = paper.LRN, paper.LAYERS
    modules: list[nn.Module] = []
    maps, side = paper.CHANNELS, paper.CROP
    for layer in layers:
        if layer.name.startswith("conv"):
            before, after = layer.padding
            groups = paper.COLUMNS if layer.sees == "own column" else 1
            modules += [nn.ZeroPad2d((before, after, before, after))] if before != after else []
            padding = before if before == after else 0
            modules += [
                nn.Conv2d(maps, layer.kernels, layer.size, layer.stride, padding, groups=groups)
            ]
            maps, side = layer.kernels, layer.output
        else:
            modules += [nn.Flatten()] if side > 1 else []
            units = classes if layer is layers[-1] else layer.kernels
            modules += [nn.Linear(maps * side**2, units)]
            maps, side = units, 1
        modules += [nn.ReLU()] if "relu" in layer.followed_by else []
        if "norm" in layer.followed_by:
            modules += [PerColumnLRN(lrn.n, lrn.n * lrn.alpha, lrn.beta, lrn.k)]
        if "pool" in layer.followed_by:
            modules += [nn.MaxPool2d(paper.POOL.size, paper.POOL.stride)]
            side = (side - paper.POOL.size) // paper.POOL.stride + 1
        modules += [nn.Dropout(paper.DROPOUT)] if "dropout" in layer.followed_by else []
    return nn.Sequential(*modules)


def _made_up(batch: int) -> tuple[Tensor, Tensor]:
    """Numbers like pixels minus their mean, and labels."""
    draw = torch.Generator().manual_seed(0)
    x_NCHW = 64 * torch.randn(batch, paper.CHANNELS, paper.CROP, paper.CROP, generator=draw)
    return x_NCHW, torch.randint(paper.CLASSES, (batch,), generator=draw)


def _seconds(step: Step) -> float:
    step()
    begun = time.perf_counter()
    step()
    return time.perf_counter() - begun
