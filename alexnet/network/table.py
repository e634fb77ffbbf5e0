"""What a network's table of layers comes to: sizes, parameters, costs.

The tables are in `alexnet.paper` and `alexnet.conventions`; what is built, counted, drawn and tested is
read from them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from alexnet import paper
from alexnet.base import ranks
from alexnet.conventions import PAPER, Convention
from alexnet.paper import Follower, Layer


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
        return maps * height * width if is_connected(self.layer) else maps // self.groups

    @property
    def weights_per_kernel(self) -> int:
        """Weights of one kernel: size x size x maps for a convolution."""
        return self.inputs_seen * (1 if is_connected(self.layer) else self.layer.size**2)

    @property
    def neurons(self) -> int:
        """Outputs of the layer for one image."""
        maps, height, width = self.outputs
        return maps * height * width

    @property
    def kernels(self) -> int:
        """Sets of weights with a bias each: in a locally connected layer one for every neuron."""
        return self.neurons if is_local(self.layer) else self.layer.kernels

    @property
    def parameters(self) -> int:
        """Weights and biases."""
        return self.kernels * (self.weights_per_kernel + 1)

    @property
    def multiply_adds(self) -> int:
        """Multiplications with addition in one image's forward pass, biases not counted."""
        return self.neurons * self.weights_per_kernel

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """Kernels first; a locally connected layer's places last. Biases are one row of `kernels`."""
        layer = self.layer
        if is_connected(layer):
            return layer.kernels, self.inputs_seen
        places = self.outputs[1:] if is_local(layer) else ()
        return layer.kernels, self.inputs_seen, layer.size, layer.size, *places


class Stage(NamedTuple):
    """One layer with all that follows it: the child modules of a network that compute it."""

    layer: Layer
    names: tuple[str, ...]  # of the modules in order of computation: ("conv5", "relu5", "pool5")
    followers: tuple[Follower, ...]  # what each but the first computes: ("relu", "pool")

    @property
    def drops(self) -> bool:
        """Whether it ends in dropout."""
        return self.followers[-1:] == ("dropout",)

    @property
    def without_dropout(self) -> Stage:
        """As far as the last activation that has a name."""
        return Stage(self.layer, self.names[:-1], self.followers[:-1]) if self.drops else self

    @property
    def activations(self) -> dict[str, str]:
        """The module by the name of its output as an activation, in order of computation.

        A layer's own name is for its output after the nonlinearity, wherever that stands, and
        `conv1.pre` for the sums before; the last layer's is for its logits. Dropout has none.
        """
        sums = f"{self.layer.name}.pre" if self.followers else self.layer.name
        found = {sums: self.layer.name}
        for name, follower in zip(self.names[1:], self.followers, strict=True):
            if follower in ("relu", "tanh"):
                found[self.layer.name] = name
            elif follower != "dropout":
                found[name] = name
        return found


def stages(convention: Convention) -> tuple[Stage, ...]:
    """The layers of a network and the names of the modules that compute each."""
    return tuple(_stage(layer) for layer in convention.layers)


def _stage(layer: Layer) -> Stage:
    followers = tuple(one for one in layer.followed_by if one != "softmax")  # part of the loss
    number = number_of(layer)
    names = {
        **{"relu": "relu", "tanh": "tanh", "norm": "norm", "norm within": "norm"},
        **{"pool": "pool", "average pool": "pool", "dropout": "drop"},
    }
    found = [f"{names[one]}{number}" for one in followers]
    if "norm" in followers and "norm within" in followers:
        found[followers.index("norm within")] += "_within"
    return Stage(layer, (layer.name, *found), followers)


def number_of(layer: Layer) -> str:
    """The number in a layer's name: "1" of conv1."""
    return layer.name.lstrip("abcdefghijklmnopqrstuvwxyz")


def is_local(layer: Layer) -> bool:
    """Whether a layer looks at places as a convolution does, but with other kernels at each."""
    return layer.name.startswith("local")


def is_connected(layer: Layer) -> bool:
    """Whether a layer is fully connected."""
    return layer.name.startswith("fc")


def half(count: int, column: int) -> slice:
    """Which kernels of a layer, and so which rows of its parameters, belong to a column."""
    return ranks.share(count, column, paper.COLUMNS)


def shapes(convention: Convention = PAPER) -> list[Shape]:
    """Every layer's sizes."""
    rows = []
    maps, height = paper.CHANNELS, convention.crop
    for layer in convention.layers:
        inputs = (maps, height, height)
        if is_connected(layer):
            height = 1
        else:
            height = (height + sum(layer.padding) - layer.size) // layer.stride + 1
        outputs = (layer.kernels, height, height)
        if "pool" in layer.followed_by or "average pool" in layer.followed_by:
            size, stride = convention.pool
            steps = height - size + (stride - 1 if convention.overhang else 0)
            height = steps // stride + 1
        maps = layer.kernels
        groups = paper.COLUMNS if layer.sees == "own column" else 1
        rows.append(Shape(layer, inputs, outputs, (maps, height, height), groups))
    return rows


def training_flops(convention: Convention = PAPER) -> int:
    """Floating-point operations of one image's training: two per multiply-add, in three passes.

    The passes are forward, gradient of the weights, gradient of the input; the images need none.
    """
    first, *rest = shapes(convention)
    return 2 * (2 * first.multiply_adds + 3 * sum(shape.multiply_adds for shape in rest))


def inference_flops(convention: Convention = PAPER) -> int:
    """Floating-point operations of one image's forward pass: two per multiply-add."""
    return 2 * sum(shape.multiply_adds for shape in shapes(convention))
