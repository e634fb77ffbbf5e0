"""Upper bounds of the machine: float32 matrix products and memory copies, on all cores."""

from __future__ import annotations

import time
from functools import partial

import torch

from alexnet.benchmark.alternate import Implementation, Step
from alexnet.network.linear import product

SIDE = 4096  # of the matrices


def products(flops_each: int) -> Implementation:
    """The ceiling of work that takes `flops_each` operations an image, all in matrix products."""
    return Implementation("ceiling", _product, 2 * SIDE**3 / flops_each)


def copies(numbers: int, bytes_each: int) -> Implementation:
    """The ceiling of work that moves `bytes_each` an image: `numbers` float32 read and written."""
    return Implementation("ceiling", partial(_copy, numbers), 2 * 4 * numbers / bytes_each)


def _product() -> Step:
    """One product of square matrices, by MKL or oneDNN, whichever is faster at smaller ones."""
    seconds = [_seconds(way) for way in _ways(SIDE // 4)]
    return _ways(SIDE)[seconds.index(min(seconds))]


def _ways(side: int) -> list[Step]:
    a, b = torch.randn(2, side, side).unbind()
    return [partial(torch.mm, a, b, out=torch.empty_like(a)), partial(product, a, b)]


def _copy(numbers: int) -> Step:
    source = torch.randn(numbers)
    return partial(torch.empty_like(source).copy_, source)


def _seconds(step: Step) -> float:
    step()
    begun = time.perf_counter()
    step()
    return time.perf_counter() - begun
