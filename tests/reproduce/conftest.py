"""A study of three arms that takes seconds: a few kernels, a few images made by arithmetic."""

from __future__ import annotations

from dataclasses import replace

import pytest

from alexnet.reproduce.arms import Arm, Data, by_name
from alexnet.reproduce.experiments import Comparison, Experiment, Study

DATA = Data("synthetic:60x4", 24, 9, 4, train=6, held_out=2)
START = ("network.start.rule=he", "network.start.gain=0.3", "optimizer.batch=8", "length=2")
BASE = Arm("cifar", "cifar13", DATA, START, "width 0.1")


def study_of(*arms: Arm) -> Study:
    comparison = Comparison("response-normalization-cifar", "cifar", "cifar-pool-2")
    experiment = Experiment("pooling", "Pooling", "Nothing.", (comparison,), seeds=2)
    return Study("smoke", by_name(list(arms)), (experiment,), {}, "Nothing.")


@pytest.fixture
def study() -> Study:
    return study_of(
        BASE,
        BASE.varied("pool-2", "pool 2/2"),
        replace(BASE, name="cifar-two", of="cifar", members=2),
        replace(BASE, name="tuned", start="cifar"),
    )
