"""Every network that is called AlexNet, and the small nets of its time, as values of one kind.

A `Convention` is all that decides what a network computes: its table of layers, how responses are
normalized and pooled, what dropout scales, which images go in. `PAPER` has the numbers of
`alexnet.paper`; those of the others are here, each from its publisher: the original program
(computerhistory/AlexNet-Source-Code), Caffe's model definitions, torchvision, cuda-convnet.

`Normalization.alpha` multiplies the sum of squares itself, as the paper prints it. Caffe, PyTorch and
the original program divide theirs by n: `_divided` takes their number.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import reduce
from typing import Literal

from alexnet import paper
from alexnet.base.errors import UsageError, did_you_mean
from alexnet.paper import Follower, Layer, Normalization, Pooling

Nonlinearity = Literal["relu", "tanh"]


@dataclass(frozen=True)
class Convention:
    """One network: `layers` with the parameters of what follows them, and the images it reads."""

    name: str
    about: str
    layers: tuple[Layer, ...]
    variant: str = ""  # in which ways it is another than the one of its name: `varied`
    side: int = paper.SIDE  # pixels of a prepared image
    crop: int = paper.CROP  # pixels of what is cut from it: the network's input
    divisors: tuple[float, float, float] = (1.0, 1.0, 1.0)  # of red, green, blue less the mean
    norm: Normalization = paper.LRN  # "norm": over neighbouring maps
    norm_over: Literal["own column", "all maps"] = "own column"
    within: Normalization = paper.LRN  # "norm within": over n x n places of a map
    pool: Pooling = paper.POOL
    overhang: bool = False  # whether windows that reach over the edge are pooled too
    inverted_dropout: bool = (
        False  # what is kept in training is doubled, instead of halving in tests
    )

    @property
    def columns(self) -> int:
        """Into how many columns the maps fall: in one, every kernel sees all of them."""
        return paper.COLUMNS if any(layer.sees == "own column" for layer in self.layers) else 1

    @property
    def norm_groups(self) -> int:
        """How many groups of maps are normalized, each by itself."""
        return self.columns if self.norm_over == "own column" else 1

    @property
    def comes_apart(self) -> bool:
        """Whether the columns can be computed apart, meeting at layers that see both."""
        normalizes = any("norm" in layer.followed_by for layer in self.layers)
        return self.columns > 1 and not (normalizes and self.norm_groups == 1)

    @property
    def drops_out(self) -> bool:
        """Whether any layer has dropout."""
        return any("dropout" in layer.followed_by for layer in self.layers)

    @property
    def nonlinearity(self) -> Nonlinearity:
        """What every layer but the last applies to its sums."""
        return "tanh" if any("tanh" in layer.followed_by for layer in self.layers) else "relu"

    @property
    def output(self) -> Layer:
        """The layer with a neuron for each class."""
        return self.layers[-1]

    def with_classes(self, classes: int) -> Convention:
        """The same network with an output layer of `classes` neurons."""
        return self.with_kernels({self.output.name: classes})

    def with_kernels(self, kernels: Mapping[str, int]) -> Convention:
        """The same network with so many kernels, or neurons, in the layers named."""
        changes = {name: {"kernels": count} for name, count in kernels.items()}
        return replace(self, layers=_changed(self.layers, changes))

    def varied(self, variant: str) -> Convention:
        """The same network, changed as the parts of `variant` say, with commas between.

        "tanh" in place of every ReLU (section 3.1); "ones", the first biases of every layer between the
        first and the last (section 5); "no norm", "no dropout", or "no conv4", whose pooling
        and sight of both columns pass to its neighbours; "pool 2/2", windows and their stride (section
        3.4); "width 0.5", as many times the kernels in every layer but the last. Raises UsageError.
        """
        parts = [" ".join(part.split()) for part in variant.split(",")]
        return reduce(_changed_by, filter(None, parts), self)


def _changed_by(net: Convention, part: str) -> Convention:
    """The network with one change of a variant more."""
    word, _, rest = part.partition(" ")
    if part == "tanh":
        changed = _follow(net, lambda one: ("tanh",) if one == "relu" else (one,))
    elif part == "ones":
        changed = replace(
            net, layers=_changed(net.layers, {one.name: {"bias": 1} for one in net.layers[1:-1]})
        )
    elif word == "no" and rest in (
        kinds := {"norm": ("norm", "norm within"), "dropout": ("dropout",)}
    ):
        changed = _follow(net, lambda one: () if one in kinds[rest] else (one,))
    elif word == "no" and rest in _removable(net):
        changed = _without_layer(net, rest)
    elif match := re.fullmatch(r"pool ([1-4])/([1-3])", part):
        changed = replace(net, pool=Pooling(int(match[1]), int(match[2])))
    elif word == "width" and re.fullmatch(r"[0-9]*\.?[0-9]+", rest) and 0 < float(rest) <= 64:
        widths = {layer.name: _even(layer.kernels * float(rest)) for layer in net.layers[:-1]}
        changed = net.with_kernels(widths)
    else:
        removable = [f"no {name}" for name in ("norm", "dropout", *_removable(net))]
        raise UsageError(
            f"There is no variant {part!r} of {net.name}.",
            remedy=f"Known: tanh, ones, {', '.join(removable)}, pool 2/2, width 0.5",
        )
    return replace(changed, variant=f"{net.variant}, {part}" if net.variant else part)


def _follow(net: Convention, follower: Callable[[Follower], tuple[Follower, ...]]) -> Convention:
    """The network with other operations in place of each that follows a layer."""
    layers = (
        layer._replace(followed_by=tuple(new for one in layer.followed_by for new in follower(one)))
        for layer in net.layers
    )
    return replace(net, layers=tuple(layers))


def _removable(net: Convention) -> list[str]:
    """The layers that can be left out: not where two poolings would meet."""
    pools = {layer.name: any("pool" in one for one in layer.followed_by) for layer in net.layers}
    inner = zip(net.layers, net.layers[1:-1], strict=False)
    return [gone.name for before, gone in inner if not (pools[before.name] and pools[gone.name])]


def _without_layer(net: Convention, name: str) -> Convention:
    """The network without one of its layers, between the first and the last.

    The layer before takes over its pooling, so that sizes stay, and the next convolution its sight of
    both columns, so that it is the layer that is missing and not the exchange.
    """
    place = [layer.name for layer in net.layers].index(name)
    before, gone, after = net.layers[place - 1 : place + 2]
    pooling = tuple(one for one in gone.followed_by if "pool" in one)
    before = before._replace(followed_by=before.followed_by + pooling)
    if gone.sees == "both columns":
        after = after._replace(sees=gone.sees)
    return replace(net, layers=(*net.layers[: place - 1], before, after, *net.layers[place + 2 :]))


def _even(count: float) -> int:
    """A number of kernels that two columns can share."""
    return max(2, 2 * round(count / 2))


def convention(name: str, classes: int = paper.CLASSES, variant: str = "") -> Convention:
    """The convention called `name`, varied; raises UsageError with the nearest known name.

    `alexnet` is the paper's, and `alexnet.caffe` is `caffe`.
    """
    known = "paper" if name == "alexnet" else name.removeprefix("alexnet.")
    if known not in CONVENTIONS:
        raise UsageError(f"There is no network {name!r}.", remedy=did_you_mean(known, CONVENTIONS))
    return CONVENTIONS[known].varied(variant).with_classes(classes)


def told_by_file(
    name: object, variant: object, known: Mapping[str, Convention] | None = None
) -> Convention | None:
    """The convention that a file says it is of, or None where there is no such one."""
    choices = CONVENTIONS if known is None else known
    if not isinstance(name, str) or not isinstance(variant, str) or name not in choices:
        return None
    try:
        return choices[name].varied(variant)
    except UsageError:
        return None


def _divided(k: float, n: int, alpha: float, beta: float = 0.75) -> Normalization:
    """A normalization whose alpha is divided by the number of values in its window of n maps."""
    return Normalization(k, n, alpha / n, beta)


def _changed(
    layers: tuple[Layer, ...], changes: Mapping[str, Mapping[str, object]]
) -> tuple[Layer, ...]:
    """The layers with some columns of some rows changed."""
    return tuple(layer._replace(**changes.get(layer.name, {})) for layer in layers)  # type: ignore[arg-type]


# --- The paper's network, and those that it is compared with --------------------------------------

PAPER = Convention("paper", "Krizhevsky, Sutskever and Hinton (2012), as printed", paper.LAYERS)

# The one-GPU net of section 3.2: half the kernels, all of which every kernel sees. The last convolutional
# layer keeps its 256, and the fully connected ones their neurons (footnote 2).
ONE_COLUMN = replace(
    PAPER,
    name="one_column",
    about="section 3.2: half the kernels of conv1 to conv4 in one column",
    layers=tuple(
        layer._replace(
            kernels=layer.kernels // 2 if layer in paper.LAYERS[:4] else layer.kernels,
            sees="image" if layer.sees == "image" else "both columns",
        )
        for layer in paper.LAYERS
    ),
)
NO_LINKS = replace(
    PAPER,
    name="no_links",
    about="columns that meet in the fully connected layers only",
    layers=_changed(paper.LAYERS, {"conv3": {"sees": "own column"}}),
)

# Of section 6: over the pooled conv5 of both columns, as the original program has it.
_CONV6 = Layer("conv6", 256, 3, 1, (1, 1), "both columns", ("relu",), 1, 6)
ALEXNET6 = replace(
    PAPER,
    name="alexnet6",
    about="section 6: a sixth convolutional layer over the last pooling layer",
    layers=(*paper.LAYERS[:5], _CONV6, *paper.LAYERS[5:]),
)

_WIDE_START = {"deviation": paper.PROGRAM_DEVIATION_3X3}
ORIGINAL2012 = replace(
    PAPER,
    name="original2012",
    about="the original program, whose logs have the paper's error rates",
    norm=_divided(k=2.0, n=5, alpha=1e-4),
    within=Normalization(k=1.0, n=5, alpha=0.001 / 25, beta=0.75),
    layers=_changed(
        paper.LAYERS,
        {
            "conv1": {"followed_by": ("norm", "pool", "relu")},
            "conv2": {"followed_by": ("relu", "norm", "norm within", "pool")},
            "conv3": _WIDE_START,
            "conv4": _WIDE_START,
            "conv5": {"followed_by": ("pool", "relu"), **_WIDE_START},
        },
    ),
)

# --- Caffe's two ----------------------------------------------------------------------------------

_CAFFE_CROP = 227
_NARROW_START = {"deviation": 0.005}
_CAFFE_LAYERS = _changed(
    paper.LAYERS, {"conv1": {"padding": (0, 0)}, "fc6": _NARROW_START, "fc7": _NARROW_START}
)
_POOLED_FIRST = {"followed_by": ("relu", "pool", "norm")}
CAFFENET = replace(
    PAPER,
    name="caffenet",
    about="Caffe's bvlc_reference_caffenet: pooling before normalization",
    layers=_changed(_CAFFE_LAYERS, {"conv1": _POOLED_FIRST, "conv2": _POOLED_FIRST}),
    crop=_CAFFE_CROP,
    norm=_divided(k=1.0, n=5, alpha=1e-4),
    norm_over="all maps",
    inverted_dropout=True,
)
CAFFE = replace(
    CAFFENET,
    name="caffe",
    about="Caffe's bvlc_alexnet",
    layers=tuple(layer._replace(bias=0.1 if layer.bias else 0) for layer in _CAFFE_LAYERS),
)

# --- One weird trick (2014), which torchvision calls alexnet --------------------------------------

# fmt: off
_ONE_TOWER = (
    Layer("conv1",   64, 11, 4, (2, 2), "image",        ("relu", "pool"),            0, 55),
    Layer("conv2",  192,  5, 1, (2, 2), "both columns", ("relu", "pool"),            0, 27),
    Layer("conv3",  384,  3, 1, (1, 1), "both columns", ("relu",),                   0, 13),
    Layer("conv4",  256,  3, 1, (1, 1), "both columns", ("relu",),                   0, 13),
    Layer("conv5",  256,  3, 1, (1, 1), "both columns", ("relu", "pool", "dropout"), 0, 13),
    Layer("fc6",   4096,  1, 1, (0, 0), "both columns", ("relu", "dropout"),         0,  1),
    Layer("fc7",   4096,  1, 1, (0, 0), "both columns", ("relu",),                   0,  1),
    Layer("fc8",   1000,  1, 1, (0, 0), "both columns", ("softmax",),                0,  1),
)
# fmt: on
_TORCHVISION_DEVIATIONS = (0.229, 0.224, 0.225)  # of the three colours, on the scale 0-1
TORCHVISION_MEANS = (0.485, 0.456, 0.406)
ONETOWER = Convention(
    "onetower",
    "Krizhevsky (2014), one weird trick: torchvision's alexnet",
    _ONE_TOWER,
    divisors=tuple(paper.LARGEST_VALUE * one for one in _TORCHVISION_DEVIATIONS),  # type: ignore[arg-type]
    inverted_dropout=True,
)

# --- CIFAR-10: the nets of cuda-convnet, which the paper points to (section 3.3) ------------------

_CIFAR_CROP = 24


# fmt: off
_CIFAR_13 = (
    Layer("conv1",  64, 5, 1, (2, 2), "image",        ("relu", "pool"), 0, 24, 0.0001),
    Layer("conv2",  64, 5, 1, (2, 2), "both columns", ("relu", "pool"), 0, 12, 0.01),
    Layer("local3", 32, 3, 1, (1, 1), "both columns", ("relu",),        0,  6, 0.04),
    Layer("local4", 32, 3, 1, (1, 1), "both columns", ("relu",),        0,  6, 0.04),
    Layer("fc5",    10, 1, 1, (0, 0), "both columns", ("softmax",),     0,  1, 0.01),
)
_CIFAR_18 = (
    Layer("conv1", 32, 5, 1, (2, 2), "image",        ("relu", "pool", "norm within"), 0, 32, 0.0001),
    Layer("conv2", 32, 5, 1, (2, 2), "both columns", ("relu", "average pool", "norm within"), 0, 16),
    Layer("conv3", 64, 5, 1, (2, 2), "both columns", ("relu", "average pool"),        0,  8),
    Layer("fc4",   10, 1, 1, (0, 0), "both columns", ("softmax",),                    0,  1),
)
# fmt: on
CIFAR13 = Convention(
    "cifar13",
    "cuda-convnet's net with 13 % error on CIFAR-10",
    _CIFAR_13,
    side=paper.CIFAR_10_SIDE,
    crop=_CIFAR_CROP,
    overhang=True,
)
CIFAR11 = replace(
    CIFAR13,
    name="cifar11",
    about="cuda-convnet's net with 11 % error on CIFAR-10: with normalization",
    layers=_changed(
        _CIFAR_13,
        {
            "conv1": {"followed_by": ("relu", "pool", "norm")},
            "conv2": {"followed_by": ("relu", "norm", "pool")},
            "local3": {"kernels": 64},
        },
    ),
    norm=_divided(k=1.0, n=9, alpha=0.001),
)
CIFAR18 = replace(
    CIFAR13,
    name="cifar18",
    about="cuda-convnet's net with 18 % error on CIFAR-10, without crops",
    crop=paper.CIFAR_10_SIDE,
    within=Normalization(k=1.0, n=3, alpha=0.00005 / 9, beta=0.75),
    layers=_CIFAR_18,
)

CONVENTIONS: Mapping[str, Convention] = {
    one.name: one
    for one in (
        *(PAPER, ORIGINAL2012, CAFFE, CAFFENET, ONETOWER, ALEXNET6, ONE_COLUMN, NO_LINKS),
        *(CIFAR13, CIFAR11, CIFAR18),
    )
}
