"""The test network's forward pass on the same synthetic batch, in float32 on all cores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from alexnet.benchmark.alternate import Comparison, Implementation, Step
from alexnet.benchmark.ceilings import products
from alexnet.benchmark.pytorch_network import pytorch_alexnet
from alexnet.benchmark.synthetic import synthetic_batch
from alexnet.network import AlexNet, keep_memory
from alexnet.network.table import inference_flops


def comparisons(peers: Sequence[str], batch: int) -> list[Comparison]:
    """This package beside `peers`; the ceiling is the network's products at the machine's rate."""
    makers = {"alexnet": alexnet, **{name: _PEERS[name] for name in peers}}
    return [
        Comparison(
            f"inference, batch {batch}",
            [Implementation(name, partial(make, batch), batch) for name, make in makers.items()],
            products(inference_flops()),
            f"float32 matrix products, {inference_flops() / 1e9:.3f} GFLOP an image",
        )
    ]


def alexnet(batch: int) -> Step:
    """This package's network at test time, on channels-last images as its loader delivers them."""
    keep_memory()
    x_NCHW = synthetic_batch(batch)[0].contiguous(memory_format=torch.channels_last)
    return torch.inference_mode()(partial(AlexNet().eval(), x_NCHW))


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
    return torch.inference_mode()(partial(network, synthetic_batch(batch)[0]))
