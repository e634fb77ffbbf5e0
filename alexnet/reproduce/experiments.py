"""The experiments: which arms are compared to test which claims, at three scales.

`full` is ImageNet and CIFAR-10 as in the paper. `small` is what two cores can train: the nets of
CIFAR-10, on a fifth of its images, for all that these nets have; the network itself, on the ten classes
of Imagenette, for columns, links, depth and kernels. `smoke` is the same with images made by arithmetic
and networks of a few kernels; it shows that everything runs, and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal, get_args

from alexnet import paper
from alexnet.base.errors import UsageError, did_you_mean
from alexnet.reproduce.arms import Arm, Data, by_name

Scale = Literal["smoke", "small", "full"]
SCALES: tuple[Scale, ...] = get_args(Scale)


@dataclass(frozen=True)
class Comparison:
    """The arms, with and without, whose difference tests a claim, by seed.

    `views` are how many each arm's errors are from. Where `without` is the same arm, views differ.
    """

    claim: str
    arm: str
    without: str
    views: tuple[int, int] = (paper.VIEWS, paper.VIEWS)
    about: str = ""  # where a claim is tested in several ways


@dataclass(frozen=True)
class Experiment:
    """Comparisons that are read together.

    `others` are arms that it shows beside them, of seed 0; `shows` are claims that its cells bear on
    without comparing anything.
    """

    name: str
    title: str
    about: str  # why these images and networks can decide it
    comparisons: tuple[Comparison, ...]
    seeds: int
    others: tuple[str, ...] = ()
    shows: tuple[str, ...] = ()

    @property
    def arms(self) -> tuple[str, ...]:
        """The names of all arms that it compares or shows, each once."""
        compared = [name for one in self.comparisons for name in (one.arm, one.without)]
        return tuple(dict.fromkeys((*compared, *self.others)))


@dataclass(frozen=True)
class Study:
    """All arms and experiments of one scale."""

    scale: Scale
    arms: Mapping[str, Arm]
    experiments: tuple[Experiment, ...]
    left_out: Mapping[str, str]  # claims without an experiment here, and why
    about: str  # what stands for what, and what is left out, in a sentence or two

    def experiment(self, name: str) -> Experiment:
        """The experiment called `name`; raises UsageError with the nearest known name."""
        for one in self.experiments:
            if one.name == name:
                return one
        raise UsageError(
            f"There is no experiment {name!r}.",
            remedy=did_you_mean(name, [one.name for one in self.experiments]),
        )


# Rates that figure 1's lines are tried with. The fastest of the `small` sweep draw the lines.
RATES = {"relu": (0.001, 0.002, 0.004), "tanh": (0.005, 0.01, 0.02)}
FASTEST = {
    "cifar18": {"relu": 0.002, "tanh": 0.01},
    "cifar13": {"relu": 0.002, "tanh": 0.01},
}
_NO_AUGMENTATION = (
    "augmentation.crops=centre",
    "augmentation.reflections=false",
    "augmentation.colour=0",
)
_WITHOUT_LAYERS = {
    "no-conv3": "no conv3",
    "no-conv4": "no conv4",
    "no-conv5": "no conv5",
    "no-conv3-conv4": "no conv3, no conv4",
    "no-fc7": "no fc7",
    "no-fc6-fc7": "no fc6, no fc7",
    "no-four": "no conv3, no conv4, no fc6, no fc7",
}


@dataclass(frozen=True)
class _Bases:
    """What a scale's arms vary: a net for small images, the network itself, and lines of figure 1."""

    cifar: Arm
    early: Arm  # the first epochs, from cuda-convnet's own weights
    net: Arm
    line: Arm  # figure 1's; its convention, nonlinearity and rate are set below
    sweep: Arm  # the same on fewer images, to choose the rates
    few: Data  # images of three classes, ...
    many: Data  # ... and all of the seven others
    often: tuple[str, ...]  # epochs for so few
    long: str  # twice the epochs of `cifar`
    seeds: tuple[int, int]  # of comparisons of small nets, and of the network


@cache
def study(scale: Scale) -> Study:
    """The arms and experiments of a scale."""
    bases = {"smoke": _smoke, "small": _small, "full": _full}[scale]()
    arms = by_name(_arms(bases))
    experiments = _experiments(bases)
    return Study(scale, arms, experiments, _left_out(scale), _ABOUT[scale])


def _arms(b: _Bases) -> list[Arm]:
    cifar, net = b.cifar, b.net
    half = cifar.data
    half = replace(half, train=half.train // 2, images=half.images // 2)
    few = replace(cifar, data=b.few, settings=(*cifar.settings, *b.often))
    return [
        cifar,
        cifar.varied("no-norm", "no norm"),
        cifar.varied("pool-2", "pool 2/2"),
        cifar.varied(
            "centre", settings=("augmentation.crops=centre", "augmentation.reflections=false")
        ),
        cifar.varied("centre-half", "width 0.5", _NO_AUGMENTATION[:2]),
        cifar.varied("colour", settings=(f"augmentation.colour={paper.COLOUR_DEVIATION}",)),
        cifar.varied("no-decay", settings=("optimizer.weight_decay=0",)),
        cifar.varied("tanh", "tanh"),
        cifar.varied("wide", "width 2"),
        cifar.varied("long", settings=(b.long,)),
        cifar.varied("fewer-images", settings=(b.long,), data=half),
        replace(cifar, name="cifar-five", of="cifar", members=5),
        b.early,
        b.early.varied("ones", "ones"),
        replace(cifar, name="seven-classes", data=b.many),
        replace(few, name="three-classes"),
        replace(few, name="three-classes-tuned", start="seven-classes"),
        net,
        net.varied("one-column", settings=("network.convention=one_column",)),
        net.varied("no-links", settings=("network.convention=no_links",)),
        net.varied("no-dropout", "no dropout"),
        net.varied("bare", "no dropout", _NO_AUGMENTATION),
        *(net.varied(name, variant) for name, variant in _WITHOUT_LAYERS.items()),
        *_lines(b),
    ]


def _line(base: Arm, net: str, kind: str, rate: float, name: str) -> Arm:
    """One line of figure 1: a net, a nonlinearity and a rate."""
    relu = kind == "relu"
    return replace(
        base,
        name=name,
        recipe=f"figure1_{kind}",
        variant=", ".join(filter(None, (base.variant, "" if relu else "tanh"))),
        settings=(
            *base.settings,
            f"network.convention={net}",
            f"optimizer.learning_rate={rate}",
        ),
    )


def _lines(b: _Bases) -> list[Arm]:
    found = []
    for net, fastest in FASTEST.items():
        for kind, rates in RATES.items():
            found.append(_line(b.line, net, kind, fastest[kind], f"line-{net}-{kind}"))
            found += [_line(b.sweep, net, kind, r, f"rate-{net}-{kind}-{r:g}") for r in rates]
    return found


def _experiments(b: _Bases) -> tuple[Experiment, ...]:
    small_seeds, net_seeds = b.seeds

    def against(claim: str, arm: str, without: str, about: str = "") -> Comparison:
        return Comparison(claim, arm, without, about=about)

    lines = tuple(f"line-{net}" for net in FASTEST)
    rates = tuple(arm.name for arm in _lines(b) if arm.name.startswith("rate-"))
    return (
        Experiment(
            "figure1",
            "ReLU against tanh until 25 % training error",
            "Both nets that figure 1 can mean: three convolutional layers (cifar18), and two with two "
            "locally connected ones (cifar13). Each line's rate is the fastest of those tried.",
            (
                against("relu-six-times", f"{lines[0]}-relu", f"{lines[0]}-tanh", "cifar18"),
                against("relu-six-times", f"{lines[1]}-relu", f"{lines[1]}-tanh", "cifar13"),
            ),
            seeds=small_seeds,
            others=rates,
        ),
        Experiment(
            "nonlinearity",
            "ReLU against tanh after the same number of epochs",
            "The whole net with normalization and augmentation, at the rate that suits ReLU.",
            (against("relu-error", "cifar", "cifar-tanh"),),
            small_seeds,
        ),
        Experiment(
            "normalization",
            "With response normalization, and without",
            "The net for which the paper states the effect on CIFAR-10; nothing else differs.",
            (
                against("response-normalization-cifar", "cifar", "cifar-no-norm"),
                against("response-normalization-generalizes", "cifar", "cifar-no-norm"),
            ),
            small_seeds,
        ),
        Experiment(
            "pooling",
            "Windows of three at a stride of two, against windows of two",
            "Maps have the same sizes either way.",
            (
                against("overlapping-pooling", "cifar", "cifar-pool-2"),
                against("overlapping-pooling-overfits-less", "cifar", "cifar-pool-2"),
            ),
            small_seeds,
        ),
        Experiment(
            "augmentation",
            "Crops and reflections, colour noise, and their time",
            "Few images, seen often: what augmentation is for.",
            (
                against("crops-and-reflections", "cifar", "cifar-centre"),
                against("size-needs-augmentation", "cifar-centre", "cifar-centre-half"),
                against("colour-noise", "cifar-colour", "cifar"),
                against("augmentation-time", "cifar", "cifar-centre"),
            ),
            small_seeds,
        ),
        Experiment(
            "views",
            "Ten views against one",
            "The same models, evaluated twice.",
            (
                Comparison("ten-views", "cifar", "cifar", (paper.VIEWS, 1), "small net"),
                Comparison("ten-views", "net", "net", (paper.VIEWS, 1), "the network"),
            ),
            small_seeds,
        ),
        Experiment(
            "learning",
            "Weight decay, and biases of one",
            "Biases matter where weights are small: the early epochs start as cuda-convnet does.",
            (
                against("weight-decay", "cifar", "cifar-no-decay"),
                against("biases-of-one", f"{b.early.name}-ones", b.early.name),
            ),
            small_seeds,
        ),
        Experiment(
            "size",
            "More images, larger networks, longer training",
            "Each doubles one of them.",
            (
                against("more-images", "cifar", "cifar-fewer-images"),
                against("larger-network", "cifar-wide", "cifar"),
                against("longer-training", "cifar-long", "cifar"),
            ),
            small_seeds,
        ),
        Experiment(
            "columns",
            "Two columns, one with half the kernels, and two without links",
            "The network itself: nothing smaller has its columns.",
            (
                against("two-columns", "net", "net-one-column"),
                against("links", "net", "net-no-links"),
            ),
            net_seeds,
        ),
        Experiment(
            "kernels",
            "What the first layer learns, and whether the columns specialize",
            "Measured on the kernels of every network trained for the columns.",
            (against("columns-specialize-by-connections", "net", "net-one-column"),),
            net_seeds,
            shows=("kernels-are-learned", "columns-specialize", "columns-specialize-in-every-run"),
        ),
        Experiment(
            "overfitting",
            "Dropout, and all measures against overfitting together",
            "The network itself has sixty million parameters for ten thousand images.",
            (
                against("dropout", "net", "net-no-dropout"),
                against("overfitting", "net", "net-bare"),
            ),
            net_seeds,
        ),
        Experiment(
            "depth",
            "Without some of its layers",
            "What a layer that is left out pooled or linked, its neighbours do, so that it alone is "
            "missing. conv2 cannot be left out so: two poolings would meet.",
            (
                against("every-convolution", "net", "net-no-conv5", "conv5"),
                against("middle-layers", "net", "net-no-conv3", "conv3"),
                against("middle-layers", "net", "net-no-conv4", "conv4"),
                against("without-conv3-and-conv4", "net", "net-no-conv3-conv4"),
                against("without-fc7", "net", "net-no-fc7"),
                against("without-fc6-and-fc7", "net", "net-no-fc6-fc7"),
                against("without-four-layers", "net", "net-no-four"),
            ),
            net_seeds,
        ),
        Experiment(
            "ensembles",
            "Five networks, and pre-training",
            "Seven classes stand for the large release, the three others with few images for ILSVRC; no "
            "sixth layer is added. An average of five is compared with one more network.",
            (
                against("five-networks", "cifar-five", "cifar"),
                against("pre-training", "three-classes-tuned", "three-classes"),
            ),
            small_seeds,
        ),
    )


def _smoke() -> _Bases:
    small, large = Data("synthetic:100x4", 94, 6, 4), Data("synthetic:48x4", 46, 2, 4)
    quick = ("length=1", "schedule.kind=anneal", "schedule.warmup=0.2", "optimizer.batch=16")
    start = ("network.start.rule=he", "network.start.gain=0.3")
    narrow = "width 0.125"
    cifar = Arm("cifar", "cifar11", replace(small, train=12, held_out=3), (*quick, *start), narrow)
    line = Arm("line", "figure1_relu", small, ("length=2", "optimizer.batch=16"), narrow)
    return _Bases(
        cifar=cifar,
        early=Arm("early", "cifar11", small, ("length=1", "optimizer.batch=16"), narrow),
        net=Arm("net", "small", large, quick, "width 0.05", keeps_kernels=True),
        line=line,
        sweep=replace(line, settings=("length=1", "optimizer.batch=16")),
        few=replace(small, train=6, kinds=2, classes=("class0", "class1")),
        many=replace(small, kinds=2, classes=("class2", "class3")),
        often=("length=2",),
        long="length=2",
        seeds=(2, 2),
    )


# CIFAR-10's classes as the publisher writes them.
_THREE = ("dog", "frog", "horse")
_SEVEN = ("airplane", "automobile", "bird", "cat", "deer", "ship", "truck")


# So that the kernels of conv1 are what was learned, not what they started with (docs/log.md).
_LEARNED_KERNELS = (
    "length=20",
    "optimizer.rates=conv1: 10, conv1: 1 from 8",
    "optimizer.decays=conv1: 5",
)


def _small() -> _Bases:
    anneal = ("schedule.kind=anneal", "schedule.warmup=1", "network.start.rule=he")
    fifth = Data("cifar10", 10_000, 10_000, train=1000, held_out=100)
    cifar = Arm(
        "cifar",
        "cifar11",
        fifth,
        ("length=20", *anneal, "network.start.gain=0.35", "optimizer.learning_rate=0.004"),
    )
    line = Arm("line", "figure1_relu", Data("cifar10", 50_000, 10_000), error=0.35)
    return _Bases(
        cifar=cifar,
        early=Arm("early", "cifar11", fifth, ("length=6",), error=0.7),
        net=Arm(
            *("net", "small", Data("imagenette", 9_469, 3_925), _LEARNED_KERNELS),
            keeps_kernels=True,
            error=0.22,
        ),
        line=line,
        sweep=replace(line, data=fifth),
        few=Data("cifar10", 300, 3_000, 3, _THREE, train=100),
        many=Data("cifar10", 35_000, 7_000, 7, _SEVEN),
        often=("length=100", "optimizer.batch=50"),
        long="length=40",
        seeds=(6, 3),
    )


def _full() -> _Bases:
    cifar10 = Data("cifar10", paper.CIFAR_10.train, paper.CIFAR_10.test)
    imagenet = Data(
        "imagenet", paper.ILSVRC_2012.train, paper.ILSVRC_2012.validation, paper.CLASSES
    )
    cifar = Arm("cifar", "cifar11", cifar10, error=0.11)
    line = Arm("line", "figure1_relu", cifar10)
    return _Bases(
        cifar=cifar,
        early=Arm("early", "cifar11", cifar10, ("length=6",), error=0.5),
        net=Arm("net", "paper", imagenet, keeps_kernels=True, error=0.407),
        line=line,
        sweep=line,
        few=Data("cifar10", 300, 3_000, 3, _THREE, train=100),
        many=Data("cifar10", 35_000, 7_000, 7, _SEVEN),
        often=("length=2000", "optimizer.batch=50"),
        long="length=1040",
        seeds=(6, 5),
    )


_ABOUT: Mapping[Scale, str] = {
    "smoke": "Images made by arithmetic and networks of a few kernels: this shows that everything runs, "
    "and says nothing about any claim.",
    "small": "CIFAR-10 (a fifth of it, where nothing else is said) and Imagenette stand for ImageNet: "
    "effects may have the paper's direction here, but not its numbers. Left out is what needs ImageNet "
    "itself, GPUs, or more than two cores can train.",
    "full": "The paper's own data and networks.",
}

_TIMES = "alexnet benchmark gpu measures it, on the GPUs that it asks for."
_IMAGENET = "It is a number of ImageNet, which no other images can confirm."
_ONLY_HARDWARE = {
    "too-large-for-one-gpu": _TIMES,
    "communication": _TIMES,
    "two-columns-time": _TIMES,
    "training-days": _TIMES,
}
_ONLY_FULL = {
    "order-of-importance": "Effects on different images and networks cannot be put in an order.",
    "relu-other-networks": "Both nets that figure 1 can mean are tried, no others.",
    "response-normalization": "Its numbers are ImageNet's; the effect is tested on CIFAR-10.",
    "relu-needs-no-normalization": "The networks here start from weights that suit them.",
    "dropout-averages": "It needs the predictions of many masks.",
    "dropout-iterations": "It needs training until the error no longer falls, twice over.",
    "another-half": "It needs a second half as large as the first.",
    **dict.fromkeys(("error-2010", "error-2012", "error-2009"), _IMAGENET),
    "validation-and-test": "A tenth of a point is less than ten thousand test images can tell.",
    "seven-networks": "It needs networks pre-trained on a larger set.",
}


def _left_out(scale: Scale) -> Mapping[str, str]:
    """Why a scale has no experiment for a claim."""
    if scale == "full":
        return {**dict.fromkeys(_ONLY_FULL, "It has no experiment yet."), **_ONLY_HARDWARE}
    return {**_ONLY_HARDWARE, **_ONLY_FULL}
