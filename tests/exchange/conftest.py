"""Networks with few kernels, whose weights carry a signal, and real images for them to read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torture.narrow_run import KERNELS

from alexnet.config import StartConfig
from alexnet.conventions import CONVENTIONS, Convention
from alexnet.models import ModelCard
from alexnet.network import AlexNet

CLASSES = 20
NARROW = {**KERNELS, "fc6": 10, "fc7": 10, "local3": 6, "local4": 4}


def narrow(name: str, **kernels: int) -> Convention:
    """A convention with a handful of kernels in each layer, or those given."""
    about = CONVENTIONS[name]
    wanted = kernels or NARROW
    return about.with_kernels(
        {row.name: wanted[row.name] for row in about.layers if row.name in wanted}
    )


def network_of(about: Convention, gain: float = 0.7, classes: int = CLASSES) -> AlexNet:
    """A test network: weights carry a signal from the images to the outputs, no two biases are one."""
    net = AlexNet(classes, about, StartConfig(rule="he", gain=gain), seed=5)
    draw = torch.Generator().manual_seed(6)
    with torch.no_grad():
        for name, value in net.named_parameters():
            if name.endswith("bias"):
                value.copy_(0.1 * torch.randn(value.shape, generator=draw))
    return net.eval()


def card_of(classes: int = CLASSES, side: int = 256) -> ModelCard:
    """Names of classes, and a mean image that is another at every pixel and in every colour."""
    names = tuple(f"n{n:08d}" for n in range(classes))
    mean = np.random.default_rng(7).uniform(90, 130, (side, side, 3)).astype(np.float32)
    return ModelCard(names, tuple(f"title {name}" for name in names), {"mean": mean})


@pytest.fixture(scope="session")
def pixels(photo_folder: Path) -> Callable[[int], np.ndarray]:
    """Six photographs, float32 N x H x W x 3 on the scale 0-255, of any size."""
    paths = sorted(photo_folder.glob("val/*/4.png"))

    def scaled(side: int) -> np.ndarray:
        images = [Image.open(path).resize((side, side)) for path in paths]
        return np.stack([np.asarray(image, np.float32) for image in images])

    return scaled


def probabilities(net: AlexNet, x_NHWC: np.ndarray) -> np.ndarray:
    """What the network says of images less their mean."""
    x_NCHW = torch.from_numpy(x_NHWC).permute(0, 3, 1, 2)
    with torch.no_grad():
        return torch.softmax(net(x_NCHW), 1).numpy()
