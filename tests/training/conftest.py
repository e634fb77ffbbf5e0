"""A run small enough to be repeated: real images, the real loop, few kernels."""

from __future__ import annotations

from pathlib import Path

import pytest

from alexnet.loading.loader import Loader
from alexnet.prepared import PreparedDataset, prepare
from alexnet.sources import open_source
from alexnet.training.step import Step, StepResult


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("set") / "prepared"
    dataset: PreparedDataset = prepare(open_source("synthetic:48x4", validation_share=0.25), folder)
    return dataset.folder


def taken(step: Step, loader: Loader, steps: range, rate: float) -> list[StepResult]:
    """Steps on the loader's batches, to the end."""
    outcomes = []
    for batch in step.loader(loader).batches(steps[0], steps[-1] + 1):
        outcomes += step.take(batch, rate)
    return outcomes + step.finish()
