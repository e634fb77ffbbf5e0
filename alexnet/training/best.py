"""The weights of the epoch with the lowest validation error, a model folder beside the run's own.

A run's model is that of its last epoch, as in the paper; the best one is kept as `best/`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from alexnet.base import ranks
from alexnet.base.errors import AlexNetError
from alexnet.models import ModelCard, save_model
from alexnet.models.folder import read_config
from alexnet.network.alexnet import AlexNet
from alexnet.runs import Run


class Best:
    """A run's best epoch so far, as its folder has it."""

    def __init__(self, run: Run, network: AlexNet, card: ModelCard) -> None:
        self.folder = run.best
        self._network, self._card = network, card

    def keep_if_best(self, epoch: int, errors: Mapping[str, float]) -> None:
        """Save the weights after `epoch` where no earlier one had so low a top-1 error in validation.

        What is there of this epoch or a later one is of steps that a resumed run does again. Rank 0 has
        the weights, and writes.
        """
        if not ranks.is_rank_0():
            return
        kept, error = self._kept(), errors["top1_error"]
        if kept and kept["epochs"] < epoch and kept["val_top1_error"] <= error:
            return
        found = {"epochs": epoch, "val_top1_error": error}
        card = replace(self._card, provenance={**self._card.provenance, **found})
        save_model(self.folder, self._network, card)

    def in_words(self) -> str:
        """Which epoch it is, and where, for the log; empty where there was no validation."""
        if not (kept := self._kept()):
            return ""
        error = 100 * kept["val_top1_error"]
        return (
            f"best    epoch {kept['epochs']}: validation top-1 error {error:.1f} %: {self.folder}"
        )

    def _kept(self) -> Mapping[str, Any]:
        """What the folder says of itself, empty where it has no whole model of a run's epoch."""
        if not (self.folder / "config.json").is_file():
            return {}
        try:
            found: Mapping[str, Any] = read_config(self.folder)["provenance"]
        except AlexNetError:
            return {}
        return found if {"epochs", "val_top1_error"} <= found.keys() else {}
