"""Checkpoints as training scripts leave them: where the weights are found, and what is passed over."""

from __future__ import annotations

import argparse
import datetime
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from exchange.test_torchvision import KNOWN, SMALL, theirs_of

from alexnet.base.errors import AlexNetError, DataError, IncompatibleError, UsageError
from alexnet.exchange import Imported, read_foreign
from alexnet.models.arrays import parameters_of

STATE: dict[str, Any] = dict(theirs_of(SMALL).state_dict())
OTHER = {name: value + 1 for name, value in STATE.items()}


class Settings(dict[str, Any]):
    """A class of the program's own, which would tell if it were built."""

    built = 0

    def __setstate__(self, state: Any) -> None:
        Settings.built += 1


class Options:
    """Another, which is no dictionary."""

    def __reduce__(self) -> Any:
        return exec, ("raise SystemExit('run')",)


def under(prefix: str, state: dict[str, Any] = STATE) -> dict[str, Any]:
    return {prefix + name: value for name, value in state.items()}


def inside(wrapper: str) -> dict[str, Any]:
    return {name.replace(".", f".{wrapper}.", 1): value for name, value in STATE.items()}


def read(value: Any, path: Path, legacy: bool = False, **more: Any) -> Imported:
    torch.save(value, path, _use_new_zipfile_serialization=not legacy)
    return read_foreign(path, known=KNOWN, **more)


def require_weights(found: Imported, plus: float = 0.0) -> None:
    for name, array in parameters_of(SMALL).items():
        np.testing.assert_array_equal(found.arrays[name], array + np.float32(plus))


def saved_as() -> dict[str, tuple[Any, str]]:
    """Checkpoints, and what is said of where the weights were."""
    optimizer = torch.optim.SGD(theirs_of(SMALL).parameters(), lr=0.1, momentum=0.9).state_dict()
    extras = {
        "args": argparse.Namespace(lr=0.1), "when": datetime.datetime(2017, 1, 1), "best": np.float64(3),
        "where": Path("x"), "losses": np.arange(3.0), "settings": Settings(a=1), "run": Options(),
        "optimizer": optimizer, "nested": [OrderedDict(a=(1, 2))], "types": {torch.float32, (1,)},
    }  # fmt: skip
    return {
        "plain": (STATE, "told by its names"),
        "with everything": ({"state_dict": STATE, **extras}, "args (argparse.Namespace)"),
        "deep": ({"a": {"b": [{"net": under("module.")}]}}, "Taken from 'a.b.0.net'"),
        "in a tuple": ((7, STATE, optimizer), "Taken from '1'"),
        "in a class": (Settings(model=STATE), "Taken from 'model'"),
        "compiled": ({"model": under("_orig_mod.")}, "'_orig_mod.' before them"),
        "orders": (under("module._orig_mod.model.module."), "'module._orig_mod.model.module.'"),
        "another word": (under("backbone.module."), "'backbone.module.' before them"),
        "inside": (inside("module"), "'module.' inside them"),
        "inside and before": (under("model.", inside("_orig_mod")), "'_orig_mod.' inside them"),
        "averaged": ({**under("module."), "n_averaged": torch.tensor(5)}, "are averaged"),
        "averaged alone": ({"model_ema": STATE}, "are averaged"),
        "averaged beside": ({"model": STATE, "state_dict_ema": OTHER}, "--key state_dict_ema"),
        "averaged inside": ({"state_dict": under("model.") | under("ema.module.", OTHER)},
                            "'state_dict.ema' (averaged over steps)"),
        "AveragedModel": ({"a": STATE, "b": {**under("module.", OTHER), "n_averaged": torch.tensor(1)}},
                          "'b' (averaged over steps)"),
        "an average's decay": ({"n": under("net.") | under("net_ema.", OTHER)
                                | {"net_ema.decay": torch.tensor(0.9)}}, "--key n.net_ema"),
        "averaged by other names": (under("model.") | {"model_ema.features0weight": torch.ones(2)},
                                    "an averaged copy by other names, 'model_ema.features0weight'"),
        "EMAModel": ({"EMAModel": OTHER, "model": STATE}, "'EMAModel' (averaged over steps)"),
        "an optimizer's by names": ({"model": STATE, "optimizer": {
            "state": {name: {"exp_avg": value} for name, value in OTHER.items()}}}, "Taken from 'model'"),
    }  # fmt: skip


@pytest.mark.parametrize("name", saved_as())
@pytest.mark.parametrize("legacy", [False, True])
def test_the_weights_are_found(name: str, legacy: bool, tmp_path: Path) -> None:
    value, told = saved_as()[name]
    found = read(value, tmp_path / "w.pth", legacy)
    require_weights(found)
    assert told in " ".join(found.notes)
    assert Settings.built == 0


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_every_protocol_of_pickle_is_read(protocol: int, tmp_path: Path) -> None:
    for legacy in (False, True):
        path = tmp_path / f"{legacy}.pth"
        torch.save(
            {"state_dict": STATE, "args": argparse.Namespace()},
            path,
            pickle_protocol=protocol,
            _use_new_zipfile_serialization=not legacy,
        )
        require_weights(read_foreign(path, known=KNOWN))


def test_parts_of_one_storage_and_steps_are_read(tmp_path: Path) -> None:
    row = torch.cat([value.flatten() for value in STATE.values()])
    parts = row.split([value.numel() for value in STATE.values()])
    shared = {n: part.view(STATE[n].shape) for n, part in zip(STATE, parts, strict=True)}
    stepped = {n: torch.stack([value, value], -1)[..., 1] for n, value in STATE.items()}
    attributed = {n: torch.nn.Parameter(value) for n, value in STATE.items()}
    attributed["features.0.bias"].note = "frozen"  # type: ignore[attr-defined]
    for number, state in enumerate((shared, stepped, attributed)):
        for legacy in (False, True):
            require_weights(read(state, tmp_path / f"{number}{legacy}.pth", legacy))


def test_of_two_plain_ones_none_is_taken_unless_it_is_named(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    both = {"student": under("module."), "teacher": OTHER}
    with pytest.raises(UsageError, match="'student' and 'teacher'") as refused:
        read(both, path)
    assert "--key student" in refused.value.remedy
    require_weights(read(both, path, key="teacher"), 1)
    require_weights(read({"model": STATE, "model_ema": OTHER}, path, key="model_ema"), 1)
    with pytest.raises(UsageError, match="no weights under 'modle'") as refused:
        read({"model": STATE, "model_ema": OTHER}, path, key="modle")
    assert "'model'" in refused.value.remedy
    with pytest.raises(UsageError, match="the top and 'teacher'"):
        read(STATE | under("teacher.", OTHER), path)
    with pytest.raises(UsageError, match=r"'model_ema'.*'model_swa'"):
        read({"model_ema": STATE, "model_swa": OTHER}, path)


def test_names_left_over_or_missing_are_refused_wherever_they_are(tmp_path: Path) -> None:
    more = {"net": under("module.") | {"module.norm.weight": torch.ones(3)}}
    with pytest.raises(IncompatibleError, match=r"module\.norm\.weight is unknown"):
        read(more, tmp_path / "w.pth")
    averaged = {"model_ema": STATE | {"norm.weight": torch.ones(3)}}
    with pytest.raises(IncompatibleError, match=r"norm\.weight is unknown"):
        read(averaged, tmp_path / "w.pth")
    fewer = {n: value for n, value in STATE.items() if n != "classifier.4.bias"}
    with pytest.raises(IncompatibleError, match=r"fc7\.bias is missing"):
        read({"net": fewer, "epoch": 3}, tmp_path / "w.pth")
    with pytest.raises(DataError, match="no tensors by name"):
        read({"epoch": 3, "args": argparse.Namespace()}, tmp_path / "w.pth")


def test_prefixes_in_safetensors_and_our_own_names_in_a_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "w"
    safetensors.torch.save_file(under("module.model."), path)
    require_weights(read_foreign(path, known=KNOWN))
    ours = {f"_orig_mod.{n}": torch.from_numpy(array) for n, array in parameters_of(SMALL).items()}
    about = {"onetower": SMALL.convention}
    torch.save({"net": ours, "epoch": 2}, path)
    require_weights(read_foreign(path, known=about))


def test_programs_are_named_as_what_they_are(tmp_path: Path) -> None:
    class Small(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + 1

    path = tmp_path / "w.pt"
    torch.jit.save(torch.jit.trace(Small(), torch.ones(1)), path)
    with pytest.raises(DataError, match="TorchScript"):
        read_foreign(path)
    torch.export.save(torch.export.export(Small(), (torch.ones(1),)), path)
    with pytest.raises(AlexNetError, match="program"):
        read_foreign(path)


def test_a_flipped_bit_in_the_weights_is_found(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    torch.save(STATE, path)
    data = bytearray(path.read_bytes())
    place = data.find(STATE["features.0.weight"].numpy().tobytes()[:64])
    data[place + 20] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match="checksum"):
        read_foreign(path, known=KNOWN)
