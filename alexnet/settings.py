"""Configurations as text and back: dictionaries, YAML, `--set KEY=VALUE`, what differs, what keys mean.

Keys are dotted paths, `optimizer.batch`; the kind of schedule is `schedule.kind`. A key that does not
exist is refused with the nearest that does, a value of the wrong kind with what was expected.
"""

from __future__ import annotations

import ast
import copy
import inspect
import math
import textwrap
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from itertools import pairwise
from typing import Any, Literal, NamedTuple, TypeVar

from alexnet import aliases
from alexnet.base.errors import UsageError, did_you_mean
from alexnet.config import (
    OUR_DEFAULTS,
    Anneal,
    Epochs,
    Images,
    Plateau,
    RunConfig,
    Schedule,
    SettingError,
    Steps,
    wrong_value,
)

Value = str | int | float | bool
WARM_UP = "schedule.warmup"  # follows the length, where nobody asks for one


class Setting(NamedTuple):
    """A key, the text of its value, and the option that says so: "--epochs 5", "--set length=5"."""

    key: str
    value: str
    option: str

    @classmethod
    def parse(cls, text: str) -> Setting:
        """That of `--set KEY=VALUE`; raises UsageError."""
        key, equals, value = text.partition("=")
        if not equals:
            raise UsageError(
                "A setting has the form KEY=VALUE.",
                where=f"--set {text}",
                remedy="For example: --set optimizer.batch=64",
            )
        return cls(key.strip(), value.strip(), f"--set {text}")


class Difference(NamedTuple):
    """One key whose values differ; None where a configuration does not have the key."""

    key: str
    first: Value | None
    second: Value | None


class Origin(NamedTuple):
    """One key, its value, and where the value comes from."""

    key: str
    value: Value
    origin: str  # "paper", "default" (the paper is silent), "recipe NAME", "--set", "shortened"


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


def asked_for(
    settings: Iterable[str | Setting] = (),
    *,
    epochs: float | None = None,
    batch: int | None = None,
    seed: int | None = None,
    init: str = "",
) -> list[Setting]:
    """The settings of `--set` and of the options that stand for one; `init` is a model folder.

    Raises UsageError where two of them have the same key.
    """
    options = [
        Setting(key, text, f"--{name} {text}")
        for name, key, value in (
            ("epochs", "length", epochs),
            ("batch", "optimizer.batch", batch),
            ("seed", "seed", seed),
            ("init", "network.start.model", init or None),
        )
        if value is not None and (text := str(value).removesuffix(".0"))
    ]
    parsed = _parsed(settings)
    by_key: dict[str, Setting] = {}
    for one in (*options, *parsed):
        if one.key in by_key:
            raise UsageError(
                f"{by_key[one.key].option} and {one.option} set the same key.",
                where=one.key,
                remedy="Leave one of them out.",
            )
        by_key[one.key] = one
    return [*parsed, *options]


def with_settings(config: RunConfig, settings: Iterable[str | Setting]) -> RunConfig:
    """The configuration with settings applied, in order.

    A warm-up that the settings do not name and that no longer fits the run keeps its share of it
    (`shortened` tells). Raises UsageError that names the setting at fault.
    """
    values = to_dict(config)
    asked = _parsed(settings)
    # A new kind of schedule brings its own keys, so it comes before settings of those keys.
    for one in sorted(asked, key=lambda one: one.key != "schedule.kind"):
        if one.key == "recipe":
            raise UsageError(
                "The recipe's name cannot be set.",
                where=one.option,
                remedy=f"Choose it with --recipe {one.value}.",
            )
        try:
            values = _with_value(values, one.key, one.value)
        except SettingError as error:
            raise UsageError(error.what, where=one.option, remedy=error.remedy) from None
    try:
        if WARM_UP not in keys_of(asked):
            values = _with_fitting_warm_up(values, config.length)
        return from_dict(values)
    except SettingError as error:
        faulty = " ".join(one.option for one in asked if one.key in error.keys)
        raise UsageError(error.what, where=faulty, remedy=error.remedy) from None


def keys_of(settings: Iterable[str | Setting]) -> set[str]:
    """The keys that settings name."""
    return {one.key for one in _parsed(settings)}


def shortened(config: RunConfig, recipe: RunConfig, settings: Iterable[str | Setting]) -> str:
    """A sentence on the warm-up that `with_settings` has shortened; empty where it has not."""
    ours, theirs = config.schedule, recipe.schedule
    keys = keys_of(settings)
    if not isinstance(ours, Anneal) or WARM_UP in keys:
        return ""
    before = theirs.warmup if isinstance(theirs, Anneal) else Anneal().warmup
    if ours.warmup == before:
        return ""
    return f"a warm-up of {before} does not fit into {config.length}: it takes {ours.warmup}"


def flat(config: RunConfig) -> dict[str, Value]:
    """Every dotted key and its plain value, in order."""
    return _flatten(to_dict(config))


def differences(first: RunConfig, second: RunConfig) -> list[Difference]:
    """The keys in which two configurations differ, in order."""
    a, b = flat(first), flat(second)
    return [
        Difference(key, a.get(key), b.get(key)) for key in {**a, **b} if a.get(key) != b.get(key)
    ]


def origins(
    config: RunConfig, recipe: RunConfig, settings: Sequence[str | Setting]
) -> list[Origin]:
    """Where each value comes from, given the recipe's configuration and the settings."""
    in_paper, in_recipe = flat(RunConfig()), flat(recipe)
    options = {one.key: one.option.partition(" ")[0] for one in _parsed(settings)}
    is_shortened = bool(shortened(config, recipe, settings))

    def origin(key: str, value: Value) -> str:
        if key in options:
            return options[key]
        if key == WARM_UP and is_shortened:
            return "shortened"
        if key in in_paper and in_paper[key] == value and key not in OUR_DEFAULTS:
            return "paper"
        if key in in_recipe and in_paper.get(key) != value:
            return f"recipe {recipe.recipe}"
        return "default"

    return [Origin(key, value, origin(key, value)) for key, value in flat(config).items()]


def meanings() -> dict[str, str]:
    """What every key means in one sentence: the first beneath its field in `alexnet.config`."""
    return {"schedule.kind": "plateau, anneal or milestones."} | _meanings(RunConfig, "")


def _meanings(cls: type, prefix: str) -> dict[str, str]:
    found: dict[str, str] = {}
    kinds = typing.get_type_hints(cls)
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    assert isinstance(body, ast.ClassDef)
    for entry, below in pairwise(body.body):
        match entry, below:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                kind = kinds[name]
                parts = typing.get_args(kind) if kind == Schedule else [kind]
                if is_dataclass(parts[0]) and kind not in _Quantity:
                    for part in parts:
                        found |= _meanings(part, f"{prefix}{name}.")
                else:
                    found[prefix + name] = text.partition("\n")[0]
    return found


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


def _parsed(settings: Iterable[str | Setting]) -> list[Setting]:
    return [one if isinstance(one, Setting) else Setting.parse(str(one)) for one in settings]


def _with_value(values: dict[str, Any], key: str, text: str) -> dict[str, Any]:
    """The values with one of them replaced; raises SettingError where there is no such key."""
    values = copy.deepcopy(values)
    if key == "schedule.kind" and values["schedule"]["kind"] != text:
        values["schedule"] = to_dict(from_dict({"schedule": {"kind": text}}))["schedule"]
        return values
    *sections, name = key.split(".")
    inner = values
    for section in sections:
        inner = inner.get(section, {}) if isinstance(inner, dict) else {}
    if not isinstance(inner, dict) or name not in inner or isinstance(inner[name], dict):
        raise _unknown_key(key, _flatten(values), "")
    inner[name] = text
    return values


def _with_fitting_warm_up(values: dict[str, Any], before: Epochs) -> dict[str, Any]:
    """The values with a warm-up that has its share of the length, if it would outlast the run."""
    if "warmup" not in values["schedule"]:
        return values
    length = _read_quantity(Epochs, values["length"], "length", "").count
    warmup = _read_quantity(Epochs, values["schedule"]["warmup"], WARM_UP, "").count
    if not warmup >= length > 0:
        return values
    fitting = Epochs(float(f"{warmup / before.count * length:.3g}"))
    return _with_value(values, WARM_UP, str(fitting))


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
    except SettingError as error:  # the class does not know where the value came from
        raise SettingError(error.what, error.keys, where=where, remedy=error.remedy) from None


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


def _unknown_key(key: str, known: Iterable[str], where: object) -> SettingError:
    for schedule in typing.get_args(Schedule):
        if key in {f"schedule.{entry.name}" for entry in fields(schedule)}:
            remedy = f"It belongs to schedule.kind={schedule.kind}."
            what = f"This schedule has no {key!r}."
            return SettingError(what, (key,), where=where, remedy=remedy)
    what = f"There is no setting {key!r}."
    return SettingError(what, (key,), where=where, remedy=_known_as(key, list(known)))


def _known_as(key: str, known: Sequence[str]) -> str:
    """What the user may have meant: by the names of other programs, by the last part, by likeness."""
    last = key.rpartition(".")[2]
    same = [one for one in meanings() if one.rpartition(".")[2] == last]
    if one := aliases.meant(key) or (same[0] if len(same) == 1 else ""):
        kinds = [kind for kind in typing.get_args(Schedule) if one in _meanings(kind, "schedule.")]
        if one in known or not kinds:
            return f"Did you mean {one!r}?"
        return f"Did you mean {one!r}? It belongs to schedule.kind={kinds[0].kind}."
    if inner := [one for one in known if one.startswith(f"{key}.")]:
        return f"It has parts: {', '.join(inner)}."
    return aliases.answer_to(key) or did_you_mean(key, known)
