"""The complete description of a training run: frozen dataclasses whose defaults are the paper's.

Quantities carry their units; a value out of range is refused by the name of its key. The text beneath
each field is its documentation, which `--print-config` shows. How a configuration is read, written, set
and compared is in `alexnet.settings`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import ClassVar, Literal, NamedTuple

from alexnet import paper
from alexnet.base.errors import UsageError, did_you_mean
from alexnet.conventions import CONVENTIONS, Convention, convention


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
    """A number of images."""

    count: int
    unit: ClassVar[str] = "images"

    def __str__(self) -> str:
        return _with_unit(self.count, self.unit)


_LAYERS = r"(\w+)(?:-(\w+))?"
_NUMBER = r"\d*\.?\d+(?:e-?\d+)?"


def _parts(key: str, text: str, pattern: str, expected: str) -> Iterator[tuple[str, ...]]:
    """What `pattern` finds in each part between commas; raises UsageError where it does not fit."""
    for part in filter(None, map(str.strip, text.split(","))):
        match = re.fullmatch(pattern, part)
        if match is None:
            raise wrong_value(key, part, expected)
        yield match.groups()


class Factor(NamedTuple):
    """A factor for the layers `first` to `last`, from an epoch on."""

    first: str
    last: str
    factor: float
    start: float  # epochs

    @classmethod
    @cache
    def parse(cls, key: str, text: str) -> tuple[Factor, ...]:
        """Those of a setting: "conv1-conv5: 0.1, conv1: 0 from 72"; raises UsageError."""
        pattern = rf"{_LAYERS}: *({_NUMBER})(?: from ({_NUMBER}))?"
        expected = "LAYER: FACTOR or LAYER-LAYER: FACTOR from EPOCH"
        return tuple(
            cls(first, last or first, float(factor), float(start or 0))
            for first, last, factor, start in _parts(key, text, pattern, expected)
        )

    @classmethod
    def frozen(cls, key: str, text: str) -> tuple[Factor, ...]:
        """Zeros for the layers of a setting: "conv1-conv3, fc6"; raises UsageError."""
        expected = "LAYER or LAYER-LAYER, with commas between"
        return tuple(
            cls(first, last or first, 0.0, 0.0)
            for first, last in _parts(key, text, _LAYERS, expected)
        )

    def covers(self, layer: str, layers: Sequence[str]) -> bool:
        """Whether it is for `layer`, one of a network's `layers`."""
        return layer in layers[layers.index(self.first) : layers.index(self.last) + 1]


@dataclass(frozen=True)
class StartConfig:
    """The initial weights and biases (section 5)."""

    rule: Literal["gaussian", "he"] = "gaussian"
    """Standard deviation: that of the network's table (gaussian) or sqrt(2 / inputs) (he)."""
    gain: float = 1.0
    """A factor on the standard deviation."""
    bias: float = 1.0
    """A factor on the initial biases of the network's table."""
    model: str = ""
    """A model folder whose layers give their weights where they fit."""

    def __post_init__(self) -> None:
        _within("network.start.gain", self.gain, above=0)


@dataclass(frozen=True)
class NetworkConfig:
    """Which network, one of `alexnet.conventions`, and how it starts."""

    convention: str = "paper"
    """The network's layers: paper, caffe, one_column, ... (alexnet summary NAME)."""
    variant: str = ""
    """Changes of it: "tanh", "no norm", "no dropout", "no conv4", "pool 2/2", "width 0.5"."""
    start: StartConfig = field(default_factory=StartConfig)
    """How its weights and biases begin."""

    def __post_init__(self) -> None:
        if self.convention not in CONVENTIONS:
            known = f"one of {', '.join(CONVENTIONS)}"
            raise wrong_value("network.convention", self.convention, known)
        try:
            self.of(paper.CLASSES)
        except UsageError as error:
            raise SettingError(
                error.what, ("network.variant", "network.convention"), remedy=error.remedy
            ) from None

    def of(self, classes: int) -> Convention:
        """The network for so many classes."""
        return convention(self.convention, classes, self.variant)


@dataclass(frozen=True)
class AugmentationConfig:
    """What is drawn anew for each image each time it is used (section 4.1)."""

    crops: Literal["own", "shared", "centre"] = "own"
    """A place and reflection for each image (own) or for every 32 (shared), or no draw (centre).

    `shared` draws from 33 x 33 positions, as the original program did.
    """
    reflections: bool = True
    """Whether half of the crops are reflected horizontally."""
    colour: float = paper.COLOUR_DEVIATION
    """Standard deviation of alpha, the colour noise; 0 turns it off."""
    colour_until: Epochs = Epochs(math.inf)
    """When the colour noise ends."""
    colour_divisor: float = 1.0
    """What images are divided by after the colour noise is added."""

    def __post_init__(self) -> None:
        _within("augmentation.colour", self.colour, least=0)
        if not self.colour_until.count >= 0:  # infinity is the end, whenever that is
            raise wrong_value("augmentation.colour_until", str(self.colour_until), "at least 0")
        _within("augmentation.colour_divisor", self.colour_divisor, above=0)

    def colour_at(self, epoch: int) -> float:
        """The deviation of alpha in an epoch."""
        return self.colour if epoch < self.colour_until.count else 0.0


@dataclass(frozen=True)
class LoadingConfig:
    """In which order an epoch takes its images."""

    shuffle: Literal["full", "blocks"] = "full"
    """Of the whole set (full), or of blocks of it (blocks), for sets larger than memory.

    `blocks` reads runs of neighbouring images in random order and mixes many of them at a time.
    """


@dataclass(frozen=True)
class OptimizerConfig:
    """The update rule (section 5)."""

    batch: Images = Images(paper.BATCH)
    """Images in a batch, whatever the number of processes."""
    learning_rate: float = paper.LEARNING_RATE
    """The learning rate that the schedule begins with, or rises to."""
    momentum: float = paper.MOMENTUM
    """The share of the velocity that stays from step to step."""
    weight_decay: float = paper.WEIGHT_DECAY
    """Decay of the weights; biases have none."""
    bias_rate: float = 1.0
    """A factor on the learning rate of biases."""
    rates: str = ""
    """Factors on the learning rate of layers: "conv1-conv5: 0.1, conv1: 0 from 72".

    `from` is an epoch; the last factor that is for a layer counts.
    """
    decays: str = ""
    """Factors on the weight decay of layers, written as the rates are."""
    freeze: str = ""
    """Layers that are not trained: "conv1-conv3", "conv1, fc6"."""

    def __post_init__(self) -> None:
        _within("optimizer.bias_rate", self.bias_rate, least=0)
        _within("optimizer.batch", self.batch.count, least=1)
        _within("optimizer.learning_rate", self.learning_rate, above=0)
        _within("optimizer.momentum", self.momentum, least=0, below=1)
        _within("optimizer.weight_decay", self.weight_decay, least=0)
        self._factors()

    def rate_factor(self, layer: str, layers: Sequence[str], is_bias: bool, epoch: float) -> float:
        """What multiplies the learning rate of a layer's weights or biases in an epoch."""
        factor = _last(Factor.parse("optimizer.rates", self.rates), layer, layers, epoch)
        return factor * self.bias_rate if is_bias else factor

    def decay_factor(self, layer: str, layers: Sequence[str], epoch: float) -> float:
        """What multiplies the decay of a layer's weights in an epoch."""
        return _last(Factor.parse("optimizer.decays", self.decays), layer, layers, epoch)

    def frozen(self, layers: Sequence[str]) -> tuple[str, ...]:
        """Those of a network's layers that stay as they are."""
        factors = self._factors()["freeze"]
        return tuple(one for one in layers if any(f.covers(one, layers) for f in factors))

    def require_layers(self, layers: Sequence[str]) -> None:
        """Raise UsageError where a factor is for a layer that a network does not have, or none is left
        to train.
        """
        for key, factors in self._factors().items():
            for one in factors:
                for name in (one.first, one.last):
                    if name not in layers:
                        raise SettingError(
                            f"optimizer.{key} is for {name!r}; the network has no such layer.",
                            (f"optimizer.{key}", "network.convention"),
                            remedy=did_you_mean(name, layers),
                        )
                if layers.index(one.first) > layers.index(one.last):
                    raise SettingError(
                        f"optimizer.{key}: there are no layers from {one.first} to {one.last}.",
                        (f"optimizer.{key}",),
                        remedy=f"Turn them around: {one.last}-{one.first}",
                    )
        if len(self.frozen(layers)) == len(layers):
            raise wrong_value(
                "optimizer.freeze", self.freeze, "fewer layers: none is left to train"
            )

    def _factors(self) -> dict[str, tuple[Factor, ...]]:
        return {
            "rates": Factor.parse("optimizer.rates", self.rates),
            "decays": Factor.parse("optimizer.decays", self.decays),
            "freeze": Factor.frozen("optimizer.freeze", self.freeze),
        }


def _last(factors: Sequence[Factor], layer: str, layers: Sequence[str], epoch: float) -> float:
    """The last of the factors that is for a layer in an epoch; 1 where none is."""
    found = [one.factor for one in factors if one.start <= epoch and one.covers(layer, layers)]
    return found[-1] if found else 1.0


_MOST_FACTOR, _MOST_DROPS = 1000.0, 100  # what they come to together is still a number


@dataclass(frozen=True)
class Plateau:
    """The paper's: divide the rate when the validation error stops improving (section 5)."""

    kind: ClassVar[str] = "plateau"
    factor: float = paper.RATE_DIVISOR
    """What the learning rate is divided by."""
    patience: Epochs = Epochs(5)
    """Epochs without a lower validation error before it drops; the paper names no number."""
    drops: int = paper.RATE_DROPS
    """How often it drops at most."""

    def __post_init__(self) -> None:
        _within("schedule.factor", self.factor, above=1, most=_MOST_FACTOR)
        _within("schedule.patience", self.patience.count, above=0)
        _within("schedule.drops", self.drops, least=0, most=_MOST_DROPS)


@dataclass(frozen=True)
class Anneal:
    """A rate that rises in a straight line during the warm-up and then falls to zero at the end."""

    kind: ClassVar[str] = "anneal"
    warmup: Epochs = Epochs(1)
    """How long the learning rate rises."""

    def __post_init__(self) -> None:
        _within("schedule.warmup", self.warmup.count, least=0)


@dataclass(frozen=True)
class Milestones:
    """Divide the rate when so many epochs are done, as in the run behind the paper's table 1."""

    kind: ClassVar[str] = "milestones"
    factor: float = paper.RATE_DIVISOR
    """What the learning rate is divided by."""
    epochs: str = ", ".join(map(str, paper.PROGRAM_DROPS))
    """After how many epochs it drops: "23, 51, 78"."""

    def __post_init__(self) -> None:
        _within("schedule.factor", self.factor, above=1, most=_MOST_FACTOR)
        parts = [one.strip() for one in self.epochs.split(",")]
        if len(parts) > _MOST_DROPS or not all(re.fullmatch(_NUMBER, one) for one in parts):
            expected = f"at most {_MOST_DROPS} epochs, as in 23, 51, 78"
            raise wrong_value("schedule.epochs", self.epochs, expected)

    def done_by(self, epoch: float) -> int:
        """How many are behind in an epoch."""
        return sum(float(one) <= epoch for one in self.epochs.split(","))


Schedule = Plateau | Anneal | Milestones


@dataclass(frozen=True)
class CheckpointConfig:
    """How often the complete state is written, and how many of them stay."""

    every: Steps = Steps(1000)
    """Steps between two checkpoints."""
    keep: int = 3
    """How many of the newest checkpoints stay."""

    def __post_init__(self) -> None:
        _within("checkpoint.every", self.every.count, least=1)
        _within("checkpoint.keep", self.keep, least=2)


@dataclass(frozen=True)
class RunConfig:
    """One training run, complete. `RunConfig()` is the paper's."""

    recipe: str = "paper"
    """The recipe that it began from."""
    seed: int = 0
    """Decides initial weights, the order of images, crops and dropout masks."""
    network: NetworkConfig = field(default_factory=NetworkConfig)
    """What is trained."""
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    """How images are varied."""
    loading: LoadingConfig = field(default_factory=LoadingConfig)
    """How images are read."""
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    """How weights are updated."""
    schedule: Schedule = field(default_factory=Plateau)
    """How the learning rate changes: plateau, anneal or milestones."""
    length: Epochs = Epochs(paper.EPOCHS)
    """How long training lasts."""
    until_error: float = 0.0
    """Training top-1 error of an epoch (a share) with which training ends sooner; 0: never."""
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    """How its state is saved."""

    def __post_init__(self) -> None:
        _within("seed", self.seed, least=0, most=2**64 - 1)
        _within("length", self.length.count, above=0)
        _within("until_error", self.until_error, least=0, below=1)
        layers = [layer.name for layer in self.network.of(paper.CLASSES).layers]
        self.optimizer.require_layers(layers)
        if isinstance(self.schedule, Anneal):
            length = self.length.count
            _within("schedule.warmup", self.schedule.warmup.count, below=length, also=("length",))


# Keys on whose value the paper is silent: their default is ours.
OUR_DEFAULTS = frozenset(
    {"seed", "loading.shuffle", "schedule.patience", "checkpoint.every", "checkpoint.keep"}
)


class SettingError(UsageError):
    """A setting that does not exist or does not fit; `keys` are those that it is about."""

    def __init__(
        self, what: str, keys: tuple[str, ...], *, where: object = "", remedy: str = ""
    ) -> None:
        super().__init__(what, where=where, remedy=remedy)
        self.keys = keys


def wrong_value(
    key: str, value: object, expected: str, where: object = "", also: tuple[str, ...] = ()
) -> SettingError:
    """The error for a value that does not fit its key, or the keys that are also concerned."""
    return SettingError(f"{key} is {value!r}, expected {expected}.", (key, *also), where=where)


def _within(
    key: str,
    value: float,
    *,
    least: float = -math.inf,
    above: float = -math.inf,
    most: float = math.inf,
    below: float = math.inf,
    also: tuple[str, ...] = (),
) -> None:
    if least <= value <= most and above < value < below:
        return
    limits = {"at least": least, "above": above, "at most": most, "below": below}
    if not math.isfinite(value):
        raise wrong_value(key, value, "a finite number")
    expected = " and ".join(
        f"{how} {limit:g}" for how, limit in limits.items() if math.isfinite(limit)
    )
    raise wrong_value(key, value, expected, also=also)


def _with_unit(count: float, unit: str) -> str:
    return f"{repr(count).removesuffix('.0')} {unit[:-1] if count == 1 else unit}"
