"""A training run in a process of its own: `narrow_run.py FOLDER PREPARED new|resume`.

The paper's eight layers and loop with a handful of kernels, so that a run takes seconds.
"""

import sys
from pathlib import Path

from alexnet import paper
from alexnet.config import (
    CheckpointConfig,
    Epochs,
    Images,
    OptimizerConfig,
    Plateau,
    RunConfig,
    Steps,
)
from alexnet.errors import AlexNetError
from alexnet.loading.loader import Loader
from alexnet.network import AlexNet
from alexnet.prepared import PreparedDataset
from alexnet.training import run as store
from alexnet.training.train import train

KERNELS = {"conv1": 8, "conv2": 8, "conv3": 12, "conv4": 12, "conv5": 8, "fc6": 32, "fc7": 32}


def main(folder: Path, prepared: Path, how: str) -> None:
    config = RunConfig(
        optimizer=OptimizerConfig(batch=Images(8)),
        length=Epochs(5),
        schedule=Plateau(patience=Epochs(1)),  # the errors below never fall: it drops at epoch 2
        checkpoint=CheckpointConfig(every=Steps(3)),
    )
    dataset = PreparedDataset.open(prepared)
    layers = tuple(
        layer._replace(kernels=KERNELS.get(layer.name, layer.kernels)) for layer in paper.LAYERS
    )
    network = AlexNet(len(dataset.classes), layers)
    store.RUNS = folder.parent
    run = store.Run(folder) if how == "resume" else store.Run.create(folder.name, config, {})
    run.lock()
    loader = Loader(dataset.split("train"), dataset.statistics, config.augmentation, 8, config.seed)
    errors = {"loss": 1.0, "top1_error": 0.5, "top5_error": 0.0}
    train(run, config, loader, network, lambda _: errors, resume=how == "resume")


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
    except AlexNetError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
