"""How fast a machine trains a network: steps timed on noise, without the loading of images."""

from __future__ import annotations

import time

import numpy as np
import torch

from alexnet.config import RunConfig
from alexnet.loading.loader import Batch
from alexnet.network.alexnet import AlexNet
from alexnet.network.memory import keep_memory
from alexnet.network.precision import dtype_of
from alexnet.training.eager import EagerStep
from alexnet.training.mesh import Mesh, Placed
from alexnet.training.placement import Placement

_DEVIATION = 60.0  # about that of a pixel less the mean


def images_per_second(
    config: RunConfig, classes: int, placement: Placement, warm: int = 3, timed: int = 5
) -> float:
    """Images per second of whole training steps of `config`, one process, the mean of `timed` steps."""
    keep_memory()
    count, about = config.optimizer.batch.count, config.network.of(classes)
    network = AlexNet(classes, about, config.network.start, config.seed)
    network.to(placement.device, dtype_of(placement.precision))
    stepper = EagerStep(
        Placed(network, config.optimizer, Mesh(count, "fused", placement.device)), 0
    )
    draw = np.random.default_rng(0)
    x_BHWC = draw.normal(0, _DEVIATION, (count, about.crop, about.crop, 3)).astype(np.float32)
    labels_B, indices_B = draw.integers(0, classes, count), np.arange(count)
    begun = 0.0
    for step in range(warm + timed):
        if step == warm:
            begun = time.perf_counter()
        stepper.take(Batch(step, x_BHWC, labels_B, indices_B * 0, indices_B), 1e-6)
    if "cuda" in placement.device:
        torch.cuda.synchronize(placement.device)
    return timed * count / (time.perf_counter() - begun)
