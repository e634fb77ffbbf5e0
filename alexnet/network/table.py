"""The eight layers as one table: what is built, counted, drawn and tested is read from here.

`LAYERS` comes from the paper's section 3.5 (`alexnet.paper`); `shapes` derives what each layer puts
out and costs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from alexnet import paper, ranks
from alexnet.paper import Layer

LAYERS: tuple[Layer, ...] = paper.LAYERS


def _one_column() -> tuple[Layer, ...]:
    """The one-GPU net of section 3.2: half the kernels, all of which every kernel sees.

    The last convolutional layer keeps its 256, and the fully connected ones their neurons (footnote 2).
    """
    halved = {layer.name: layer.kernels // 2 for layer in LAYERS[:4]}
    return tuple(
        layer._replace(
            kernels=halved.get(layer.name, layer.kernels),
            sees="image" if layer.sees == "image" else "both columns",
        )
        for layer in LAYERS
    )


def _no_links() -> tuple[Layer, ...]:
    """The paper's network with columns that meet in the fully connected layers only."""
    return tuple(
        layer._replace(sees="own column") if layer.name == "conv3" else layer for layer in LAYERS
    )


# The paper's network, and those it is compared with.
NETWORKS: Mapping[str, tuple[Layer, ...]] = {
    "alexnet": LAYERS,
    "one_column": _one_column(),
    "no_links": _no_links(),
}


@dataclass(frozen=True)
class Shape:
    """One layer with its sizes: neurons are its outputs, multiply_adds one image's forward pass."""

    layer: Layer
    inputs: tuple[int, int, int]  # maps, height, width of what the layer reads
    outputs: tuple[int, int, int]  # of what it computes, before pooling
    pooled: tuple[int, int, int]  # of what it hands on
    groups: int  # 2 where each column sees only itself

    @property
    def inputs_seen(self) -> int:
        """Input maps (or neurons) that one kernel sees."""
        maps, height, width = self.inputs
        return maps // self.groups if is_conv(self.layer) else maps * height * width

    @property
    def weights_per_kernel(self) -> int:
        """Weights of one kernel: size x size x maps for a convolution."""
        return self.inputs_seen * (self.layer.size**2 if is_conv(self.layer) else 1)

    @property
    def neurons(self) -> int:
        """Outputs of the layer for one image."""
        maps, height, width = self.outputs
        return maps * height * width

    @property
    def parameters(self) -> int:
        """Weights and biases."""
        return self.layer.kernels * (self.weights_per_kernel + 1)

    @property
    def multiply_adds(self) -> int:
        """Multiplications with addition in one image's forward pass, biases not counted."""
        return self.neurons * self.weights_per_kernel


def is_conv(layer: Layer) -> bool:
    """Whether a layer is convolutional rather than fully connected."""
    return layer.name.startswith("conv")


def columns_of(layers: tuple[Layer, ...]) -> int:
    """Into how many columns the maps of a network fall: in one, every kernel sees all of them."""
    return paper.COLUMNS if any(layer.sees == "own column" for layer in layers) else 1


def half(count: int, column: int) -> slice:
    """Which kernels of a layer, and so which rows of its parameters, belong to a column."""
    return ranks.share(count, column, paper.COLUMNS)


def name_of(layers: tuple[Layer, ...]) -> str:
    """The name of a network of `NETWORKS` with any number of classes; others have none."""
    rows = [name for name, those in NETWORKS.items() if those[:-1] == layers[:-1]]
    return rows[0] if rows else ""


def with_classes(layers: tuple[Layer, ...], classes: int) -> tuple[Layer, ...]:
    """The same layers with an output layer of `classes` neurons."""
    return (*layers[:-1], layers[-1]._replace(kernels=classes))


def shapes(layers: tuple[Layer, ...] = LAYERS, side: int = paper.CROP) -> list[Shape]:
    """Every layer's sizes for `side` x `side` RGB pictures."""
    rows = []
    maps, height = 3, side
    for layer in layers:
        inputs = (maps, height, height)
        if is_conv(layer):
            before, after = layer.padding
            height = (height + before + after - layer.size) // layer.stride + 1
        else:
            height = 1
        outputs = (layer.kernels, height, height)
        if "pool" in layer.followed_by:
            height = (height - paper.POOL.size) // paper.POOL.stride + 1
        maps = layer.kernels
        groups = paper.COLUMNS if layer.sees == "own column" else 1
        rows.append(Shape(layer, inputs, outputs, (maps, height, height), groups))
    return rows


def training_flops(layers: tuple[Layer, ...] = LAYERS) -> int:
    """Floating-point operations of one image's training: two per multiply-add, in three passes.

    The passes are forward, gradient of the weights, gradient of the input; the pictures need none.
    """
    first, *rest = shapes(layers)
    return 2 * (2 * first.multiply_adds + 3 * sum(shape.multiply_adds for shape in rest))


def inference_flops(layers: tuple[Layer, ...] = LAYERS) -> int:
    """Floating-point operations of one image's forward pass: two per multiply-add."""
    return 2 * sum(shape.multiply_adds for shape in shapes(layers))
