"""The paper's network as one writes it in TensorFlow: the peer `tensorflow`. Needs TensorFlow.

Shape letters: N images, H x W positions, C maps, U units, K classes.
"""

# TensorFlow is optional, so its functions have no types here.
# mypy: disable-error-code="no-untyped-def,no-untyped-call,no-any-return,misc,untyped-decorator"

from __future__ import annotations

import os
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # it announces itself at length

import tensorflow as tf

from alexnet import paper
from alexnet.benchmark.alternate import Step
from alexnet.benchmark.nhwc import weights_of
from alexnet.benchmark.synthetic import synthetic_batch
from alexnet.network import AlexNet

Parameters = list[tuple[Any, Any]]


def logits(parameters: Parameters, x_NHWC: Any, training: bool = False) -> Any:
    """N x K: the training network with dropout drawn anew, or the test network."""
    x = x_NHWC
    for layer, (weight, bias) in zip(paper.LAYERS, parameters, strict=True):
        if layer.name.startswith("conv"):
            columns = paper.COLUMNS if layer.sees == "own column" else 1
            x = _convolve(x, weight, layer.stride, layer.padding, columns) + bias
        else:
            x = tf.reshape(x, (len(x_NHWC), -1)) @ weight + bias
        x = tf.nn.relu(x) if "relu" in layer.followed_by else x
        if "norm" in layer.followed_by:
            x = tf.concat([_normalize(part) for part in tf.split(x, paper.COLUMNS, 3)], 3)
        x = tf.nn.max_pool2d(x, *paper.POOL, "VALID") if "pool" in layer.followed_by else x
        if "dropout" in layer.followed_by and training:
            x = x * tf.cast(tf.random.uniform(tf.shape(x)) >= paper.DROPOUT, x.dtype)
        elif "dropout" in layer.followed_by:
            x = x * (1 - paper.DROPOUT)
    return x


def training_step(batch: int) -> Step:
    """Forward, backward and the paper's update as one graph."""
    images_NCHW, labels = synthetic_batch(batch)
    x_NHWC = tf.constant(images_NCHW.permute(0, 2, 3, 1).contiguous().numpy())
    labels_N = tf.constant(labels.numpy())
    parameters = [(tf.Variable(w), tf.Variable(b)) for w, b in weights_of(AlexNet())]
    flat = [variable for pair in parameters for variable in pair]
    velocities = [tf.Variable(tf.zeros_like(variable)) for variable in flat]
    rate = paper.LEARNING_RATE

    @tf.function
    def step() -> None:
        with tf.GradientTape() as tape:
            found_NK = logits(parameters, x_NHWC, training=True)
            losses_N = tf.nn.sparse_softmax_cross_entropy_with_logits(labels_N, found_NK)
            loss = tf.reduce_mean(losses_N)
        for w, v, g in zip(flat, velocities, tape.gradient(loss, flat), strict=True):
            decay = paper.WEIGHT_DECAY if len(w.shape) > 1 else 0.0
            w.assign_add(v.assign(paper.MOMENTUM * v - decay * rate * w - rate * g))

    return step


def inference_step(batch: int) -> Step:
    """The test network as one graph."""
    x_NHWC = tf.constant(synthetic_batch(batch)[0].permute(0, 2, 3, 1).contiguous().numpy())
    parameters = [(tf.Variable(w), tf.Variable(b)) for w, b in weights_of(AlexNet())]
    forward = tf.function(lambda: logits(parameters, x_NHWC))
    return lambda: forward().numpy()


def _convolve(x: Any, weight: Any, stride: int, padding: tuple[int, int], columns: int) -> Any:
    """Each column's kernels over its own maps: on a CPU, TensorFlow has no gradient for groups."""
    edges = [(0, 0), padding, padding, (0, 0)]
    parts = zip(tf.split(x, columns, 3), tf.split(weight, columns, 3), strict=True)
    return tf.concat([tf.nn.conv2d(part, own, stride, edges) for part, own in parts], 3)


def _normalize(x_NHWC: Any) -> Any:
    """Section 3.3 within one column; TensorFlow's `alpha` is the paper's."""
    lrn = paper.LRN
    return tf.nn.local_response_normalization(x_NHWC, lrn.n // 2, lrn.k, lrn.alpha, lrn.beta)
