"""A trained network as a model for Brain-Score (brainscore_vision): a plugin's `model.py`.

It follows Brain-Score's documented interface and has not been run against it; the parts that need no
Brain-Score, `preprocess` and `activations_of`, are tested. To use it, copy this file to
`brainscore_vision/models/NAME/model.py`, name the model folder in MODEL, and in the `__init__.py`
beside it say

    from brainscore_vision import model_registry
    from .model import IDENTIFIER, get_commitment

    model_registry[IDENTIFIER] = get_commitment

Activations are read by their names, of which `conv3` is after the ReLU; a hook of Brain-Score's own
wrapper on the module `conv3` would see the values before it. Tasks with ImageNet's labels need a model of
those 1000 classes, in their order.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from alexnet.evaluation import Classifier, load
from alexnet.loading.crops import cut_views
from alexnet.loading.files import pixels_of
from alexnet.models.activations import named_activations

MODEL = "runs/paper"
IDENTIFIER = "alexnet-2012"  # results are kept by this name: another model needs another one
LAYERS = ["pool1", "pool2", "conv3", "conv4", "pool5", "fc6", "fc7"]
# What is committed to; without it Brain-Score finds the best layer for each area by itself.
REGIONS = {"V1": "pool1", "V2": "pool2", "V4": "conv3", "IT": "pool5"}
VISUAL_DEGREES = 8  # of the visual field, that the image is taken to cover


def preprocess(model: Classifier, files: Sequence[str | Path]) -> np.ndarray:
    """Image files as the network reads them: float32, N x 3 x 224 x 224.

    As in training: the shorter side scaled to 256, the central 256 x 256, the mean image of the model
    folder subtracted, and of that the central 224 x 224.
    """
    about, mean_HWC = model.network.convention, model.card.mean_HWC
    views = [cut_views(pixels_of(file, about.side), mean_HWC, 1, about.crop) for file in files]
    return np.concatenate(views).transpose(0, 3, 1, 2)


def activations_of(
    model: Classifier, images: Sequence[np.ndarray | torch.Tensor], layers: Sequence[str]
) -> OrderedDict[str, np.ndarray]:
    """Activations of preprocessed images by the names of layers; `logits` are those of fc8."""
    x_NCHW = torch.stack([torch.as_tensor(np.ascontiguousarray(image)) for image in images])
    names = ["fc8" if layer == "logits" else layer for layer in layers]
    found = named_activations(model.network, x_NCHW, names)
    return OrderedDict((layer, found[name]) for layer, name in zip(layers, names, strict=True))


def get_model() -> Any:
    """The network in Brain-Score's wrapper for PyTorch, its activations read by name."""
    from brainscore_vision.model_helpers.activations.pytorch import PytorchWrapper

    model = load(MODEL)

    class Wrapper(PytorchWrapper):  # type: ignore[misc]
        def get_activations(
            self, images: Sequence[Any], layer_names: Sequence[str]
        ) -> OrderedDict[str, np.ndarray]:
            return activations_of(model, images, layer_names)

    wrapper = Wrapper(
        model=model.network,
        preprocessing=lambda files: preprocess(model, files),
        identifier=IDENTIFIER,
    )
    wrapper.image_size = model.network.convention.crop
    return wrapper


def get_commitment() -> Any:
    """The model with its layers and the areas they stand for."""
    from brainscore_vision.model_helpers.brain_transformation import ModelCommitment

    return ModelCommitment(
        identifier=IDENTIFIER,
        activations_model=get_model(),
        layers=LAYERS,
        behavioral_readout_layer="fc7",
        region_layer_map=REGIONS,
        visual_degrees=VISUAL_DEGREES,
    )
