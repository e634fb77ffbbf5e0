"""The model of a run that has not ended: the weights of its newest whole checkpoint."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from alexnet.base import ranks
from alexnet.base.errors import EnvironmentProblem
from alexnet.models import checkpoint
from alexnet.models.card import ModelCard
from alexnet.models.checkpoint import Checkpoint
from alexnet.models.folder import PLANNED, assembled, read_config, weights_sha256
from alexnet.models.found import FoundModel, no_model_yet
from alexnet.models.weights import Weights
from alexnet.network.alexnet import AlexNet
from alexnet.runs import Run


@dataclass(frozen=True)
class UnfinishedModel(FoundModel):
    """A run's state after `state.step` steps, `epochs` epochs; its folder has no weights yet."""

    state: Checkpoint
    epochs: float

    def config(self) -> dict[str, Any]:
        """What config.json would say."""
        network, card = self.load()
        config = read_config(self.folder, PLANNED)
        config["provenance"] = dict(card.provenance)
        config["weights_sha256"] = weights_sha256(network)
        return config

    def arrays(self) -> Mapping[str, np.ndarray]:
        """The parameters by name."""
        return self.state.arrays

    def begin_reading(self) -> Future[Weights] | None:
        """Nothing: the checkpoint was read to see whether it is whole."""
        return None

    def load(self, reading: Future[Weights] | None = None) -> tuple[AlexNet, ModelCard]:
        """The test network of the checkpoint and its card; raises what `load_model` raises."""
        config = read_config(self.folder, PLANNED)
        config["provenance"] |= {"epochs": self.epochs, "step": self.state.step}
        return assembled(self.folder, config, self.state.arrays, self.folder.parent / "checkpoints")


def newest_of(folder: Path, name: str) -> FoundModel:
    """The newest whole checkpoint of the run in a folder, which is said on stderr.

    Raises UsageError where there is none.
    """
    run = Run(folder)
    try:
        state = checkpoint.newest(run.checkpoints)
    except EnvironmentProblem:
        raise no_model_yet(folder, name) from None
    if not (run.model / PLANNED).is_file():
        raise no_model_yet(folder, name)
    steps = (row for row in run.metrics() if row["kind"] == "step" and row["step"] <= state.step)
    epochs = max((float(row["epoch"]) for row in steps), default=0.0)
    if ranks.is_rank_0():
        learned = "" if state.step else ": nothing is learned there"
        print(
            f"! {folder} has not ended: its checkpoint of epoch {epochs:.2f}, step {state.step:,}, "
            f"is used{learned}",
            file=sys.stderr,
        )
    arrays = {n: one for n, one in state.arrays.items() if not n.startswith("velocity/")}
    weights = Checkpoint(state.step, arrays, state.state)
    return UnfinishedModel(run.model, name, folder / "evaluation", weights, epochs)
