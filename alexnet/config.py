"""The complete description of a training run: frozen dataclasses whose defaults are the paper's.

Quantities carry their units. A configuration goes to plain dictionaries and YAML and back; a key
that does not exist, a value of the wrong kind or out of range is refused by name. Keys are dotted
paths, `optimizer.batch`, and the kind of schedule is `schedule.kind`.
"""

from __future__ import annotations

import hashlib
import math
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, ClassVar, Literal, NamedTuple, TypeVar

from alexnet import paper
from alexnet.errors import UsageError, did_you_mean
from alexnet.files import canonical_json

Value = str | int | float | bool


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
    """The first weights and biases (section 5)."""

    rule: Literal["gaussian", "he"] = "gaussian"
    deviation: float = paper.WEIGHT_DEVIATION  # of the Gaussian rule alone
    gain: float = 1.0  # of the He rule alone: a factor on sqrt(2 / inputs of a kernel)
    bias: float = paper.BIAS_START  # of those layers whose biases the paper starts at one

    def __post_init__(self) -> None:
        _within("network.start.deviation", self.deviation, above=0)
        _within("network.start.gain", self.gain, above=0)


@dataclass(frozen=True)
class NetworkConfig:
    """How the network starts; its layers are a table, not a setting (section 3)."""

    start: StartConfig = field(default_factory=StartConfig)


@dataclass(frozen=True)
class AugmentationConfig:
    """What is drawn anew for each picture each time it is used (section 4.1)."""

    reflections: bool = True
    colour: float = paper.COLOUR_DEVIATION  # standard deviation of alpha; 0 turns colour off

    def __post_init__(self) -> None:
        _within("augmentation.colour", self.colour, least=0)


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
        _within("checkpoint.keep", self.keep, least=1)


@dataclass(frozen=True)
class RunConfig:
    """One training run, complete. `RunConfig()` is the paper's."""

    recipe: str = "paper"
    seed: int = 0
    network: NetworkConfig = field(default_factory=NetworkConfig)
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
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
OUR_DEFAULTS = frozenset({"seed", "schedule.patience", "checkpoint.every", "checkpoint.keep"})


class Difference(NamedTuple):
    """One key whose values differ; None where a configuration does not have the key."""

    key: str
    first: Value | None
    second: Value | None


class Origin(NamedTuple):
    """One key, its value, and where the value comes from."""

    key: str
    value: Value
    origin: str  # "paper", "default" (the paper is silent), "recipe NAME" or "--set"


def to_dict(config: RunConfig) -> dict[str, Any]:
    """Plain nested dictionaries of text, numbers and booleans; quantities as "90 epochs"."""
    values: dict[str, Any] = _plain(config)
    return values


def from_dict(values: Mapping[str, Any], where: object = "") -> RunConfig:
    """The inverse of `to_dict`; keys left out take the paper's value.

    Raises UsageError that names the key, the value, and what was expected or the nearest known key.
    """
    return _build(RunConfig, values, "", where)


def to_yaml(config: RunConfig) -> str:
    """The configuration as YAML text, keys in the order of the classes."""
    import yaml

    return yaml.safe_dump(to_dict(config), sort_keys=False)


def from_yaml(text: str, where: object = "") -> RunConfig:
    """The inverse of `to_yaml`; `where` (a path) is named in errors."""
    import yaml

    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UsageError(f"Not valid YAML: {' '.join(str(error).split())}.", where=where) from None
    return from_dict({} if values is None else values, where)


def with_settings(config: RunConfig, settings: Sequence[str]) -> RunConfig:
    """The configuration with `KEY=VALUE` settings applied, in order."""
    values = to_dict(config)
    # A new kind of schedule brings its own keys, so it comes before settings of those keys.
    pairs = sorted(map(_split, settings), key=lambda pair: pair[0] != "schedule.kind")
    for key, text in pairs:
        if key == "recipe":
            raise UsageError(
                "The recipe's name cannot be set.",
                where=f"--set recipe={text}",
                remedy=f"Choose it with --recipe {text}.",
            )
        if key == "schedule.kind" and values["schedule"]["kind"] != text:
            values["schedule"] = {"kind": text}
            values = to_dict(from_dict(values, f"--set {key}={text}"))
            continue
        *sections, name = key.split(".")
        inner = values
        for section in sections:
            inner = inner.get(section, {}) if isinstance(inner, dict) else {}
        if not isinstance(inner, dict) or name not in inner or isinstance(inner[name], dict):
            raise _unknown_key(key, _flatten(values), f"--set {key}={text}")
        inner[name] = text
    return from_dict(values, "--set " + " --set ".join(settings) if settings else "")


def flat(config: RunConfig) -> dict[str, Value]:
    """Every dotted key and its plain value, in order."""
    return _flatten(to_dict(config))


def differences(first: RunConfig, second: RunConfig) -> list[Difference]:
    """The keys in which two configurations differ, in order."""
    a, b = flat(first), flat(second)
    return [
        Difference(key, a.get(key), b.get(key)) for key in {**a, **b} if a.get(key) != b.get(key)
    ]


def origins(config: RunConfig, recipe: RunConfig, settings: Sequence[str]) -> list[Origin]:
    """Where each value comes from, given the recipe's configuration and the settings."""
    in_paper, in_recipe = flat(RunConfig()), flat(recipe)
    set_keys = {_split(setting)[0] for setting in settings}

    def origin(key: str, value: Value) -> str:
        if key in set_keys:
            return "--set"
        if key in in_paper and in_paper[key] == value and key not in OUR_DEFAULTS:
            return "paper"
        if key in in_recipe and in_paper.get(key) != value:
            return f"recipe {recipe.recipe}"
        return "default"

    return [Origin(key, value, origin(key, value)) for key, value in flat(config).items()]


def fingerprint(config: RunConfig) -> str:
    """The SHA-256 of the configuration's values, in hexadecimal."""
    return hashlib.sha256(canonical_json(to_dict(config))).hexdigest()


# --- Reading and writing values by the types of the fields ----------------------------------------

_Quantity = (Epochs, Steps, Images)
_Config = TypeVar("_Config")


def _with_unit(count: float, unit: str) -> str:
    return f"{repr(count).removesuffix('.0')} {unit[:-1] if count == 1 else unit}"


def _plain(value: Any) -> Any:
    if isinstance(value, _Quantity):
        return str(value)
    if not is_dataclass(value):
        return value
    kind = {"kind": value.kind} if isinstance(value, Plateau | Anneal) else {}
    return kind | {entry.name: _plain(getattr(value, entry.name)) for entry in fields(value)}


def _flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Value]:
    found: dict[str, Value] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found |= _flatten(value, f"{prefix}{name}.")
        else:
            found[prefix + name] = value
    return found


def _build(cls: type[_Config], values: Any, prefix: str, where: object) -> _Config:
    if not isinstance(values, Mapping):
        raise _wrong_value(prefix.rstrip(".") or "the configuration", values, "keys", where)
    kinds = typing.get_type_hints(cls)
    names = [entry.name for entry in fields(cls)]  # type: ignore[arg-type]
    for name in values:
        if name not in names:
            raise _unknown_key(f"{prefix}{name}", [prefix + known for known in names], where)
    arguments = {name: _read(kinds[name], values[name], prefix + name, where) for name in values}
    try:
        return cls(**arguments)
    except UsageError as error:  # out of range: the class does not know where the value came from
        raise UsageError(error.what, where=where, remedy=error.remedy) from None


def _read(kind: Any, value: Any, key: str, where: object) -> Any:
    """`value` as the field's type asks, or a UsageError that says what was expected."""
    if isinstance(kind, types.UnionType):
        return _read_schedule(value, key, where)
    if kind in _Quantity:
        return _read_quantity(kind, value, key, where)
    if is_dataclass(kind):
        return _build(typing.cast(type, kind), value, key + ".", where)
    if typing.get_origin(kind) is Literal:
        if value not in (choices := typing.get_args(kind)):
            raise _wrong_value(key, value, " or ".join(choices), where)
        return value
    if kind is bool:
        return _read_bool(value, key, where)
    if kind is str:
        if not isinstance(value, str):
            raise _wrong_value(key, value, "text", where)
        return value
    return _read_number(kind, value, key, where)


def _read_schedule(value: Any, key: str, where: object) -> Schedule:
    by_kind: dict[str, type[Schedule]] = {cls.kind: cls for cls in (Plateau, Anneal)}
    if not isinstance(value, Mapping):
        raise _wrong_value(key, value, f"keys, with kind: {' or '.join(by_kind)}", where)
    kind = value.get("kind", Plateau.kind)
    if not isinstance(kind, str) or kind not in by_kind:
        raise _wrong_value(f"{key}.kind", kind, " or ".join(by_kind), where)
    rest = {name: inner for name, inner in value.items() if name != "kind"}
    return _build(by_kind[kind], rest, key + ".", where)


def _read_quantity(kind: Any, value: Any, key: str, where: object) -> Any:
    if isinstance(value, str):
        count, _, unit = value.strip().partition(" ")
        if unit.strip() not in ("", kind.unit, kind.unit[:-1]):
            raise _wrong_value(key, value, f"a number of {kind.unit}", where)
        value = count
    return kind(_read_number(typing.get_type_hints(kind)["count"], value, key, where, kind.unit))


def _read_bool(value: Any, key: str, where: object) -> bool:
    known = {"true": True, "false": False}
    if isinstance(value, bool):
        return value
    if not isinstance(value, str) or value.lower() not in known:
        raise _wrong_value(key, value, "true or false", where)
    return known[value.lower()]


def _read_number(kind: type, value: Any, key: str, where: object, unit: str = "") -> float:
    """Text is read too: YAML takes 1e-4 for text, and settings are text."""
    expected = ("a whole number" if kind is int else "a number") + (f" of {unit}" if unit else "")
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise _wrong_value(key, value, expected, where)
    try:
        number = int(value) if isinstance(value, str) and kind is int else float(value)
    except (ValueError, OverflowError):
        raise _wrong_value(key, value, expected, where) from None
    if not math.isfinite(number) or (kind is int and number != int(number)):
        raise _wrong_value(key, value, expected, where)
    return int(value) if kind is int else float(number)


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
    raise _wrong_value(key, value, expected, "")


def _split(setting: str) -> tuple[str, str]:
    key, equals, value = setting.partition("=")
    if not equals:
        raise UsageError(
            "A setting has the form KEY=VALUE.",
            where=f"--set {setting}",
            remedy="For example: --set optimizer.batch=64",
        )
    return key.strip(), value.strip()


def _wrong_value(key: str, value: object, expected: str, where: object) -> UsageError:
    return UsageError(f"{key} is {value!r}, expected {expected}.", where=where)


def _unknown_key(key: str, known: Iterable[str], where: object) -> UsageError:
    for schedule in (Plateau, Anneal):
        if key in {f"schedule.{entry.name}" for entry in fields(schedule)}:
            remedy = f"It belongs to schedule.kind={schedule.kind}."
            return UsageError(f"This schedule has no {key!r}.", where=where, remedy=remedy)
    return UsageError(f"There is no setting {key!r}.", where=where, remedy=did_you_mean(key, known))
