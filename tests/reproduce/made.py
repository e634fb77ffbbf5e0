"""Cells made up, of arms of real studies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from alexnet.base.provenance import names_hash
from alexnet.reproduce.arms import Arm
from alexnet.reproduce.cells import Address, Cell, packed, what_of

_ERRORS = ("train_top1_error", "val_top1_error")
NUMERICS = {"device": "cpu", "name": "a machine", "threads": 2, "torch": "2.13.0"}


def cell(
    arm: Arm,
    seed: int,
    top1: float = 0.2,
    *,
    scale: str = "small",
    numerics: Mapping[str, Any] = NUMERICS,
    training: Sequence[float] = (0.6, 0.4, 0.3),
    made: Mapping[str, Any] | None = None,
    images: int = 100,
    **more: Any,
) -> Cell:
    """A cell of an arm with this error from ten views, and one point more from one."""
    what = {**what_of(arm), "start": "", "of": []}
    data = {
        "source": arm.data.name, "found": "somewhere", "fingerprint": f"print of {arm.data.name}",
        "classes": 10, "train": arm.data.images, "test": images, "split": arm.data.split,
    }  # fmt: skip
    epochs = list(range(1, len(training) + 1))
    falling = {name: list(training) for name in ("train_loss", "val_loss", *_ERRORS)}
    return Cell(
        address=Address(scale, arm.name, seed, what, data, numerics),
        made={
            "commit": "0" * 40, "machine": numerics["name"], "date": "2026-11-29", "seconds": 60.0,
            "resumed": False, "images_per_second": 1000.0, **(made or {}),
        },
        errors={
            views: {"top1_error": error, "top5_error": error / 4, "loss": 3 * error}
            for views, error in (("1", top1 + 0.01), ("10", top1))
        },
        right={
            views: packed(np.arange(images) >= round(error * images))
            for views, error in (("1", top1 + 0.01), ("10", top1))
        },
        images=names_hash([f"{arm.data.source}/{n}" for n in range(images)]),
        curve={"epoch": epochs, "rate": [0.1] * len(epochs), **falling},
        **more,
    )  # fmt: skip
