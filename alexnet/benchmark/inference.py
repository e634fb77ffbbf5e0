"""The test network's forward pass on the same made-up batch, in float32 on all cores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from alexnet.benchmark.ceilings import products
from alexnet.benchmark.duel import Contest, Contestant, Step
from alexnet.benchmark.made_up import made_up
from alexnet.benchmark.pytorch_network import pytorch_alexnet
from alexnet.network import AlexNet, keep_memory
from alexnet.network.table import inference_flops


def contests(peers: Sequence[str], batch: int) -> list[Contest]:
    """This package beside `peers`; the ceiling is the network's products at the machine's rate."""
    makers = {"alexnet": alexnet, **{name: _PEERS[name] for name in peers}}
    return [
        Contest(
            f"inference, batch {batch}",
            [Contestant(name, partial(make, batch), batch) for name, make in makers.items()],
            products(inference_flops()),
            f"float32 matrix products, {inference_flops() / 1e9:.3f} GFLOP an image",
        )
    ]


def alexnet(batch: int) -> Step:
    """This package's test network, channels-last as its loader hands images on."""
    keep_memory()
    x_NCHW = made_up(batch)[0].contiguous(memory_format=torch.channels_last)
    return torch.inference_mode()(partial(AlexNet(), x_NCHW))


def pytorch(batch: int) -> Step:
    """PyTorch's own modules in evaluation mode."""
    return _pytorch_step(pytorch_alexnet().eval(), batch)


def compiled(batch: int) -> Step:
    """PyTorch's network through its compiler."""
    return _pytorch_step(torch.compile(pytorch_alexnet().eval()), batch)


def jax(batch: int) -> Step:
    """The same network in JAX, compiled."""
    from alexnet.benchmark.jax_network import inference_step

    return inference_step(batch)


def tensorflow(batch: int) -> Step:
    """The same network in TensorFlow, as one graph."""
    from alexnet.benchmark.tensorflow_network import inference_step

    return inference_step(batch)


_PEERS: dict[str, Callable[[int], Step]] = {
    "pytorch": pytorch,
    "compile": compiled,
    "jax": jax,
    "tensorflow": tensorflow,
}


def _pytorch_step(network: Callable[[Tensor], Tensor], batch: int) -> Step:
    return torch.inference_mode()(partial(network, made_up(batch)[0]))
