"""Numbers that are not finite, put where they hurt: stopped before the update, and named."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torture.conftest import Figure
from torture.narrow_run import BATCH, config_of, narrow

from alexnet.base.errors import DataError, NumericsError
from alexnet.loading.loader import Batch, Loader
from alexnet.models import checkpoint
from alexnet.network import AlexNet
from alexnet.prepared import PreparedDataset
from alexnet.runs import Run
from alexnet.training import train as training
from alexnet.training.eager import EagerStep
from alexnet.training.mesh import Placed

ERRORS = {"loss": 1.0, "top1_error": 0.5, "top5_error": 0.0}
AT = 4  # the step before whose update it happens
BAD = [float("nan"), float("inf"), float("-inf"), 3e38]


class Sabotaged(Loader):
    """A loader during whose batch `AT` something happens."""

    def __init__(
        self, dataset: PreparedDataset, batch: int = BATCH, crop: int = narrow(2).convention.crop
    ) -> None:
        config = config_of(5)
        split, statistics = dataset.split("train"), dataset.statistics
        super().__init__(split, statistics, config.augmentation, batch, config.seed, crop=crop)
        self.happens = lambda batch: None

    def batches(self, first: int, last: int) -> Iterator[Batch]:
        for step in range(first, last):
            yield self.make(step)

    def make(self, step: int) -> Batch:
        batch = super().make(step)
        if step == AT:
            self.happens(batch)
        return batch


SGD = config_of(1).optimizer


def all_bits(network: AlexNet, step: EagerStep) -> dict[str, bytes]:
    named = dict(network.named_parameters())
    return {name: w.detach().numpy().tobytes() for name, w in named.items()} | {
        f"velocity/{name}": step.placed.optimizer.velocity(w).numpy().tobytes()
        for name, w in named.items()
    }


@pytest.mark.parametrize("place", ["image", "weight", "gradient", "velocity"])
@pytest.mark.parametrize("layers", [1, pytest.param(4, marks=pytest.mark.slow)])
def test_bad_numbers_stop_before_the_update_and_are_named(
    prepared: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    figure: Figure,
    place: str,
    layers: int,
) -> None:
    monkeypatch.chdir(tmp_path)
    made: list[EagerStep] = []
    values = BAD[:3] if place == "image" else BAD  # normalization takes 3e38 for very bright
    names = ["conv4.bias", "conv1.weight", "fc6.weight", "fc8.bias"][:layers]
    for name, bad in itertools.product(names, values):
        loader, network = Sabotaged(PreparedDataset.open(prepared)), narrow(4)
        run = Run.create(f"{name}-{bad}", config_of(5), {})
        w, before = network.get_parameter(name), dict[str, bytes]()
        made.append(EagerStep(Placed(network, SGD), 0))

        def happen(batch: Batch, w=w, bad=bad, before=before, network=network) -> None:  # type: ignore[no-untyped-def]
            if place == "image":
                batch.x_BHWC[2, 40, 40, 1] = bad
            elif before:
                return
            elif place == "weight":
                w.data.view(-1)[0] = bad
            elif place == "velocity":
                made[-1].placed.optimizer.velocity(w).view(-1)[-1] = bad
            else:
                w.register_hook(lambda g: g.index_fill(0, torch.tensor([0]), bad))
            before.update(all_bits(network, made[-1]))

        loader.happens = happen
        with pytest.raises(NumericsError) as error:
            training.train(run, config_of(5), loader, made[-1], lambda _: ERRORS)
        case, what, keys = f"{name}, {bad}", error.value.what, loader.keys(loader.make(AT))
        assert f"at step {AT + 1}" in what, f"{case}: {what}"
        assert all_bits(network, made[-1]) == before, f"{case}: nothing was updated"
        if place == "image":
            assert error.value.where == f"images {keys[2]}" and "the images" in what, what
        else:
            assert f"{place.replace('weight', 'weights')} of {name}" in what, f"{case}: {what}"
            assert keys[0] in error.value.where
        assert len([row for row in run.metrics() if row["kind"] == "step"]) == AT
        assert checkpoint.newest(run.checkpoints).step == 3, f"{case}: nothing of it is saved"
    figure(f"NaN and infinities in a {place}: stopped before the update, named, nothing saved",
           len(names) * len(values))  # fmt: skip


@pytest.mark.parametrize("bad", BAD[:3])
def test_bad_numbers_are_neither_saved_nor_loaded(tmp_path: Path, bad: float) -> None:
    arrays = {"conv1.weight": np.ones((3, 3), np.float32), "velocity/conv1.weight": np.ones(9)}
    for name, step in zip(arrays, itertools.count(1), strict=False):
        checkpoint.save(tmp_path, checkpoint.Checkpoint(step, arrays, {}), keep=2)
        spoiled = {**arrays, name: arrays[name].copy()}
        spoiled[name].flat[1] = bad
        with pytest.raises(NumericsError, match=f"1 of the 9 numbers of {name}"):
            checkpoint.save(tmp_path, checkpoint.Checkpoint(step + 1, spoiled, {}), keep=2)
        assert checkpoint.newest(tmp_path).step == step


def test_images_unlike_the_statistics_are_refused(prepared: Path) -> None:
    """What another program's habits would give: 0 to 1 for 0 to 255, no mean, twice the mean."""
    dataset = PreparedDataset.open(prepared)
    loader = Sabotaged(dataset, batch=32, crop=224)
    batch = loader.make(0)
    loader.require_likeness(batch)
    mean = dataset.statistics.mean_HWC[16:240, 16:240]
    wrong = {
        "0 to 1": (batch.x_BHWC + mean) / 255 - mean,
        "no mean": batch.x_BHWC + mean,
        "the mean twice": batch.x_BHWC - mean,
        "0 to 1, less the mean": batch.x_BHWC / 255,
    }
    for name, x_BHWC in wrong.items():
        made = Batch(0, x_BHWC, batch.labels_B, batch.epochs_B, batch.indices_B)
        with pytest.raises(DataError, match="not like the set's statistics"):
            loader.require_likeness(made)
            pytest.fail(name)
