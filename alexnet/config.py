"""The complete description of a training run: frozen dataclasses whose defaults are the paper's.

Quantities carry their units; a value out of range is refused by the name of its key. How a
configuration is read, written, set and compared is in `alexnet.settings`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from alexnet import paper
from alexnet.conventions import CONVENTIONS, Convention, Nonlinearity, convention
from alexnet.errors import UsageError


@dataclass(frozen=True, order=True)
class Epochs:
    """A length in passes over the training set; fractions are allowed."""

    count: float
    unit: ClassVar[str] = "epochs"

    def __str__(self) -> str:
        return _with_unit(self.count, self.unit)


@dataclass(frozen=True, order=True)
class Steps:
    """A length in weight updates."""

    count: int
    unit: ClassVar[str] = "steps"

    def __str__(self) -> str:
        return _with_unit(self.count, self.unit)


@dataclass(frozen=True, order=True)
class Images:
    """A number of pictures."""

    count: int
    unit: ClassVar[str] = "images"

    def __str__(self) -> str:
        return _with_unit(self.count, self.unit)


@dataclass(frozen=True)
class StartConfig:
    """The first weights and biases (section 5).

    `gaussian` has the deviation that the network's table gives a layer, `he` that of sqrt(2 / inputs of
    a kernel); `gain` and `bias` are factors on it, and on the table's biases.
    """

    rule: Literal["gaussian", "he"] = "gaussian"
    gain: float = 1.0
    bias: float = 1.0

    def __post_init__(self) -> None:
        _within("network.start.gain", self.gain, above=0)


@dataclass(frozen=True)
class NetworkConfig:
    """Which network, one of `alexnet.conventions`, and how it starts."""

    convention: str = "paper"
    nonlinearity: Nonlinearity = "relu"
    start: StartConfig = field(default_factory=StartConfig)

    def __post_init__(self) -> None:
        if self.convention not in CONVENTIONS:
            known = f"one of {', '.join(CONVENTIONS)}"
            raise wrong_value("network.convention", self.convention, known)

    def of(self, classes: int) -> Convention:
        """The network for so many classes."""
        return convention(self.convention, classes, self.nonlinearity)


@dataclass(frozen=True)
class AugmentationConfig:
    """What is drawn anew for each picture each time it is used (section 4.1)."""

    reflections: bool = True
    colour: float = paper.COLOUR_DEVIATION  # standard deviation of alpha; 0 turns colour off

    def __post_init__(self) -> None:
        _within("augmentation.colour", self.colour, least=0)


@dataclass(frozen=True)
class LoadingConfig:
    """In which order an epoch takes its pictures.

    `full` takes them in any order. `blocks` is for sets larger than memory: it reads runs of
    neighbouring pictures in random order and mixes many of them at a time.
    """

    shuffle: Literal["full", "blocks"] = "full"


@dataclass(frozen=True)
class OptimizerConfig:
    """The update rule (section 5)."""

    batch: Images = Images(paper.BATCH)
    learning_rate: float = paper.LEARNING_RATE
    momentum: float = paper.MOMENTUM
    weight_decay: float = paper.WEIGHT_DECAY  # on weights, not on biases

    def __post_init__(self) -> None:
        _within("optimizer.batch", self.batch.count, least=1)
        _within("optimizer.learning_rate", self.learning_rate, above=0)
        _within("optimizer.momentum", self.momentum, least=0, below=1)
        _within("optimizer.weight_decay", self.weight_decay, least=0)


@dataclass(frozen=True)
class Plateau:
    """The paper's: divide the rate when the validation error stops improving (section 5)."""

    kind: ClassVar[str] = "plateau"
    factor: float = paper.RATE_DIVISOR
    patience: Epochs = Epochs(5)  # without a lower validation error; the paper names no number
    drops: int = paper.RATE_DROPS

    def __post_init__(self) -> None:
        _within("schedule.factor", self.factor, above=1)
        _within("schedule.patience", self.patience.count, above=0)
        _within("schedule.drops", self.drops, least=0)


@dataclass(frozen=True)
class Anneal:
    """A rate that rises in a straight line during the warm-up and then falls to zero at the end."""

    kind: ClassVar[str] = "anneal"
    warmup: Epochs = Epochs(1)

    def __post_init__(self) -> None:
        _within("schedule.warmup", self.warmup.count, least=0)


Schedule = Plateau | Anneal


@dataclass(frozen=True)
class CheckpointConfig:
    """How often the complete state is written, and how many of them stay."""

    every: Steps = Steps(1000)
    keep: int = 3

    def __post_init__(self) -> None:
        _within("checkpoint.every", self.every.count, least=1)
        _within("checkpoint.keep", self.keep, least=2)


@dataclass(frozen=True)
class RunConfig:
    """One training run, complete. `RunConfig()` is the paper's."""

    recipe: str = "paper"
    seed: int = 0
    network: NetworkConfig = field(default_factory=NetworkConfig)
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    loading: LoadingConfig = field(default_factory=LoadingConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    schedule: Schedule = field(default_factory=Plateau)
    length: Epochs = Epochs(paper.EPOCHS)
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)

    def __post_init__(self) -> None:
        _within("seed", self.seed, least=0, most=2**64 - 1)
        _within("length", self.length.count, above=0)
        if isinstance(self.schedule, Anneal):
            _within("schedule.warmup", self.schedule.warmup.count, below=self.length.count)


# Keys on whose value the paper is silent: their default is ours.
OUR_DEFAULTS = frozenset(
    {"seed", "loading.shuffle", "schedule.patience", "checkpoint.every", "checkpoint.keep"}
)


def wrong_value(key: str, value: object, expected: str, where: object = "") -> UsageError:
    """The error for a value that does not fit its key."""
    return UsageError(f"{key} is {value!r}, expected {expected}.", where=where)


def _within(
    key: str,
    value: float,
    *,
    least: float = -math.inf,
    above: float = -math.inf,
    most: float = math.inf,
    below: float = math.inf,
) -> None:
    if least <= value <= most and above < value < below:
        return
    limits = {"at least": least, "above": above, "at most": most, "below": below}
    expected = " and ".join(
        f"{how} {limit:g}" for how, limit in limits.items() if math.isfinite(limit)
    )
    raise wrong_value(key, value, expected)


def _with_unit(count: float, unit: str) -> str:
    return f"{repr(count).removesuffix('.0')} {unit[:-1] if count == 1 else unit}"
