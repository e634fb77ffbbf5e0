"""Configurations as text and back: dictionaries, YAML, `--set KEY=VALUE`, and what differs.

Keys are dotted paths, `optimizer.batch`; the kind of schedule is `schedule.kind`. A key that does not
exist is refused with the nearest that does, a value of the wrong kind with what was expected.
"""

from __future__ import annotations

import math
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, Literal, NamedTuple, TypeVar

from alexnet.base.errors import UsageError, did_you_mean
from alexnet.config import (
    OUR_DEFAULTS,
    Epochs,
    Images,
    Plateau,
    RunConfig,
    Schedule,
    Steps,
    wrong_value,
)

Value = str | int | float | bool


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


# --- Reading and writing values by the types of the fields ----------------------------------------

_Quantity = (Epochs, Steps, Images)
_Config = TypeVar("_Config")


def _plain(value: Any) -> Any:
    if isinstance(value, _Quantity):
        return str(value)
    if not is_dataclass(value):
        return value
    kind = {"kind": value.kind} if isinstance(value, Schedule) else {}
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
        raise wrong_value(prefix.rstrip(".") or "the configuration", values, "keys", where)
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
    if kind == Schedule:
        return _read_schedule(value, key, where)
    if kind in _Quantity:
        return _read_quantity(kind, value, key, where)
    if is_dataclass(kind):
        return _build(typing.cast(type, kind), value, key + ".", where)
    if typing.get_origin(kind) is Literal:
        if value not in (choices := typing.get_args(kind)):
            raise wrong_value(key, value, " or ".join(choices), where)
        return value
    if kind is bool:
        return _read_bool(value, key, where)
    if kind is str:
        if not isinstance(value, str):
            raise wrong_value(key, value, "text", where)
        return value
    return _read_number(kind, value, key, where)


def _read_schedule(value: Any, key: str, where: object) -> Schedule:
    by_kind: dict[str, type[Schedule]] = {cls.kind: cls for cls in typing.get_args(Schedule)}
    if not isinstance(value, Mapping):
        raise wrong_value(key, value, f"keys, with kind: {' or '.join(by_kind)}", where)
    kind = value.get("kind", Plateau.kind)
    if not isinstance(kind, str) or kind not in by_kind:
        raise wrong_value(f"{key}.kind", kind, " or ".join(by_kind), where)
    rest = {name: inner for name, inner in value.items() if name != "kind"}
    return _build(by_kind[kind], rest, key + ".", where)


def _read_quantity(kind: Any, value: Any, key: str, where: object) -> Any:
    if isinstance(value, str):
        count, _, unit = value.strip().partition(" ")
        if unit.strip() not in ("", kind.unit, kind.unit[:-1]):
            raise wrong_value(key, value, f"a number of {kind.unit}", where)
        value = count
    return kind(_read_number(typing.get_type_hints(kind)["count"], value, key, where, kind.unit))


def _read_bool(value: Any, key: str, where: object) -> bool:
    known = {"true": True, "false": False}
    if isinstance(value, bool):
        return value
    if not isinstance(value, str) or value.lower() not in known:
        raise wrong_value(key, value, "true or false", where)
    return known[value.lower()]


def _read_number(kind: type, value: Any, key: str, where: object, unit: str = "") -> float:
    """Text is read too: YAML takes 1e-4 for text, and settings are text."""
    expected = ("a whole number" if kind is int else "a number") + (f" of {unit}" if unit else "")
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise wrong_value(key, value, expected, where)
    try:
        number = int(value) if isinstance(value, str) and kind is int else float(value)
    except (ValueError, OverflowError):
        raise wrong_value(key, value, expected, where) from None
    endless = number == math.inf and unit == Epochs.unit
    if not (math.isfinite(number) or endless) or (kind is int and number != int(number)):
        raise wrong_value(key, value, expected, where)
    return int(value) if kind is int else float(number)


def _split(setting: str) -> tuple[str, str]:
    key, equals, value = setting.partition("=")
    if not equals:
        raise UsageError(
            "A setting has the form KEY=VALUE.",
            where=f"--set {setting}",
            remedy="For example: --set optimizer.batch=64",
        )
    return key.strip(), value.strip()


def _unknown_key(key: str, known: Iterable[str], where: object) -> UsageError:
    for schedule in typing.get_args(Schedule):
        if key in {f"schedule.{entry.name}" for entry in fields(schedule)}:
            remedy = f"It belongs to schedule.kind={schedule.kind}."
            return UsageError(f"This schedule has no {key!r}.", where=where, remedy=remedy)
    return UsageError(f"There is no setting {key!r}.", where=where, remedy=did_you_mean(key, known))
