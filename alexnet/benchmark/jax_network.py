"""The paper's network as one writes it in JAX: the peer `jax`. Importing this module needs JAX.

Shape letters: N images, H x W positions, C maps, U units, K classes.
"""

# JAX is optional, so its functions have no types here.
# mypy: disable-error-code="no-untyped-def,no-untyped-call,no-any-return,misc"

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

from alexnet import paper
from alexnet.benchmark.alternate import Step
from alexnet.benchmark.nhwc import weights_of
from alexnet.benchmark.synthetic import synthetic_batch
from alexnet.network import AlexNet

Parameters = list[tuple[Array, Array]]


def logits(parameters: Parameters, x_NHWC: Array, key: Array | None = None) -> Array:
    """N x K; with a random `key` the training network, without one the test network."""
    x = x_NHWC
    for layer, (weight, bias) in zip(paper.LAYERS, parameters, strict=True):
        if layer.name.startswith("conv"):
            columns = x.shape[-1] // weight.shape[2]
            x = _convolve(x, weight, layer.stride, layer.padding, columns) + bias
        else:
            x = x.reshape(len(x), -1) @ weight + bias
        x = jax.nn.relu(x) if "relu" in layer.followed_by else x
        x = _normalize(x) if "norm" in layer.followed_by else x
        x = _pool(x) if "pool" in layer.followed_by else x
        if "dropout" in layer.followed_by and key is None:
            x = x * (1 - paper.DROPOUT)
        elif "dropout" in layer.followed_by:
            key, own = jax.random.split(key)
            x = x * jax.random.bernoulli(own, 1 - paper.DROPOUT, x.shape)
    return x


def training_step(batch: int) -> Step:
    """Forward, backward and the paper's update as one compiled function."""
    images_NCHW, labels = synthetic_batch(batch)
    x_NHWC = jnp.asarray(images_NCHW.permute(0, 2, 3, 1).contiguous().numpy())
    labels_N = jnp.asarray(labels.numpy())
    parameters = jax.tree.map(jnp.asarray, weights_of(AlexNet()))
    state = [parameters, jax.tree.map(jnp.zeros_like, parameters), jax.random.key(0)]

    def step() -> None:
        state[:] = _update(*state, x_NHWC, labels_N)
        jax.block_until_ready(state[0])

    return step


def inference_step(batch: int) -> Step:
    """The test network, compiled."""
    x_NHWC = jnp.asarray(synthetic_batch(batch)[0].permute(0, 2, 3, 1).contiguous().numpy())
    parameters = jax.tree.map(jnp.asarray, weights_of(AlexNet()))
    forward = jax.jit(logits)
    return lambda: forward(parameters, x_NHWC).block_until_ready()


@partial(jax.jit, donate_argnums=(0, 1))
def _update(parameters: Parameters, velocities: Parameters, key, x_NHWC, labels_N) -> Any:
    key, own = jax.random.split(key)

    def loss(parameters: Parameters) -> Array:
        found_NK = jax.nn.log_softmax(logits(parameters, x_NHWC, own))
        return -jnp.take_along_axis(found_NK, labels_N[:, None], axis=1).mean()

    gradients = jax.grad(loss)(parameters)
    rate = paper.LEARNING_RATE

    def velocity(v: Array, w: Array, g: Array) -> Array:
        decay = paper.WEIGHT_DECAY if w.ndim > 1 else 0.0
        return paper.MOMENTUM * v - decay * rate * w - rate * g

    velocities = jax.tree.map(velocity, velocities, parameters, gradients)
    return jax.tree.map(jnp.add, parameters, velocities), velocities, key


def _convolve(
    x: Array, weight: Array, stride: int, padding: tuple[int, int], columns: int
) -> Array:
    """Each column's kernels over its own maps, which XLA does faster on a CPU than groups."""
    parts = zip(jnp.split(x, columns, 3), jnp.split(weight, columns, 3), strict=True)
    strides, edges, letters = (stride, stride), (padding, padding), ("NHWC", "HWIO", "NHWC")
    return jnp.concatenate(
        [
            lax.conv_general_dilated(part, own, strides, edges, dimension_numbers=letters)
            for part, own in parts
        ],
        3,
    )


def _normalize(x_NHWC: Array) -> Array:
    """Section 3.3: each column's window sum as five shifted slices."""
    lrn, reach = paper.LRN, paper.LRN.n // 2
    N, H, W, C = x_NHWC.shape
    width = C // paper.COLUMNS
    squares = jnp.square(x_NHWC).reshape(N, H, W, paper.COLUMNS, width)
    padded = jnp.pad(squares, [(0, 0)] * 4 + [(reach, reach)])
    total = sum(padded[..., j : j + width] for j in range(lrn.n)).reshape(N, H, W, C)
    return x_NHWC * (lrn.k + lrn.alpha * total) ** -lrn.beta


def _pool(x_NHWC: Array) -> Array:
    size, stride = paper.POOL
    window, strides = (1, size, size, 1), (1, stride, stride, 1)
    return lax.reduce_window(x_NHWC, -jnp.inf, lax.max, window, strides, "VALID")
