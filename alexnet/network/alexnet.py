"""The network of sections 3.5 and 4.2, and every other of `alexnet.conventions`, built from its table.

Shape letters: N images, C maps, H x W positions, U units of a fully connected layer, K classes.
Images come in as float N x 3 x 224 x 224, on the 0-255 scale minus the mean image, channels-last
in memory; they stay channels-last to the end of the convolutions.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from alexnet import conventions, paper
from alexnet.base.errors import UsageError, did_you_mean
from alexnet.config import StartConfig
from alexnet.conventions import PAPER, Convention
from alexnet.network.conv import convolve, plain_convolve
from alexnet.network.dropout import relu_dropout
from alexnet.network.initialization import initialize
from alexnet.network.linear import linear
from alexnet.network.local import locally_connected
from alexnet.network.lrn import LRN, block, normalize, normalize_within, relu_pool
from alexnet.network.table import Shape, is_connected, is_local, shapes
from alexnet.paper import Layer

if TYPE_CHECKING:
    from alexnet.models.folder import ModelCard


class AlexNet(nn.Module):
    """The eight-layer, two-column network, or that of another convention, with so many classes.

    Weights start as `start` says (the convention's Gaussian by default), drawn from `seed`.
    """

    _divisors: Tensor | None

    def __init__(
        self,
        classes: int = paper.CLASSES,
        convention: str | Convention = PAPER,
        start: StartConfig | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if isinstance(convention, str):
            convention = conventions.convention(convention)
        self.convention = convention.with_classes(classes)
        self._hold_divisors()
        for shape in self.shapes:
            self.add_module(shape.layer.name, _Parameters(shape))
        built = ((shape, *self.weight_and_bias(shape.layer.name)) for shape in self.shapes)
        initialize(built, start or StartConfig(), seed)

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The rows of the table."""
        return self.convention.layers

    @property
    def shapes(self) -> list[Shape]:
        """Sizes and costs of every layer."""
        return shapes(self.convention)

    @property
    def classes(self) -> int:
        """Neurons of the output layer."""
        return self.convention.output.kernels

    @property
    def activation_names(self) -> list[str]:
        """Every name that `activations` knows, in the order in which they are computed."""
        return [name for layer in self.layers for name, _ in named(layer)]

    def weight_and_bias(self, layer: str) -> tuple[nn.Parameter, nn.Parameter]:
        """The parameters of one layer: kernels first, then one bias for each."""
        return self.get_parameter(f"{layer}.weight"), self.get_parameter(f"{layer}.bias")

    def forward(self, x: Tensor, dropout: Tensor | None = None) -> Tensor:
        """Logits, N x K, of the training network where `dropout` is the address of the step's masks
        (`dropout.address`), otherwise of the test network.
        """
        return self.connected(self.convolved(x), dropout)

    def convolved(self, x: Tensor) -> Tensor:
        """The layers over positions: what fc6 reads, N x 256 x 6 x 6, before any dropout."""
        x = self.checked(x)
        for layer in self.layers:
            if not is_connected(layer):
                x = self.convolution(x, layer)
        return x

    def connected(self, x: Tensor, dropout: Tensor | None = None) -> Tensor:
        """The fully connected layers: logits, N x K."""
        x = x.flatten(1)
        for lane, layer in enumerate(self.layers):
            if is_connected(layer):
                x = self.connection(x, layer, lane, dropout)
            elif "dropout" in layer.followed_by:
                x = self.thinned(x, layer, lane, dropout)
        return x

    def convolution(self, x: Tensor, layer: Layer) -> Tensor:
        """One convolutional or locally connected layer with all that follows it, but for dropout."""
        weight, bias = self.weight_and_bias(layer.name)
        if is_local(layer):
            return self._after(locally_connected(x, weight, bias, layer), layer.followed_by)
        match layer.followed_by:
            case ("relu", "pool", *_) | ("relu", "norm", "pool", *_):
                return self.activated(convolve(x, weight, None, layer), bias, layer)
            case ("relu", *rest):
                return self._after(convolve(x, weight, bias, layer, relu=True), rest, relu=True)
        return self._after(convolve(x, weight, bias, layer), layer.followed_by)

    def activated(self, x: Tensor, bias: Tensor, layer: Layer) -> Tensor:
        """A layer's sums with their biases and all that follows: N x K x Y x X."""
        size, stride = self.convention.pool
        overhangs = self.convention.overhang and (x.shape[2] - size) % stride
        match layer.followed_by:
            case ("relu", "pool", *rest) if not overhangs:
                return self._after(relu_pool(x, bias, size, stride), rest, True)
            case ("relu", "norm", "pool", *rest) if not overhangs:
                lrn = LRN.of(self.convention.norm)
                return self._after(block(x, bias, lrn, self.norm_groups, size, stride), rest, True)
        return self._after(x + bias[:, None, None], layer.followed_by)

    @property
    def norm_groups(self) -> int:
        """How many groups of maps are normalized, each by itself."""
        return self.convention.norm_groups

    def connection(self, x: Tensor, layer: Layer, lane: int, dropout: Tensor | None) -> Tensor:
        """One fully connected layer, number `lane` of all, with all that follows it."""
        sums = linear(x, *self.weight_and_bias(layer.name))
        return self.followed(sums, layer, lane, dropout)

    def followed(self, x: Tensor, layer: Layer, lane: int, dropout: Tensor | None) -> Tensor:
        """Nonlinearity and dropout of a fully connected layer's sums, where it has them."""
        if "dropout" not in layer.followed_by:
            return self._after(x, layer.followed_by)
        if "relu" in layer.followed_by and dropout is not None:  # in one pass
            return self._scaled(self.dropped(x, layer, lane, dropout))
        return self.thinned(self._after(x, layer.followed_by), layer, lane, dropout)

    def thinned(self, x: Tensor, layer: Layer, lane: int, dropout: Tensor | None) -> Tensor:
        """Dropout of what a layer puts out: N x U."""
        if dropout is None:
            return x if self.convention.inverted_dropout else x * (1 - paper.DROPOUT)
        positive = self.dropped(x, layer, lane, dropout)
        if self.convention.nonlinearity == "tanh":  # the same mask for what is negative
            positive = positive - self.dropped(-x, layer, lane, dropout)
        return self._scaled(positive)

    def dropped(self, x: Tensor, layer: Layer, lane: int, dropout: Tensor) -> Tensor:
        """The ReLU of a layer's units, those of this step's mask dropped."""
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
        found: dict[str, Tensor] = {}
        left, x = set(names), self.checked(x)
        for layer in self.layers if left else ():
            inside = [name for name, _ in named(layer)]
            if left.isdisjoint(inside[:-1]):
                stages = [(inside[-1], self._computed(x, layer))]
            else:
                stages = [*self._stages(x, layer)]
            found |= {name: value for name, value in stages if name in left}
            left -= found.keys()
            if not left:
                break
            x = self._handed_on(stages[-1][1], layer)
        return {name: found[name] for name in names}

    def plainly(self, x: Tensor) -> Tensor:
        """The logits of the test network, N x K, in PyTorch's own operations alone."""
        x = self.checked(x)
        for layer in self.layers:
            *_, (_, x) = self._stages(x, layer)
            x = self._handed_on(x, layer)
        return x

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> AlexNet:
        """The network of a model folder; raises UsageError for names of networks elsewhere."""
        from alexnet.models.folder import load_pretrained

        return load_pretrained(folder)[0]

    def save_pretrained(self, folder: str | Path, card: ModelCard, force: bool = False) -> None:
        """Write a model folder, which Hugging Face's tools understand too.

        Raises UsageError where there is one already, unless it is to be replaced (`force`).
        """
        from alexnet.models.folder import save_pretrained

        save_pretrained(Path(folder), self, card, force)

    def _after(self, x: Tensor, followers: Sequence[str], relu: bool = False) -> Tensor:
        """What follows a layer's sums, or their `relu`; dropout is not among it."""
        for follower in followers:
            if follower == "norm" and relu:
                lrn, zeros = LRN.of(self.convention.norm), x.new_zeros(x.shape[1])
                x = block(x, zeros, lrn, self.norm_groups, 1, 1)  # its other parts change nothing
            else:
                x = self._follow(x, follower)
            relu = relu or follower == "relu"
        return x

    def _follow(self, x: Tensor, follower: str) -> Tensor:
        about = self.convention
        size, stride = about.pool
        match follower:
            case "relu":
                return F.relu(x)
            case "tanh":
                return F.tanh(x)
            case "norm":
                return normalize(x, LRN.of(about.norm), self.norm_groups)
            case "norm within":
                return normalize_within(x, LRN.of(about.within))
            case "pool":
                return F.max_pool2d(x, size, stride, ceil_mode=about.overhang)
            case "average pool":
                return F.avg_pool2d(x, size, stride, ceil_mode=about.overhang)
        return x  # the softmax belongs to the loss, dropout to `thinned`

    def _computed(self, x: Tensor, layer: Layer) -> Tensor:
        """A layer's last activation."""
        if not is_connected(layer):
            return self.convolution(x, layer)
        return self._after(
            linear(x.flatten(1), *self.weight_and_bias(layer.name)), layer.followed_by
        )

    def _stages(self, x: Tensor, layer: Layer) -> Iterator[tuple[str, Tensor]]:
        """Every named activation of a layer in turn, each operation by itself."""
        weight, bias = self.weight_and_bias(layer.name)
        if is_connected(layer):
            x = F.linear(x.flatten(1), weight, bias)
        elif is_local(layer):
            x = locally_connected(x, weight, bias, layer)
        else:
            x = plain_convolve(x, weight, bias, layer)
        for name, follower in named(layer):
            x = self._follow(x, follower)
            yield name, x

    def _handed_on(self, x: Tensor, layer: Layer) -> Tensor:
        """A layer's last activation as the next one of the test network reads it."""
        return self.thinned(x, layer, 0, None) if "dropout" in layer.followed_by else x

    def _scaled(self, x: Tensor) -> Tensor:
        """What training makes of the units that are kept."""
        return x / (1 - paper.DROPOUT) if self.convention.inverted_dropout else x

    def checked(self, x: Tensor) -> Tensor:
        """Images in the memory layout of the hot path; raises UsageError where they are none."""
        side = self.convention.crop
        if x.ndim != 4 or x.shape[1:] != (3, side, side) or not x.is_floating_point():
            raise UsageError(
                f"The network reads float N x 3 x {side} x {side} (0-255 minus the mean image); "
                f"got {str(x.dtype).removeprefix('torch.')} {' x '.join(map(str, x.shape))}.",
                remedy="Add a batch axis, or use alexnet.load(...).predict(image).",
            )
        x = x.contiguous(memory_format=torch.channels_last)
        return x if self._divisors is None else x / self._divisors.to(x.dtype)

    def _hold_divisors(self) -> None:
        """Keep what the colours are divided by where the weights are: a recorded step copies nothing."""
        divisors = self.convention.divisors
        held = None if divisors == (1.0, 1.0, 1.0) else torch.tensor(divisors)[:, None, None]
        self.register_buffer("_divisors", held, persistent=False)


class _Parameters(nn.Module):
    """A layer's weights and biases, their values not yet set."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(shape.weight_shape))
        self.bias = nn.Parameter(torch.empty(shape.kernels))


def named(layer: Layer) -> Iterator[tuple[str, str]]:
    """The names of a layer's activations, each with what makes it of the one before.

    The layer's own name is for its output after the nonlinearity, wherever that stands; the last
    layer's for its logits.
    """
    number = layer.name.lstrip("abcdefghijklmnopqrstuvwxyz")
    if layer.followed_by == ("softmax",):
        yield layer.name, ""
        return
    yield f"{layer.name}.pre", ""
    for follower in layer.followed_by:
        match follower:
            case "relu" | "tanh":
                yield layer.name, follower
            case "norm":
                yield f"norm{number}", follower
            case "norm within":
                both = "norm" in layer.followed_by
                yield f"norm{number}.within" if both else f"norm{number}", follower
            case "pool" | "average pool":
                yield f"pool{number}", follower


def as_batch(x_NHWC: np.ndarray) -> Tensor:
    """A channels-last array of images as the tensor the network reads, without copying."""
    return torch.from_numpy(x_NHWC).permute(0, 3, 1, 2)
