"""The block of bias, ReLU, normalization and max-pooling, forward and backward, at its two shapes.

Shape letters: N images, C maps, H x W positions, Y x X pooled positions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from alexnet import paper
from alexnet.benchmark.alternate import Comparison, Implementation, Step
from alexnet.benchmark.ceilings import copies
from alexnet.benchmark.pytorch_network import normalization, pooling
from alexnet.network import keep_memory
from alexnet.network.lrn import block
from alexnet.network.table import Shape, shapes


def comparisons(peers: Sequence[str], batch: int) -> list[Comparison]:
    """One for each layer with normalization; the ceiling moves its numbers at the rate of a copy."""
    makers = {"alexnet": alexnet, **{name: _PEERS[name] for name in peers}}
    found = []
    for shape in (shape for shape in shapes() if "norm" in shape.layer.followed_by):
        implementations = [
            Implementation(name, partial(make, shape, batch), batch)
            for name, make in makers.items()
        ]
        title = f"normalization block of {shape.layer.name}, batch {batch}"
        ceiling = copies(batch * shape.neurons, _bytes_each(shape))
        moved = f"copies of memory, {_bytes_each(shape) / 1e6:.2f} MB an image"
        found.append(Comparison(title, implementations, ceiling, moved))
    return found


def alexnet(shape: Shape, batch: int) -> Step:
    """This package's block, its bias included."""
    keep_memory()
    x_NCHW, g_NCYX = _synthetic(shape, batch)
    x_NCHW = x_NCHW.contiguous(memory_format=torch.channels_last).requires_grad_()
    g_NCYX = g_NCYX.contiguous(memory_format=torch.channels_last)
    bias_C = torch.zeros(x_NCHW.shape[1], requires_grad=True)
    pool = paper.POOL

    def step() -> None:
        x_NCHW.grad = bias_C.grad = None
        block(x_NCHW, bias_C, paper.LRN, paper.COLUMNS, pool.size, pool.stride).backward(g_NCYX)

    return step


def pytorch(shape: Shape, batch: int) -> Step:
    """PyTorch's own modules; the bias, which its convolutions add, is left out."""
    return _pytorch_step(_modules(), shape, batch)


def compiled(shape: Shape, batch: int) -> Step:
    """The same through PyTorch's compiler."""
    return _pytorch_step(torch.compile(_modules()), shape, batch)


_PEERS: dict[str, Callable[[Shape, int], Step]] = {"pytorch": pytorch, "compile": compiled}


def _modules() -> nn.Module:
    return nn.Sequential(nn.ReLU(), normalization(), pooling())


def _pytorch_step(modules: Callable[[Tensor], Tensor], shape: Shape, batch: int) -> Step:
    x_NCHW, g_NCYX = _synthetic(shape, batch)
    x_NCHW.requires_grad_()

    def step() -> None:
        x_NCHW.grad = None
        modules(x_NCHW).backward(g_NCYX)

    return step


def _synthetic(shape: Shape, batch: int) -> tuple[Tensor, Tensor]:
    """What the convolution puts out, and the gradient of what is handed on."""
    draw = torch.Generator().manual_seed(0)
    x_NCHW = 30 * torch.randn(batch, *shape.outputs, generator=draw)
    return x_NCHW, torch.randn(batch, *shape.pooled, generator=draw)


def _bytes_each(shape: Shape) -> int:
    """What must be moved for one image, if nothing is moved twice in a pass.

    Forward reads x and writes the output and one byte of where each maximum was; backward reads
    these bytes, the gradient and x, and writes the gradient of x.
    """
    maps, height, width = shape.pooled
    return 3 * 4 * shape.neurons + 2 * (4 + 1) * maps * height * width
