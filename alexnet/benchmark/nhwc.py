"""Weights as JAX and TensorFlow lay them out: images N x H x W x C, kernels H x W x I x O."""

from __future__ import annotations

import numpy as np

from alexnet.network import AlexNet
from alexnet.network.table import is_connected

Weights = list[tuple[np.ndarray, np.ndarray]]  # of each layer its weights and its biases


def weights_of(network: AlexNet) -> Weights:
    """Copies of a network's parameters, float32, layer by layer.

    Weights are H x W x I x O in a convolution and I x O in a fully connected layer, where the
    inputs of the first one lie as a map of N x H x W x C is flattened.
    """
    found = []
    for shape in network.shapes:
        weight, bias = (p.detach().numpy() for p in network.weight_and_bias(shape.layer.name))
        if not is_connected(shape.layer):
            weight = weight.transpose(2, 3, 1, 0)
        else:
            maps, height, width = shape.inputs
            weight_OCHW = weight.reshape(-1, maps, height, width)
            weight = weight_OCHW.transpose(2, 3, 1, 0).reshape(maps * height * width, -1)
        found.append((np.array(weight, order="C"), bias.copy()))
    return found
