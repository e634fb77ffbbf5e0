"""Which device `auto` takes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from alexnet.base import ranks
from alexnet.base.errors import EnvironmentProblem
from alexnet.network import devices
from alexnet.network.memory import memory_for


@pytest.mark.parametrize(
    ("gpus", "processes", "chosen"), [(0, 1, "cpu"), (1, 1, "cuda"), (1, 2, "cpu"), (2, 2, "cuda")]
)
def test_auto_takes_a_gpu_where_there_is_one_for_each_process(
    monkeypatch: pytest.MonkeyPatch, gpus: int, processes: int, chosen: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(ranks, "local_world", lambda: processes)
    asked: list[str] = []
    monkeypatch.setattr(devices, "require_device", asked.append)
    assert devices.choose_device("auto") == chosen
    assert devices.choose_device("cuda:1") == "cuda:1", "what is named is taken"
    assert asked == [chosen, "cuda:1"]


def test_a_device_that_is_not_there_is_named() -> None:
    with pytest.raises(EnvironmentProblem, match="'cuda:99'") as refused:
        devices.choose_device("cuda:99")
    assert "--device cpu" in refused.value.remedy
    assert devices.describe_device("cpu") == "cpu"


@pytest.mark.parametrize("name", ["xla", "gpu", "meta", "hpu", "0", "vulkan"])
def test_what_pytorch_says_of_its_insides_is_left_out(name: str) -> None:
    """It has up to seven thousand characters, and fails in many ways."""
    with pytest.raises(EnvironmentProblem) as refused:
        devices.choose_device(name)
    lines = str(refused.value).splitlines()
    assert len(lines) == 3 and max(map(len, lines)) < 160
    assert repr(name) in lines[0] and "cpu" in lines[1]


def test_memory_that_is_not_there_is_told_with_the_remedy() -> None:
    for ask in (lambda: torch.empty(2**55), lambda: np.empty(2**55)):
        with (
            pytest.raises(EnvironmentProblem, match="not enough memory for it") as refused,
            memory_for("it", "Take less."),
        ):
            ask()
        assert refused.value.remedy == "Take less."
    with pytest.raises(RuntimeError, match="shape"), memory_for("it", "Take less."):
        torch.ones(2) @ torch.ones(3, 4)  # another error stays what it is
