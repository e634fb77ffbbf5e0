"""What measuring and checking a GPU have in common: the scale, the report, and synthetic input.

Shape letters: N, B images, C maps, H x W positions.
"""

from __future__ import annotations

import json
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from alexnet import paper
from alexnet.base.files import write_json
from alexnet.config import AugmentationConfig, OptimizerConfig, StartConfig
from alexnet.conventions import PAPER
from alexnet.loading.loader import Loader
from alexnet.network import AlexNet, reference
from alexnet.network.kernels.gpu.block import gpu_block
from alexnet.network.lrn import NONE
from alexnet.paper import Normalization
from alexnet.prepared.dataset import Split
from alexnet.prepared.shards import Shard

MINUTES = 7.5  # after which no part begins
SGD = OptimizerConfig()
_NARROW = {"conv1": 16, "conv2": 16, "conv3": 16, "conv4": 16, "conv5": 16, "fc6": 32, "fc7": 32}


@dataclass(frozen=True)
class Scale:
    """How much is measured, and where."""

    device: torch.device
    batches: tuple[int, ...]
    images: int  # of the synthetic split
    checked: int  # images in each check
    seconds: float  # of each measured block
    blocks: int
    kernels: dict[str, int]  # of a narrower network

    @property
    def is_quick(self) -> bool:
        """Whether only the benchmark itself is tried, without a GPU."""
        return self.device.type != "cuda"

    def network(self) -> AlexNet:
        """The network on the CPU."""
        # So few kernels with the paper's start have gradients that are lost beside biases of one.
        start = StartConfig(rule="he", gain=0.6, bias=0.0) if self.is_quick else StartConfig()
        classes = self.kernels.get("fc8", paper.CLASSES)
        return AlexNet(classes, PAPER.with_kernels(self.kernels), start)


FULL = Scale(torch.device("cuda"), (128, 256, 1024), 8192, 8, 1.0, 3, {})
QUICK = Scale(torch.device("cpu"), (2,), 4, 1, 0.0, 1, {**_NARROW, "fc8": 4})


class Report:
    """What was found, in a JSON file that is written anew after every part."""

    def __init__(self, path: Path) -> None:
        self.path, self.begun = path, time.monotonic()
        self.found: dict[str, Any] = {"errors": {}}

    def part(self, name: str, work: Callable[..., object], *arguments: object) -> None:
        """Do a part; if it fails, record its error and let the next one begin."""
        begun = time.monotonic()
        try:
            if begun - self.begun > 60 * MINUTES:
                raise TimeoutError(f"left out: {MINUTES} minutes are over")
            work(*arguments)
        except Exception as error:
            self.found["errors"][name] = traceback.format_exc()
            print(f"! {name}: {type(error).__name__}: {str(error)[:300]}", file=sys.stderr)
        else:
            print(f"  {name}: {time.monotonic() - begun:.1f} s", file=sys.stderr)
        write_json(self.path, self.found)

    def add(self, section: str, row: dict[str, Any]) -> None:
        """One more row of a section."""
        print(f"{section}: {json.dumps(row)}", flush=True)
        self.found.setdefault(section, []).append(row)

    @property
    def failures(self) -> list[str]:
        """The checks that found an error above their limit, and the parts that could not be done."""
        wrong = [row["what"] for row in self.found.get("checks", []) if not row["ok"]]
        return [*wrong, *self.found["errors"]]


def random_split(images: int) -> Split:
    """Random images in memory, like those of a prepared split whose pages are cached."""
    draw = np.random.default_rng(0)
    shape = (images, paper.SIDE, paper.SIDE, paper.CHANNELS)
    images_NHWC = draw.integers(0, 256, shape, dtype=np.uint8)
    labels_N = draw.integers(0, 4, images)
    shard = Shard(Path("synthetic"), labels_N, None, None, images_NHWC, paper.SIDE)
    return Split("train", labels_N, (shard,), paper.SIDE, np.zeros(1, np.int64))


class RandomStatistics:
    """A mean image and colour components like those of photographs."""

    mean_HWC = np.random.default_rng(1).uniform(100, 130, (256, 256, 3)).astype(np.float32)
    eigenvectors_33 = np.linalg.qr(np.random.default_rng(2).normal(size=(3, 3)))[0]
    deviations_3 = np.array(paper.IMAGENET_COLOUR_DEVIATIONS)


class RepeatedBatch:
    """One batch on the device again and again: training without an input pipeline."""

    def __init__(self, batch: int, device: torch.device) -> None:
        self.cuts_B8 = torch.zeros(batch, 8, dtype=torch.int32, device=device)
        self.labels_B = torch.arange(batch, device=device) % 4
        self.step = -1

    def batches(self, first: int, last: int) -> Iterator[RepeatedBatch]:
        """The batch, once for each step."""
        for self.step in range(first, last):
            yield self

    def cut_into(self, x_BCHW: Tensor) -> None:
        """Write random images, at the first step alone."""
        if self.step == 0:
            x_BCHW.normal_(0, 64)


def block_shapes(scale: Scale) -> list[tuple[str, tuple[int, int], Normalization]]:
    """Layer, (maps, side) and normalization of the three blocks."""
    if scale.is_quick:
        return [("conv1", (16, 3), paper.LRN), ("conv5", (16, 3), NONE)]
    return [
        ("conv1", (96, 55), paper.LRN),
        ("conv2", (256, 27), paper.LRN),
        ("conv5", (256, 13), NONE),
    ]


def block_numbers(
    scale: Scale, maps: int, side: int, images: int, dtype: torch.dtype
) -> tuple[Tensor, Tensor, Tensor]:
    """x, bias, and the gradient of the output."""
    out = (side - paper.POOL.size) // paper.POOL.stride + 1
    torch.manual_seed(1)
    x = 40 * torch.randn(images, maps, side, side, device=scale.device)
    g = torch.randn(images, maps, out, out, device=scale.device)
    bias = torch.randn(maps, device=scale.device)
    last = torch.channels_last
    return (
        x.to(dtype, memory_format=last).requires_grad_(),
        bias.to(dtype).requires_grad_(),
        g.to(dtype, memory_format=last),
    )


def our_block(x: Tensor, bias: Tensor, rule: Normalization) -> Tensor:
    """The Triton kernels."""
    settings = (paper.COLUMNS, rule.n // 2, rule.k, rule.alpha, rule.beta, *paper.POOL)
    y: Tensor = gpu_block(x, bias, *settings)[0]
    return y


def plain_block(x: Tensor, bias: Tensor, rule: Normalization) -> Tensor:
    """PyTorch's operations."""
    return reference.block(x, bias, rule, paper.COLUMNS, *paper.POOL)


def loader_of(batch: int, split: Split) -> Loader:
    """Training views of a split, as batches."""
    statistics: Any = RandomStatistics()
    return Loader(split, statistics, AugmentationConfig(), batch, seed=3)
