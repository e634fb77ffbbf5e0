"""What the layouts of a network on several processes exchange in a training step, from the table.

`alexnet.training.mesh` does it; a test compares these numbers with the bytes that are really sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

from alexnet import paper
from alexnet.conventions import PAPER, Convention
from alexnet.network.table import Shape, half, is_connected, shapes

# A replica in one piece, in two columns, or with the images of its convolutions and the units of its
# fully connected layers halved.
Layout = Literal["fused", "columns", "hybrid"]
LAYOUTS: tuple[Layout, ...] = get_args(Layout)
_LABEL = 8  # bytes


class Traffic(NamedTuple):
    """Bytes that one process sends in a step: activations with their gradients, and the weights'."""

    activations: float
    gradients: float

    @property
    def bytes(self) -> float:
        """Both together."""
        return self.activations + self.gradients


def traffic(
    layout: Layout,
    processes: int,
    batch: int = paper.BATCH,
    convention: Convention = PAPER,
    size: int = 4,
) -> Traffic:
    """What a process sends where `processes` share a batch; numbers have `size` bytes.

    Where the columns differ, as with an odd number of classes, it is the first one's.
    """
    rows = shapes(convention)
    if layout == "fused":
        return Traffic(0.0, size * _summed(sum(row.parameters for row in rows), processes))
    replicas = processes // paper.COLUMNS
    images = batch / replicas
    connected = [row for row in rows if is_connected(row.layer)]
    convolved = [row for row in rows if not is_connected(row.layer)]
    logits = images * _half(convention.output.kernels)
    if layout == "columns":
        meet = [row for row in rows if row.layer.sees == "both columns"]
        numbers = images * sum(2 * _half_input(row) for row in meet) + logits
        return Traffic(size * numbers, size * _summed(_own(rows), replicas))
    first, *others = connected
    gathered = images * first.inputs_seen  # of half the images, there and back
    numbers = gathered + images * sum(2 * _half_input(row) for row in others) + logits
    shared = sum(row.parameters for row in convolved)
    gradients = _summed(_own(connected), replicas) + _summed(shared, processes)
    return Traffic(size * numbers + _LABEL * images / 2, size * gradients)


def _summed(numbers: int, processes: int) -> float:
    """Numbers that each process sends where all sum theirs in a ring."""
    return 2 * (processes - 1) / processes * numbers


def _own(rows: Sequence[Shape]) -> int:
    """Parameters of the first column's half of these layers."""
    return sum(_half(row.layer.kernels) * (row.weights_per_kernel + 1) for row in rows)


def _half_input(row: Shape) -> int:
    maps, height, width = row.inputs
    return _half(maps) * height * width


def _half(count: int) -> int:
    """What the first column has."""
    rows: int = half(count, 0).stop
    return rows
