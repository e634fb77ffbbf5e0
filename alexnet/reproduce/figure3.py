"""Figure 3 from cells: the first layer's kernels, what training changed in them, and their measures.

Shape letters: M kernels, C colours, H x W pixels.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from alexnet.figures.kernels import first_layer_kernels
from alexnet.models.kernels import colour_share
from alexnet.network.table import shapes
from alexnet.reproduce.arms import Arm
from alexnet.reproduce.cells import Cell

CONV1 = "conv1"  # the array of a cell


class Kernels(NamedTuple):
    """The kernels of one run as images, and what is measured on them."""

    seed: int
    file: str
    columns: int
    shown: str  # data URIs
    changed: str
    updates: int
    epochs: float
    shares: tuple[float, ...]  # of colour, by column
    measures: dict[str, float]


def kernels_of(arm: Arm, cells: Sequence[Cell]) -> list[Kernels]:
    """What figure 3 shows of each cell that kept its kernels."""
    return [_kernels(arm, cell) for cell in cells if CONV1 in cell.arrays]


def _kernels(arm: Arm, cell: Cell) -> Kernels:
    now_MCHW = cell.array(CONV1)
    columns = arm.config(0).network.of(cell.address.data["classes"]).columns
    share_M = colour_share(now_MCHW)
    return Kernels(
        seed=cell.seed,
        file=cell.address.path().name,
        columns=columns,
        shown=_png(first_layer_kernels(now_MCHW, columns)),
        changed=_png(first_layer_kernels(now_MCHW - start_of(arm, cell), columns)),
        updates=updates(arm, cell),
        epochs=cell.curve["epoch"][-1],
        shares=tuple(float(one.mean()) for one in np.split(share_M, columns)),
        measures=dict(cell.measures),
    )


def updates(arm: Arm, cell: Cell) -> int:
    """How many times the weights were changed: once for each batch of what was trained on."""
    batch: int = arm.config(cell.seed).optimizer.batch.count
    images: int = cell.address.data["train"]
    return math.ceil(round(cell.curve["epoch"][-1] * images) / batch)


def start_of(arm: Arm, cell: Cell) -> np.ndarray:
    """The first layer's kernels as they were drawn before training: M x C x H x W.

    They are drawn again, from the cell's seed. The weights of other layers are not.
    """
    import torch

    from alexnet.network.initialization import initialize

    config = arm.config(cell.seed)
    table = shapes(config.network.of(cell.address.data["classes"]))
    weight = torch.empty(table[0].weight_shape)
    nothing = torch.empty(0)
    others = [(shape, nothing, nothing) for shape in table[1:]]
    initialize(
        [(table[0], weight, torch.empty(weight.shape[0])), *others], config.network.start, cell.seed
    )
    return np.asarray(weight.numpy())


def _png(pixels_HWC: np.ndarray) -> str:
    """An image as it stands in a page."""
    out = io.BytesIO()
    Image.fromarray(pixels_HWC).save(out, "png")
    return f"data:image/png;base64,{base64.b64encode(out.getvalue()).decode()}"
