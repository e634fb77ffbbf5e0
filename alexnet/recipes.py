"""Recipes: functions that return one complete configuration, and why it departs from the paper."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from alexnet import paper as values
from alexnet.base.errors import UsageError, did_you_mean
from alexnet.config import (
    Anneal,
    AugmentationConfig,
    CheckpointConfig,
    Epochs,
    Images,
    Milestones,
    NetworkConfig,
    OptimizerConfig,
    Plateau,
    RunConfig,
    StartConfig,
    Steps,
)


@dataclass(frozen=True)
class Recipe:
    """A configuration, why each key that differs from the paper's does so, and what to expect."""

    config: RunConfig
    departures: Mapping[str, str]  # dotted key -> reason
    expected: str

    @property
    def name(self) -> str:
        return self.config.recipe


def paper() -> Recipe:
    """The paper: sections 3 to 5, ninety epochs, the rate divided by ten when validation stalls."""
    return Recipe(
        config=RunConfig(recipe="paper"),
        departures={},
        expected="ILSVRC-2012 validation, ten views: 40.7 % top-1 and 18.2 % top-5 error (table 2)",
    )


def one_column() -> Recipe:
    """The net for one GPU of section 3.2: half the kernels of conv1 to conv4, in one column."""
    return Recipe(
        config=RunConfig(recipe="one_column", network=NetworkConfig(convention="one_column")),
        departures={"network.convention": "what the two columns are compared with in section 3.2"},
        expected="ILSVRC-2010: 1.7 and 1.2 points above the paper's 37.5 % top-1 and 17.0 % top-5 error",
    )


def no_links() -> Recipe:
    """Two columns that meet in the fully connected layers only: conv3 sees its own (section 3.2)."""
    return Recipe(
        config=RunConfig(recipe="no_links", network=NetworkConfig(convention="no_links")),
        departures={"network.convention": "what the exchange before conv3 is worth"},
        expected="ILSVRC-2012 validation: 41.8 % top-1 and 19.3 % top-5 error in a log of the original "
        "program, against 40.7 and 18.2",
    )


def original2012() -> Recipe:
    """The original program: its network, its start, its crops and colours, its rates epoch by epoch."""
    return Recipe(
        config=RunConfig(
            recipe="original2012",
            network=NetworkConfig(convention="original2012"),
            augmentation=AugmentationConfig(
                crops="shared",
                colour_until=Epochs(values.PROGRAM_CONV1_SLOWED),
                colour_divisor=values.PROGRAM_COLOUR_DIVISOR,
            ),
            optimizer=OptimizerConfig(
                bias_rate=values.PROGRAM_BIAS_RATE,
                rates=f"conv1: 0.1 from {values.PROGRAM_CONV1_SLOWED}, "
                f"conv1: 0 from {values.PROGRAM_CONV1_FROZEN}",
            ),
            schedule=Milestones(),
            length=Epochs(values.PROGRAM_EPOCHS),
        ),
        departures={
            "network.convention": "another order in the first two layers, alpha divided by n, a second "
            "normalization, wider weights in conv3 to conv5",
            "augmentation.crops": "one crop for 32 images, of 33 x 33 positions",
            "augmentation.colour_until": "its last epochs had none",
            "augmentation.colour_divisor": "keeps the scale that the noise widens",
            "optimizer.bias_rate": "twice that of the weights",
            "optimizer.rates": "conv1 was slowed, then frozen; how much slower is not known",
            "schedule.kind": "by hand",
            "schedule.epochs": "as its log tells",
            "length": "as its log tells",
        },
        expected="ILSVRC-2012 validation, ten views: 40.7 % top-1 and 18.2 % top-5 error in its log",
    )


def _caffe(name: str, order: str, expected: str) -> Recipe:
    """What Caffe's two model definitions have in common."""
    return Recipe(
        config=RunConfig(
            recipe=name,
            network=NetworkConfig(convention=name),
            augmentation=AugmentationConfig(colour=0.0),
            optimizer=OptimizerConfig(batch=Images(256), bias_rate=2.0),
            schedule=Milestones(epochs="20, 40, 60, 80"),
        ),
        departures={
            "network.convention": f"227 pixels, normalization over all maps, {order}",
            "augmentation.colour": "Caffe's networks were trained without",
            "optimizer.batch": "twice the paper's",
            "optimizer.bias_rate": "twice that of the weights",
            "schedule.kind": "planned",
            "schedule.epochs": "every 100,000 of 450,000 steps of 256 images",
        },
        expected=expected,
    )


def caffe() -> Recipe:
    """Caffe's bvlc_alexnet."""
    return _caffe(
        "caffe",
        "biases of 0.1",
        "ILSVRC-2012 validation, centre view: 42.9 % top-1 and 19.8 % top-5 error (Caffe's readme)",
    )


def caffenet() -> Recipe:
    """Caffe's bvlc_reference_caffenet: pooling before normalization."""
    return _caffe(
        "caffenet",
        "which follows pooling",
        "ILSVRC-2012 validation, centre view: 42.6 % top-1 and 19.6 % top-5 error (Caffe's readme)",
    )


def onetower() -> Recipe:
    """One weird trick (2014), which torchvision calls alexnet: no columns, no normalization."""
    return Recipe(
        config=RunConfig(
            recipe="onetower",
            network=NetworkConfig(convention="onetower", start=StartConfig(rule="he", gain=0.41)),
            augmentation=AugmentationConfig(colour=0.0),
            optimizer=OptimizerConfig(weight_decay=1e-4),
            schedule=Milestones(epochs="30, 60"),
        ),
        departures={
            "network.convention": "one tower of 64, 192, 384, 256 and 256 kernels",
            "network.start.rule": "PyTorch's start has a standard deviation of sqrt(1 / 3 inputs)",
            "network.start.gain": "that standard deviation, from sqrt(2 / inputs)",
            "augmentation.colour": "torchvision's was trained without",
            "optimizer.weight_decay": "torchvision's",
            "schedule.kind": "planned",
            "schedule.epochs": "torchvision's: every 30",
        },
        expected="ILSVRC-2012 validation, centre view: 43.5 % top-1 and 20.9 % top-5 error for "
        "torchvision's weights, whose crops are of random sizes",
    )


def alexnet6() -> Recipe:
    """A sixth convolutional layer over the last pooling layer, for sets of ten thousand classes."""
    return Recipe(
        config=RunConfig(recipe="alexnet6", network=NetworkConfig(convention="alexnet6")),
        departures={"network.convention": "section 6: for the Fall 2009 and 2011 releases"},
        expected="ImageNet Fall 2009, half of it for testing: 67.4 % top-1 and 40.9 % top-5 error",
    )


def pretrain() -> Recipe:
    """Section 6's first half: the network with six convolutional layers on the Fall 2011 release.

    `finetune` with `--init` goes on from here.
    """
    return Recipe(
        config=RunConfig(recipe="pretrain", network=NetworkConfig(convention="alexnet6")),
        departures={"network.convention": "a sixth layer for 22,000 classes"},
        expected="what `finetune` needs: the paper prints no error for the Fall 2011 release",
    )


def finetune() -> Recipe:
    """Section 6's second half: a fresh output layer at the full rate, convolutions at a tenth of it.

    Start it with `--init MODEL`. Layers that MODEL has not, as conv6 where it has five, start anew.
    """
    return Recipe(
        config=RunConfig(
            recipe="finetune",
            network=NetworkConfig(convention="alexnet6"),
            optimizer=OptimizerConfig(rates="conv1-conv6: 0.1"),
        ),
        departures={
            "network.convention": "as it was pre-trained",
            "optimizer.rates": "as in the original program: 0.001 for convolutions beside 0.01",
        },
        expected="ILSVRC-2012 validation, pre-trained on Fall 2011: 39.0 % top-1, 16.6 % top-5 error "
        "(table 2, 1 CNN*)",
    )


def _cifar(name: str, decays: str, expected: str, views: bool = True) -> Recipe:
    """What cuda-convnet's nets for CIFAR-10 have in common (section 3.3)."""
    reflections = {} if views else {"augmentation.reflections": "its images were used as they are"}
    drops = "500, 510" if views else "120, 130"
    return Recipe(
        config=RunConfig(
            recipe=name,
            network=NetworkConfig(convention=name),
            augmentation=AugmentationConfig(reflections=views, colour=0.0),
            optimizer=OptimizerConfig(
                learning_rate=0.001, weight_decay=0.004, bias_rate=2.0, decays=decays
            ),
            schedule=Milestones(epochs=drops),
            length=Epochs(520 if views else 140),
        ),
        departures={
            "network.convention": "the net that section 3.3 points to",
            "augmentation.colour": "its layer files know none",
            **reflections,
            "optimizer.learning_rate": "its own",
            "optimizer.weight_decay": "its own",
            "optimizer.bias_rate": "its own: 0.002 beside 0.001",
            "optimizer.decays": "its own, layer by layer",
            "schedule.kind": "by hand, when the error no longer fell",
            "schedule.epochs": "ten at each lower rate",
            "length": "as its own: with the fifth batch from the start, not folded in later",
        },
        expected=expected,
    )


def cifar13() -> Recipe:
    """CIFAR-10, two convolutional and two locally connected layers, without normalization."""
    return _cifar("cifar13", "conv1-conv2: 0", "CIFAR-10 test, ten views: 13 % error")


def cifar11() -> Recipe:
    """The same with normalization and more maps."""
    decays = "conv1-conv2: 0, fc5: 2.5"
    return _cifar("cifar11", decays, "CIFAR-10 test, ten views: 11 % error")


def cifar18() -> Recipe:
    """CIFAR-10, three convolutional layers, normalization within each map, no crops."""
    return _cifar("cifar18", "fc4: 250", "CIFAR-10 test: 18 % error", views=False)


def _figure1(
    name: str, variant: str, gain: float, rate: float, departures: Mapping[str, str]
) -> Recipe:
    """A four-layer net on CIFAR-10 without regularization (figure 1); `departures` are the line's own."""
    return Recipe(
        config=RunConfig(
            recipe=name,
            network=NetworkConfig(
                convention="cifar18",
                variant=variant,
                start=StartConfig(rule="he", gain=gain),
            ),
            augmentation=AugmentationConfig(reflections=False, colour=0.0),
            optimizer=OptimizerConfig(learning_rate=rate, weight_decay=0.0),
            schedule=Plateau(drops=0),
            length=Epochs(40),
            until_error=values.RELU_TARGET / 100,
        ),
        departures={
            "network.convention": "figure 1 has a four-layer net and does not say which",
            "network.start.rule": "the first steps teach every layer, whatever the nonlinearity",
            "network.start.gain": "pixels have a standard deviation near 64",
            **departures,
            "augmentation.reflections": "figure 1 has no regularization",
            "augmentation.colour": "figure 1 has no regularization",
            "optimizer.weight_decay": "figure 1 has no regularization",
            "schedule.drops": "one rate throughout",
            "length": "no line of figure 1 is longer",
            "until_error": "what the lines of figure 1 are compared at",
        },
        expected="CIFAR-10: 25 % training error; ReLU gets there in a sixth of the epochs of tanh",
    )


def figure1_relu() -> Recipe:
    """Figure 1, the solid line: a four-layer net on CIFAR-10 with ReLU.

    The paper chooses each line's rate so that it is as fast as can be. Here ReLU learns steadily at a
    fifth of tanh's: with more, the first steps may turn units off for good (docs/log.md).
    """
    return _figure1(
        "figure1_relu", "", 0.2, 0.002, {"optimizer.learning_rate": "one for each line"}
    )


def figure1_tanh() -> Recipe:
    """Figure 1, the dashed line: the same net with tanh."""
    return _figure1("figure1_tanh", "tanh", 0.35, 0.01, {"network.variant": "what is compared"})


def small() -> Recipe:
    """The same network and augmentation for thousands of images rather than a million.

    With the paper's start the logits are the same for every image to begin with, and training needs
    thousands of steps to leave ln(classes): a million images have them, a few thousand do not.
    """
    return Recipe(
        config=RunConfig(
            recipe="small",
            network=NetworkConfig(start=StartConfig(rule="he", gain=0.6, bias=0.0)),
            optimizer=OptimizerConfig(batch=Images(64)),
            schedule=Anneal(warmup=Epochs(1)),
            length=Epochs(13),
            checkpoint=CheckpointConfig(every=Steps(250)),
        ),
        departures={
            "network.start.rule": "keeps the signal alive through all eight layers, so that the first "
            "steps already teach every layer",
            "network.start.gain": "pixels have a standard deviation near 64, logits should have one near "
            "1: each of the eight layers takes the same part of the way, so that none learns too fast",
            "network.start.bias": "ones keep units active where weights are too small to; with these "
            "weights they would only drown the differences between images",
            "optimizer.batch": "more updates from the same number of images",
            "schedule.kind": "a plateau needs many epochs to be seen; a planned fall uses every step",
            "schedule.warmup": "at the full rate the first steps would undo the start",
            "length": "half an hour on two cores for ten thousand images",
            "checkpoint.every": "an epoch has some hundred steps only",
        },
        expected="imagenette: see results/imagenette-small/",
    )


def quickstart() -> Recipe:
    """`small`, shortened for the built-in photographs and a few minutes on two cores."""
    parent = small()
    return Recipe(
        config=replace(
            parent.config,
            recipe="quickstart",
            optimizer=replace(parent.config.optimizer, batch=Images(32)),
            schedule=Anneal(warmup=Epochs(0.3)),
            length=Epochs(4),
        ),
        departures={
            **parent.departures,
            "optimizer.batch": "a few minutes leave time for a few hundred updates only",
            "length": "a few minutes on two cores",
        },
        expected="builtin:photos, ten views: 25 % top-1 error or less (chance is 95 %)",
    )


RECIPES: Mapping[str, Callable[[], Recipe]] = {
    recipe.__name__: recipe
    for recipe in (
        *(paper, original2012, caffe, caffenet, onetower, alexnet6, pretrain, finetune),
        *(
            one_column,
            no_links,
            cifar13,
            cifar11,
            cifar18,
            figure1_relu,
            figure1_tanh,
            small,
            quickstart,
        ),
    )
}


PAPER_FROM = 100_000  # training images


def recipe_for(images: int) -> Recipe:
    """The recipe for so many training images where none is named: `paper`, or `small` for fewer than
    a hundred thousand.
    """
    return paper() if images >= PAPER_FROM else small()


def recipe(name: str) -> Recipe:
    """The recipe called `name`; raises UsageError with the nearest known name."""
    if name not in RECIPES:
        raise UsageError(f"There is no recipe {name!r}.", remedy=did_you_mean(name, RECIPES))
    return RECIPES[name]()
