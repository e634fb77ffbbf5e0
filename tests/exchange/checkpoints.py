"""Checkpoints as cuda-convnet wrote them: its dictionaries, its layout, pickled as it did."""

from __future__ import annotations

import io
import pickle
import sys
import types
from collections.abc import Sequence
from typing import Any

import numpy as np

from alexnet.network import AlexNet
from alexnet.network.table import Shape, is_connected, is_local

Stored = dict[str, Any]


def neuron(name: str) -> Stored:
    """What the program makes of `neuron=relu` or `neuron=tanh[1,1]` in a net's description."""
    params = {"a": 1.0, "b": 1.0} if name == "tanh" else {}
    return {"type": name, "params": params, "usesActs": True, "usesInputs": False}


def matrix(weight: np.ndarray, maps: slice = slice(None)) -> np.ndarray:
    """A layer's weights over some of its input maps as that program has them, written out in loops."""
    if weight.ndim == 2:  # kernels x inputs
        return np.asfortranarray(weight[:, maps].T)
    K, C, S = weight.shape[0], range(weight.shape[1])[maps], weight.shape[2]
    if weight.ndim == 4:
        rows = [weight[:, c, y, x] for c in C for y in range(S) for x in range(S)]
        return np.array(rows, np.float32).reshape(-1, K)
    Y, X = weight.shape[4:]
    rows = [
        weight[:, c, y, x, down, right]
        for down in range(Y)
        for right in range(X)
        for c in C
        for y in range(S)
        for x in range(S)
    ]
    return np.array(rows, np.float32).reshape(-1, K)


FOLLOWERS: dict[str, Stored] = {
    "pool": {"type": "pool", "pool": "max", "sizeX": 3, "stride": 2, "start": 0},
    "norm": {
        "type": "cmrnorm",
        "size": 5,
        "scale": 2e-5,
        "pow": 0.75,
        "minDiv": 2.0,
        "blocked": False,
    },
    "norm within": {"type": "rnorm", "size": 5, "scale": 4e-5, "pow": 0.75, "blocked": False},
    "relu": {"type": "neuron", "neuron": neuron("relu")},
    "tanh": {"type": "neuron", "neuron": neuron("tanh")},
    "dropout": {"type": "dropout2", "keep": 0.5, "enable": True},
}


def one_column(net: AlexNet, fields: Sequence[str] = ("cmrnorm", "rnorm")) -> list[Stored]:
    """Layers of a net in one column, with inputs by number."""
    across, within = fields
    layers: list[Stored] = [
        {"name": "data", "type": "data", "dataIdx": 0},
        {"name": "labels", "type": "data", "dataIdx": 1},
    ]
    before, about = 0, net.convention
    for row in net.shapes:
        layers.append(_weighted(net, row, row.layer.name, [before], slice(None), [slice(None)]))
        for follower in row.layer.followed_by:
            before = len(layers) - 1
            here: Stored = {"name": f"{follower}{len(layers)}", "inputs": [before]}
            if follower in ("pool", "average pool"):
                kind = "avg" if follower == "average pool" else "max"
                here |= {"type": "pool", "pool": kind, "sizeX": 3, "stride": 2, "start": 0}
            elif follower == "norm":
                here |= {"type": across, "size": about.norm.n, "scale": about.norm.alpha,
                         "pow": about.norm.beta, "minDiv": about.norm.k, "crossMap": 1}  # fmt: skip
            elif follower == "norm within":
                here |= {"type": within, "size": about.within.n, "scale": about.within.alpha}
            elif follower in ("relu", "tanh"):
                here |= {"type": "neuron", "neuron": neuron(follower)}
            else:
                here |= {"type": "softmax"}
            layers.append(here)
        before = len(layers) - 1
    layers.append({"name": "logprob", "type": "cost.logreg", "inputs": [1, before]})
    return layers


def two_columns(net: AlexNet, swapped: bool = False) -> dict[str, Stored]:
    """Layers of `original2012` by name, in no useful order, with inputs by name.

    `swapped`: where a layer reads both columns, the second is its first input.
    """
    layers: dict[str, Stored] = {"data": {"name": "data", "type": "data"}}
    before = ["data"]
    for row in net.shapes:
        halves = "ab" if row.layer.followed_by != ("softmax",) else [""]
        K = row.layer.kernels // len(halves)
        after = []
        for n, half in enumerate(halves):
            name = f"{row.layer.name}{half}"
            apart = row.layer.sees == "own column" and len(before) > 1
            inputs = before[n : n + 1] if apart else list(before)
            seen = row.inputs_seen // len(inputs)
            maps = [slice(i * seen, (i + 1) * seen) for i in range(len(inputs))]
            if swapped:
                inputs, maps = inputs[::-1], maps[::-1]
            layers[name] = _weighted(net, row, name, inputs, slice(n * K, (n + 1) * K), maps)
            for follower in row.layer.followed_by:
                if follower != "softmax":
                    under, name = name, f"{follower.replace(' ', '')}{row.layer.name}{half}"
                    layers[name] = {"name": name, "inputs": [under], **FOLLOWERS[follower]}
            after.append(name)
        before = after
    layers["probs"] = {"name": "probs", "type": "softmax", "inputs": before}
    return dict(sorted(layers.items(), key=lambda item: item[0][::-1]))


def _weighted(
    net: AlexNet, row: Shape, name: str, inputs: Sequence[Any], rows: slice, maps: Sequence[slice]
) -> Stored:
    weight, bias = (value.detach().numpy() for value in net.weight_and_bias(row.layer.name))
    places = row.outputs[1] * row.outputs[2] if is_local(row.layer) else 1
    biases = bias.reshape(-1, places)[rows]
    kind = "fc" if is_connected(row.layer) else "local" if is_local(row.layer) else "conv"
    matrices = [matrix(weight[rows], one) for one in maps]
    return {
        "name": name,
        "type": kind,
        "inputs": list(inputs),
        "weights": matrices,
        "weightsInc": [np.zeros_like(one) for one in matrices],
        "biases": biases.reshape((1, -1) if kind == "fc" else (-1, 1)).copy(),
        "stride": [row.layer.stride],
        "padding": [-row.layer.padding[0]],
        "filterSize": [row.layer.size],
    }


def checkpoint(layers: Any, protocol: int = 2) -> bytes:
    """The pickle of a checkpoint, with an object of a module that is gone when it is read."""
    module = types.ModuleType("options")

    class OptionsParser:
        def __init__(self) -> None:
            self.options = {"gpu": [0], "value": (1, 2.5, None, True)}

    OptionsParser.__module__, OptionsParser.__qualname__ = "options", "OptionsParser"
    module.OptionsParser = OptionsParser  # type: ignore[attr-defined]
    sys.modules["options"] = module
    try:
        log = [([{"logprob": [1.5, 0.5]}, 128], np.float32(0.5)) for _ in range(50)]
        state = {"layers": layers, "epoch": 93, "train_outputs": log}
        file = io.BytesIO()
        pickle.dump({"model_state": state, "op": OptionsParser()}, file, protocol)
        return file.getvalue()
    finally:
        del sys.modules["options"]
