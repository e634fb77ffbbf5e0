"""A model that was found: where it is, and its weights and card when they are asked for."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

from alexnet.base.errors import UsageError
from alexnet.models.weights import Weights, begin_reading

if TYPE_CHECKING:
    import numpy as np

    from alexnet.models.card import ModelCard
    from alexnet.network.alexnet import AlexNet

WEIGHTS = "model.safetensors"


@dataclass(frozen=True)
class FoundModel:
    """A model folder, what to call it, and where its predictions belong."""

    folder: Path
    name: str
    evaluation: Path

    def config(self) -> dict[str, Any]:
        """The model's config.json; raises what `read_config` raises."""
        from alexnet.models.folder import read_config

        return read_config(self.folder)

    def arrays(self) -> Mapping[str, np.ndarray]:
        """The parameters by name, whatever is beside them; raises DataError for damaged files."""
        from alexnet.models.arrays import read_arrays

        return read_arrays(self.folder / WEIGHTS)

    def begin_reading(self) -> Future[Weights] | None:
        """Read the weights in a thread of its own, for `load`."""
        return begin_reading(self.folder / WEIGHTS)

    def load(self, reading: Future[Weights] | None = None) -> tuple[AlexNet, ModelCard]:
        """The test network and its card; raises what `load_model` raises."""
        from alexnet.models.folder import load_model

        return load_model(self.folder, reading)


def no_model_yet(run: Path, name: str) -> UsageError:
    """What is said of a run that has no model, and where one is needed."""
    return UsageError(
        "This run has no model yet: it is written when training ends.",
        where=run,
        remedy=f"Let it finish: alexnet resume {quote(name)}",
    )
