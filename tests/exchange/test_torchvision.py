"""torchvision's alexnet, composed from PyTorch's own modules as torchvision documents it, and ours."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from exchange.conftest import narrow, network_of
from torch import nn

from alexnet.base.errors import DataError, IncompatibleError
from alexnet.conventions import CONVENTIONS, TORCHVISION_MEANS
from alexnet.exchange import read_foreign, torchvision
from alexnet.models.arrays import parameters_of
from alexnet.network import AlexNet

DEVIATIONS = (0.229, 0.224, 0.225)


class Theirs(nn.Module):
    """The modules of torchvision's alexnet, with these widths."""

    def __init__(self, C: list[int], U: list[int], classes: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *(nn.Conv2d(3, C[0], 11, stride=4, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)),
            *(nn.Conv2d(C[0], C[1], 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)),
            *(nn.Conv2d(C[1], C[2], 3, padding=1), nn.ReLU()),
            *(nn.Conv2d(C[2], C[3], 3, padding=1), nn.ReLU()),
            *(nn.Conv2d(C[3], C[4], 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2)),
        )
        self.avgpool = nn.AdaptiveAvgPool2d((6, 6))
        self.classifier = nn.Sequential(
            *(nn.Dropout(), nn.Linear(C[4] * 36, U[0]), nn.ReLU()),
            *(nn.Dropout(), nn.Linear(U[0], U[1]), nn.ReLU(), nn.Linear(U[1], classes)),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.avgpool(self.features(x)).flatten(1))  # type: ignore[no-any-return]


def theirs_of(net: AlexNet) -> Theirs:
    """Their network with our weights, by `to_torchvision`."""
    kernels = [row.kernels for row in net.layers]
    theirs = Theirs(kernels[:5], kernels[5:7], kernels[7])
    named = torchvision.to_torchvision(parameters_of(net))
    theirs.load_state_dict({name: torch.from_numpy(array) for name, array in named.items()})
    return theirs.eval()


def test_full_size_outputs_are_theirs(tmp_path: Path, pixels: Callable[[int], np.ndarray]) -> None:
    net = network_of(narrow("onetower", fc6=64, fc7=48), 0.8)
    theirs = theirs_of(net)
    torch.save(theirs.state_dict(), tmp_path / "alexnet.pth")
    known = {**CONVENTIONS, "onetower": net.convention}
    found = read_foreign(tmp_path / "alexnet.pth", known=known)
    x_NHWC = pixels(224)
    mean, deviation = np.float32(TORCHVISION_MEANS), np.float32(DEVIATIONS)
    as_theirs = torch.from_numpy((x_NHWC / 255 - mean) / deviation).permute(0, 3, 1, 2)
    as_ours = torch.from_numpy(x_NHWC - found.statistics["mean"][:224, :224]).permute(0, 3, 1, 2)
    with torch.no_grad():
        expected, ours = theirs(as_theirs), found.network()(as_ours)
    assert expected.std(0).max() > 0.05
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-4)


def test_the_full_network_has_61_100_840_parameters() -> None:
    with torch.device("meta"):
        theirs = Theirs([64, 192, 384, 256, 256], [4096, 4096], 1000)
    names = {name: tuple(value.shape) for name, value in theirs.named_parameters()}
    assert sum(value.numel() for value in theirs.parameters()) == 61_100_840
    from alexnet.models.arrays import parameter_shapes

    ours = parameter_shapes(CONVENTIONS["onetower"])
    assert {theirs: ours[mine] for mine, theirs in torchvision.names().items()} == names


SMALL = network_of(narrow("onetower"), classes=7)
KNOWN = {**CONVENTIONS, "onetower": SMALL.convention}


def stored(how: str, path: Path) -> None:
    state: dict[str, Any] = dict(theirs_of(SMALL).state_dict())
    match how:
        case "checkpoint":
            parts = {f"module.{name}": value for name, value in state.items()}
            torch.save({"model": parts, "epoch": 89, "lr": 0.1, "optimizer": {"state": {}}}, path)
        case "state_dict":
            torch.save({"state_dict": state, "epoch": 89}, path)
        case "old format":
            torch.save(state, path, _use_new_zipfile_serialization=False)
        case "float16" | "float64" | "bfloat16":
            torch.save({n: value.to(getattr(torch, how)) for n, value in state.items()}, path)
        case "parameters":
            torch.save({name: nn.Parameter(value) for name, value in state.items()}, path)
        case "safetensors":
            safetensors.torch.save_file(state, path)
        case "bfloat16 in safetensors":
            safetensors.torch.save_file({n: v.bfloat16() for n, v in state.items()}, path)
        case "transposed":
            state["classifier.1.weight"] = state["classifier.1.weight"].T.contiguous().T
            torch.save(state, path)


@pytest.mark.parametrize("how", ["checkpoint", "state_dict", "old format", "float16", "float64",
                                 "bfloat16", "parameters", "safetensors",
                                 "bfloat16 in safetensors", "transposed"])  # fmt: skip
def test_every_way_of_saving_is_read(how: str, tmp_path: Path) -> None:
    path = tmp_path / "w.pth"  # what kind it is says its beginning, not its name
    stored(how, path)
    found = read_foreign(path, known=KNOWN)
    assert found.convention == SMALL.convention and len(found.classes) == 7
    for name, array in parameters_of(SMALL).items():
        assert found.arrays[name].dtype == np.float32
        if how.partition(" ")[0] in ("float16", "bfloat16"):
            kind = getattr(torch, how.partition(" ")[0])
            array = torch.from_numpy(array).to(kind).float().numpy()
        np.testing.assert_array_equal(found.arrays[name], array)
    assert any("converted to float32" in note for note in found.notes) == ("float" in how)


def _wrong() -> dict[str, tuple[Any, type[Exception], str]]:
    state = dict(theirs_of(SMALL).state_dict())
    without = {name: value for name, value in state.items() if name != "features.8.bias"}
    key = "classifier.4.weight"
    huge = torch.empty(1).as_strided((10, 10**9), (0, 0))
    return {
        "missing": (without, IncompatibleError, "conv4.bias is missing"),
        "unknown": (state | {"features.12.weight": state[key]}, IncompatibleError,
                    "features.12.weight is unknown"),
        "shape": (state | {key: state[key][:3]}, IncompatibleError,
                  "fc7.weight is 3 x 10, not 10 x 10"),
        "whole numbers": (state | {key: state[key].int()}, DataError, "of torch.int32"),
        "sparse": (state | {key: state[key].to_sparse()}, DataError, "no plain tensor"),
        "text": (state | {key: "text"}, DataError, "no plain tensor"),
        "not finite": (state | {key: state[key] * torch.inf}, DataError, "not finite"),
        "strides of 0": (state | {key: huge}, DataError, "larger than what is stored"),
        "a list": ([1, 2], DataError, "no tensors by name"),
        "a module": (theirs_of(SMALL), DataError, "an object, .*Theirs, which is not built"),
        "nothing": ({}, IncompatibleError, "conv1.weight is missing"),
    }  # fmt: skip


@pytest.mark.parametrize("name", _wrong())
def test_what_does_not_fit_is_refused(name: str, tmp_path: Path) -> None:
    value, kind, message = _wrong()[name]
    torch.save(value, tmp_path / "w.pth")
    with pytest.raises(kind, match=message) as refused:
        read_foreign(tmp_path / "w.pth", known=KNOWN)
    assert "weights_only" not in str(refused.value) and "w.pth" in str(refused.value)


def test_cut_anywhere_it_is_refused(tmp_path: Path) -> None:
    stored("checkpoint", tmp_path / "w.pth")
    data = (tmp_path / "w.pth").read_bytes()
    for size in range(0, len(data), len(data) // 20):
        (tmp_path / "cut.pth").write_bytes(data[:size])
        with pytest.raises((DataError, IncompatibleError)):
            read_foreign(tmp_path / "cut.pth", known=KNOWN)
