"""Networks with few neurons whose outputs differ between photographs, to be taken elsewhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from alexnet.config import StartConfig
from alexnet.conventions import CONVENTIONS, Convention, convention
from alexnet.exchange.check import outputs
from alexnet.models import ModelCard
from alexnet.network import AlexNet

CASES = [
    *((name, "") for name in CONVENTIONS),
    ("paper", "tanh"),
    ("paper", "no norm, no conv4, pool 2/2"),
]
CLASSES = tuple(f"n{k:08}" for k in range(10))
TITLES = ("tench", 'cat: "tabby"', "a|b", *(f"class {k}" for k in range(3, 10)))
_TYPICAL = 60.0  # of a colour less the mean, on the scale 0-255
_NEURONS = 48


def photographs(folder: Path, about: Convention) -> np.ndarray:
    """Six real photographs as a network's input: float32 6 x 3 x crop x crop, 0-255."""
    first = (about.side - about.crop) // 2
    box = (first, first, first + about.crop, first + about.crop)
    images = [
        np.asarray(Image.open(path).resize((about.side, about.side)).crop(box))
        for path in sorted(folder.glob("val/*/4.png"))
    ]
    return np.stack(images).transpose(0, 3, 1, 2).astype(np.float32)


def narrow(name: str, variant: str, photo_folder: Path) -> tuple[AlexNet, ModelCard, np.ndarray]:
    """A network of ten classes with few neurons, its card, and photographs that it tells apart."""
    about = convention(name, len(CLASSES), variant)
    fewer = {"fc6": _NEURONS, "fc7": _NEURONS, "local3": 12, "local4": 8}
    known = {layer.name for layer in about.layers}
    about = about.with_kernels({name: count for name, count in fewer.items() if name in known})
    network = AlexNet(len(CLASSES), about, StartConfig(rule="he", gain=1.2, bias=0.5), seed=7)
    images = photographs(photo_folder, about)
    mean = np.full((about.side, about.side, 3), images.mean(), np.float32)
    mean += np.linspace(-20, 20, about.side, dtype=np.float32)[:, None, None]  # up is not down
    mean += np.array([5, 0, -5], np.float32)
    statistics = {"mean": mean, "deviations": np.array([121.8, 37.1, 19.7], np.float32)}
    card = ModelCard(CLASSES, TITLES, statistics, {"filter": "bicubic"}, {"run": "narrow"})
    first, (last, _) = about.layers[0].name, network.weight_and_bias(about.output.name)
    with torch.no_grad():
        if variant == "tanh":  # whose sums have to be small
            network.weight_and_bias(first)[0].div_(_TYPICAL)
        last.mul_(2 / outputs(network, card, images).logits_NK.std(axis=0).mean())
    return network, card, images
