"""The network of sections 3.5 and 4.2, built from the table of its layers.

Shape letters: N images, C maps, H x W positions, U units of a fully connected layer, K classes.
Pictures come in as float N x 3 x 224 x 224, on the 0-255 scale minus the mean image, channels-last
in memory; they stay channels-last to the end of the convolutions.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from alexnet import paper
from alexnet.config import StartConfig
from alexnet.errors import UsageError, did_you_mean
from alexnet.network.conv import convolve, plain_convolve
from alexnet.network.dropout import relu_dropout
from alexnet.network.initialization import initialize
from alexnet.network.linear import linear
from alexnet.network.lrn import LRN, NONE, block, normalize
from alexnet.network.table import LAYERS, Shape, columns_of, is_conv, shapes, with_classes
from alexnet.paper import Layer


class AlexNet(nn.Module):
    """The eight-layer, two-column network, or another table of layers; `classes` neurons in the last.

    Weights start as `start` says (the paper's Gaussian by default), drawn from `seed`.
    """

    def __init__(
        self,
        classes: int = paper.CLASSES,
        layers: tuple[Layer, ...] = LAYERS,
        start: StartConfig | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.layers = with_classes(layers, classes)
        self.lrn, self.columns = LRN(), columns_of(self.layers)
        for shape in self.shapes:
            self.add_module(shape.layer.name, _parameters(shape))
        built = ((shape, *self.weight_and_bias(shape.layer.name)) for shape in self.shapes)
        initialize(built, start or StartConfig(), seed)

    @property
    def shapes(self) -> list[Shape]:
        """Sizes and costs of every layer."""
        return shapes(self.layers)

    @property
    def classes(self) -> int:
        """Neurons of the output layer."""
        return self.layers[-1].kernels

    @property
    def activation_names(self) -> list[str]:
        """Every name that `activations` knows, from the first layer to the last."""
        names = []
        for layer in self.layers:
            names += [f"{layer.name}.pre"] if "relu" in layer.followed_by else []
            names += [layer.name]
            names += [f"norm{layer.name[-1]}"] if "norm" in layer.followed_by else []
            names += [f"pool{layer.name[-1]}"] if "pool" in layer.followed_by else []
        return names

    def weight_and_bias(self, layer: str) -> tuple[nn.Parameter, nn.Parameter]:
        """The parameters of one layer: kernels first, then one bias for each."""
        return self.get_parameter(f"{layer}.weight"), self.get_parameter(f"{layer}.bias")

    def forward(self, x: Tensor, dropout: Tensor | None = None) -> Tensor:
        """Logits, N x K, of the training network where `dropout` is the address of the step's masks
        (`dropout.address`), otherwise of the test network.
        """
        return self.connected(self.convolved(x), dropout)

    def convolved(self, x: Tensor) -> Tensor:
        """The convolutional layers: what fc6 reads, N x 256 x 6 x 6."""
        x = self.checked(x)
        for layer in filter(is_conv, self.layers):
            x = self.convolution(x, layer)
        return x

    def connected(self, x: Tensor, dropout: Tensor | None = None) -> Tensor:
        """The fully connected layers: logits, N x K."""
        for lane, layer in enumerate(self.layers):
            if not is_conv(layer):
                x = self.connection(x.flatten(1), layer, lane, dropout)
        return x

    def convolution(self, x: Tensor, layer: Layer) -> Tensor:
        """One convolutional layer with all that follows it."""
        weight, bias = self.weight_and_bias(layer.name)
        if "pool" in layer.followed_by:
            return self.pooled(convolve(x, weight, None, layer), bias, layer)
        return convolve(x, weight, bias, layer, relu=True)

    def pooled(self, x: Tensor, bias: Tensor, layer: Layer) -> Tensor:
        """Bias, ReLU, normalization (where the layer has it) and pooling of a convolution's sums."""
        lrn = self.lrn if "norm" in layer.followed_by else NONE
        return block(x, bias, lrn, self.columns, paper.POOL.size, paper.POOL.stride)

    def connection(self, x: Tensor, layer: Layer, lane: int, dropout: Tensor | None) -> Tensor:
        """One fully connected layer, number `lane` of all, with all that follows it."""
        sums = linear(x, *self.weight_and_bias(layer.name))
        return self.followed(sums, layer, lane, dropout)

    def followed(self, x: Tensor, layer: Layer, lane: int, dropout: Tensor | None) -> Tensor:
        """ReLU and dropout of a fully connected layer's sums, where it has them."""
        if "dropout" in layer.followed_by and dropout is not None:
            return self.dropped(x, layer, lane, dropout)
        x = F.relu(x) if "relu" in layer.followed_by else x
        return x * (1 - paper.DROPOUT) if "dropout" in layer.followed_by else x

    def dropped(self, x: Tensor, layer: Layer, lane: int, dropout: Tensor) -> Tensor:
        """The ReLU of a hidden layer, with the units of this step's mask dropped."""
        return relu_dropout(x, dropout, lane)

    def activations(self, x: Tensor, names: Collection[str]) -> dict[str, Tensor]:
        """The named activations of the test network: `conv1` is after its ReLU, `conv1.pre` before,
        `norm1` and `pool1` follow; `fc7` is before dropout's factor; `fc8` are the logits.
        """
        for name in names:
            if name not in self.activation_names:
                raise UsageError(
                    f"There is no activation {name!r}.",
                    remedy=did_you_mean(name, self.activation_names),
                )
        left = set(names)
        found = {}
        for name, value in self._stages(self.checked(x)):
            if name in left:
                found[name] = value
                left.remove(name)
            if not left:
                break
        return {name: found[name] for name in names}

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> AlexNet:
        """The network of a model folder (`model.safetensors` and `config.json`)."""
        from alexnet.network.weights import load_model

        return load_model(Path(folder))[0]

    def _stages(self, x: Tensor) -> Iterator[tuple[str, Tensor]]:
        """Every named activation in turn, each operation by itself."""
        for layer in self.layers:
            weight, bias = self.weight_and_bias(layer.name)
            if is_conv(layer):
                x = plain_convolve(x, weight, bias, layer)
            else:
                x = F.linear(x.flatten(1), weight, bias)
            if "relu" in layer.followed_by:
                yield f"{layer.name}.pre", x
                x = F.relu(x)
            yield layer.name, x
            if "norm" in layer.followed_by:
                x = normalize(x, self.lrn, self.columns)
                yield f"norm{layer.name[-1]}", x
            if "pool" in layer.followed_by:
                x = F.max_pool2d(x, paper.POOL.size, paper.POOL.stride)
                yield f"pool{layer.name[-1]}", x
            if "dropout" in layer.followed_by:
                x = x * (1 - paper.DROPOUT)

    def checked(self, x: Tensor) -> Tensor:
        """Pictures in the memory layout of the hot path; raises UsageError where they are none."""
        side = paper.CROP
        if x.ndim != 4 or x.shape[1:] != (3, side, side) or not x.is_floating_point():
            raise UsageError(
                f"The network reads float N x 3 x {side} x {side} (0-255 minus the mean image); "
                f"got {str(x.dtype).removeprefix('torch.')} {' x '.join(map(str, x.shape))}.",
                remedy="Add a batch axis, or use alexnet.load(...).predict(picture).",
            )
        return x.contiguous(memory_format=torch.channels_last)


def _parameters(shape: Shape) -> nn.Module:
    """A PyTorch module that holds the layer's weights and biases, their values not yet set."""
    layer = shape.layer
    module: nn.Module
    if is_conv(layer):
        maps = shape.inputs[0]
        module = nn.Conv2d(maps, layer.kernels, layer.size, groups=shape.groups, device="meta")
    else:
        module = nn.Linear(shape.inputs_seen, layer.kernels, device="meta")
    return module.to_empty(device="cpu")


def as_batch(x_NHWC: np.ndarray) -> Tensor:
    """A channels-last array of pictures as the tensor the network reads, without copying."""
    return torch.from_numpy(x_NHWC).permute(0, 3, 1, 2)
