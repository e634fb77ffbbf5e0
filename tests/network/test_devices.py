"""Which device `auto` takes."""

from __future__ import annotations

import pytest
import torch

from alexnet.base import ranks
from alexnet.base.errors import EnvironmentProblem
from alexnet.network import devices


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
