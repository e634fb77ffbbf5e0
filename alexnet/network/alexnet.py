"""The network of sections 3.5 and 4.2, and every other of `alexnet.conventions`, built from its table.

Shape letters: N images, C maps, H x W positions, U units of a fully connected layer, K classes.
Images come in as float N x 3 x 224 x 224, on the 0-255 scale minus the mean image, channels-last
in memory; they stay channels-last to the end of the convolutions.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from alexnet import conventions, paper
from alexnet.base.errors import UsageError, did_you_mean
from alexnet.config import StartConfig
from alexnet.conventions import PAPER, Convention
from alexnet.network import fused
from alexnet.network.conv import ColourScale, conv2d
from alexnet.network.dropout import Dropout
from alexnet.network.initialization import initialize, unset
from alexnet.network.local import LocallyConnected2d
from alexnet.network.lrn import LocalResponseNorm, LocalResponseNormWithin
from alexnet.network.table import Shape, Stage, is_connected, is_local, shapes, stages
from alexnet.paper import Layer

if TYPE_CHECKING:
    from alexnet.models.card import ModelCard


class AlexNet(nn.Module):
    """The eight-layer, two-column network, or that of another convention, with so many classes.

    It has one child module for every operation, in order of computation: `conv1 relu1 norm1 pool1 ...
    fc8`. Weights start as `start` says (the convention's Gaussian by default), drawn from `seed`. As any
    module it begins in training mode, in which it drops units; `eval()` makes it the test network.

    `fast` is the switch of the fused operators (`fused`), which compute the same to rounding.
    """

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
        self._build(convention.with_classes(classes))
        built = ((shape, *self.weight_and_bias(shape.layer.name)) for shape in self.shapes)
        initialize(built, start or StartConfig(), seed)

    @classmethod
    def without_weights(cls, convention: Convention) -> AlexNet:
        """A network whose weights are about to be read from somewhere: they are not set."""
        network = cls.__new__(cls)
        nn.Module.__init__(network)
        network._build(convention)
        return network

    def _build(self, convention: Convention) -> None:
        self._convention, self.stages, self.fast = convention, stages(convention), True
        if convention.divisors != (1.0, 1.0, 1.0):
            self.scale = ColourScale(convention.divisors)
        for lane, (stage, shape) in enumerate(zip(self.stages, shapes(convention), strict=True)):
            self.add_module(shape.layer.name, _sums(shape))
            for name, follower in zip(stage.names[1:], stage.followers, strict=True):
                self.add_module(name, _follower(follower, convention, lane))
        children = self.named_children()
        self.as_built: Mapping[str, object] = {name: fused.constants(one) for name, one in children}

    def forward(self, x: Tensor) -> Tensor:
        """Logits, N x K, of images N x 3 x 224 x 224."""
        x = self.entered(x)
        if fused.applies(self, x):
            return self.run(self.stages, x)
        for stage in self.stages:
            if is_connected(stage.layer):
                x = x.flatten(1)
            for name in stage.names:
                x = self.get_submodule(name)(x)
        return x

    def run(self, stages: Sequence[Stage], x: Tensor) -> Tensor:
        """What some of the stages make of the output of those before, by the fused operators."""
        for stage in stages:
            x = fused.run(self, stage, x)
        return x

    def entered(self, x_NCHW: Tensor) -> Tensor:
        """Images as conv1 reads them: in the memory layout of the hot path, their colours scaled.

        Raises UsageError for anything but images of the network's size.
        """
        x = x_NCHW
        if not fused.is_traced(x):
            _require_images(x, self._convention.crop)
            x = x.contiguous(memory_format=torch.channels_last)
        return self.scale(x) if "scale" in self._modules else x

    def activations(self, x_NCHW: Tensor, names: Collection[str]) -> dict[str, Tensor]:
        """The named activations of the test network, N x C x H x W or N x U: `conv1` is after its
        ReLU, `conv1.pre` before, `norm1` and `pool1` follow; `fc7` is before dropout's factor; `fc8` are
        the logits.

        Raises UsageError with the nearest name where there is no such activation.
        """
        for name in names:
            if name not in self.activation_names:
                raise UsageError(
                    f"There is no activation {name!r}.",
                    remedy=did_you_mean(name, self.activation_names),
                )
        found: dict[str, Tensor] = {}
        with evaluating(self):
            x = self.entered(x_NCHW)
            fast = fused.applies(self, x)
            for stage in self.stages:
                if found.keys() >= set(names):
                    break
                x = self._record(stage, x, names, found, fast)
        return {name: found[name] for name in names}

    def _record(
        self, stage: Stage, x: Tensor, names: Collection[str], found: dict[str, Tensor], fast: bool
    ) -> Tensor:
        """The output of a stage; adds those of its activations that are named to `found`."""
        *inside, last = stage.activations
        if fast and not set(inside) & set(names):
            x = fused.run(self, stage.without_dropout, x)
            if last in names:
                found[last] = x
            return self.get_submodule(stage.names[-1])(x) if stage.drops else x
        x = x.flatten(1) if is_connected(stage.layer) else x
        activations = {module: name for name, module in stage.activations.items()}
        for module in stage.names:
            x = self.get_submodule(module)(x)
            if activations.get(module) in names:
                found[activations[module]] = x
        return x

    @property
    def convention(self) -> Convention:
        """What the network is: its table of layers and its constants, with its number of classes."""
        about, classes = self._convention, self.classes
        return about if about.output.kernels == classes else about.with_classes(classes)

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
        """Neurons of the output layer, also of another that has been put in its place.

        Of one that has no matrix of weights, the number that the network was built with.
        """
        output = self._convention.output
        weight = getattr(self._modules.get(output.name), "weight", None)
        if isinstance(weight, Tensor) and weight.ndim == 2:
            return weight.shape[0]
        return output.kernels

    @property
    def activation_names(self) -> list[str]:
        """Every name that `activations` knows, in the order in which they are computed."""
        return [name for stage in self.stages for name in stage.activations]

    def weight_and_bias(self, layer: str) -> tuple[nn.Parameter, nn.Parameter]:
        """The parameters of one layer: kernels first, then one bias for each."""
        module = self.get_submodule(layer)
        return module.weight, module.bias  # type: ignore[return-value]

    @classmethod
    def from_pretrained(cls, folder: str | Path) -> AlexNet:
        """The test network of a model folder; raises UsageError for names of networks elsewhere."""
        from alexnet.models.folder import load_pretrained

        return load_pretrained(folder)[0]

    def save_pretrained(self, folder: str | Path, card: ModelCard, force: bool = False) -> None:
        """Write a model folder, which Hugging Face's tools understand too.

        Raises UsageError where there is one already, unless it is to be replaced (`force`).
        """
        from alexnet.models.folder import save_pretrained

        save_pretrained(Path(folder), self, card, force)


def _require_images(x: Tensor, side: int) -> None:
    """Raise UsageError unless x is a batch of images as the network reads them."""
    if x.ndim != 4 or x.shape[1:] != (paper.CHANNELS, side, side) or not x.is_floating_point():
        raise UsageError(
            f"The network reads float N x 3 x {side} x {side} (0-255 minus the mean image); "
            f"got {str(x.dtype).removeprefix('torch.')} {' x '.join(map(str, x.shape))}.",
            remedy="Add a batch axis, or use alexnet.load(...).predict(image).",
        )


def _sums(shape: Shape) -> nn.Module:
    """The module with a layer's weights and biases, their values not yet set."""
    layer = shape.layer
    if is_connected(layer):
        return unset(nn.Linear, shape.inputs_seen, layer.kernels)
    if is_local(layer):
        return LocallyConnected2d(shape)
    return conv2d(shape.inputs[0], layer, shape.groups)


def _follower(name: str, about: Convention, lane: int) -> nn.Module:
    """The module of what follows the sums of layer number `lane`."""
    size, stride = about.pool
    match name:
        case "relu":
            return nn.ReLU()
        case "tanh":
            return nn.Tanh()
        case "norm":
            return LocalResponseNorm(about.norm, about.norm_groups)
        case "norm within":
            return LocalResponseNormWithin(about.within)
        case "pool":
            return nn.MaxPool2d(size, stride, ceil_mode=about.overhang)
        case "average pool":
            return nn.AvgPool2d(size, stride, ceil_mode=about.overhang)
    return Dropout(lane, about.inverted_dropout)


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Inside, the network is the test network; afterwards every module is in the mode it was in."""
    training = [module for module in network.modules() if module.training]
    network.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


def as_batch(x_NHWC: np.ndarray) -> Tensor:
    """A channels-last array of images as the tensor the network reads, without copying."""
    return torch.from_numpy(x_NHWC).permute(0, 3, 1, 2)
