"""A training run in a process of its own: `narrow_run.py FOLDER PREPARED [EPOCHS]`.

Started if the folder holds no run yet, resumed if it does. The paper's eight layers and loop with a
handful of kernels, so that a run takes a second.
"""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from alexnet import runs as store
from alexnet.base import ranks
from alexnet.base.errors import AlexNetError
from alexnet.config import (
    CheckpointConfig,
    Epochs,
    Images,
    OptimizerConfig,
    Plateau,
    RunConfig,
    Steps,
)
from alexnet.conventions import convention
from alexnet.loading.loader import Loader
from alexnet.network import AlexNet
from alexnet.network.traffic import Layout
from alexnet.prepared import PreparedDataset
from alexnet.training.eager import EagerStep
from alexnet.training.mesh import Mesh, Placed
from alexnet.training.step import Step
from alexnet.training.train import train

KERNELS = {"conv1": 8, "conv2": 8, "conv3": 12, "conv4": 12, "conv5": 8, "fc6": 32, "fc7": 32}
BATCH = 8
LESS = 160  # pixels: at a twelfth of them conv1's last windows reach over the edge here too


def config_of(epochs: float, every: int = 3) -> RunConfig:
    return RunConfig(
        optimizer=OptimizerConfig(batch=Images(BATCH)),
        length=Epochs(epochs),
        schedule=Plateau(patience=Epochs(1)),  # the errors below never fall: it drops at epoch 2
        checkpoint=CheckpointConfig(every=Steps(every)),
    )


def narrow(classes: int, name: str = "paper") -> AlexNet:
    about = convention(name)
    return AlexNet(classes, replace(about.with_kernels(KERNELS), crop=about.crop - LESS))


def train_narrow(
    folder: Path,
    prepared: Path,
    config: RunConfig,
    layout: Layout = "fused",
    dtype: torch.dtype = torch.float32,
    stepper: Callable[[Placed, int], Step] = EagerStep,
    name: str = "paper",
) -> None:
    dataset = PreparedDataset.open(prepared)
    resume = ranks.any_of(folder.exists())
    run = store.Run.open(folder) if resume else store.Run.create(folder.name, config, {})
    run.lock()
    split, statistics = dataset.split("train"), dataset.statistics
    batch = config.optimizer.batch.count
    mesh = Mesh(batch, layout)
    network = narrow(len(dataset.classes), name).to(dtype)
    part = (config.seed, "full", mesh.images, network.convention.crop)
    loader = Loader(split, statistics, config.augmentation, batch, *part)
    errors = {"loss": 1.0, "top1_error": 0.5, "top5_error": 0.0}
    placed = Placed(network, config.optimizer, mesh)
    try:
        train(run, config, loader, stepper(placed, config.seed), lambda _: errors, resume)
    finally:
        run.unlock()


if __name__ == "__main__":
    try:
        store.RUNS = Path(sys.argv[1]).parent
        epochs = float(sys.argv[3]) if len(sys.argv) > 3 else 5
        train_narrow(Path(sys.argv[1]), Path(sys.argv[2]), config_of(epochs))
    except AlexNetError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
