"""Peers do the same work: with the same weights, networks and blocks give what ours give."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from alexnet import paper
from alexnet.benchmark import lrn
from alexnet.benchmark.nhwc import weights_of
from alexnet.benchmark.pytorch_network import normalization, pooling, pytorch_alexnet
from alexnet.network import AlexNet
from alexnet.network.lrn import block
from alexnet.network.table import inference_flops, shapes, training_flops


@pytest.fixture(scope="module")
def ours() -> AlexNet:
    return AlexNet(seed=3).eval()


@pytest.fixture(scope="module")
def x_NCHW() -> Tensor:
    return 60 * torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(1))


def test_pytorchs_network_with_our_weights_gives_our_logits(ours: AlexNet, x_NCHW: Tensor) -> None:
    theirs = pytorch_alexnet()
    with torch.no_grad():
        for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
            other.copy_(mine)
        linear = [module for module in theirs if isinstance(module, nn.Linear)]
        for layer in linear[1:]:  # its dropout is the inverted form: halve what fc6, fc7 hand on
            layer.weight.mul_(1 - paper.DROPOUT)
        torch.testing.assert_close(theirs.eval()(x_NCHW), ours(x_NCHW), rtol=1e-3, atol=1e-5)


def test_jaxs_network_with_our_weights_gives_our_logits(ours: AlexNet, x_NCHW: Tensor) -> None:
    jax = pytest.importorskip("jax", reason="not installed: pip install jax")
    from alexnet.benchmark.jax_network import logits, training_step

    parameters = jax.tree.map(jax.numpy.asarray, weights_of(ours))
    found_NK = np.asarray(logits(parameters, jax.numpy.asarray(_nhwc(x_NCHW))))
    np.testing.assert_allclose(found_NK, ours(x_NCHW).detach(), rtol=1e-3, atol=1e-5)
    training_step(2)()


def test_tensorflows_network_with_our_weights_gives_our_logits(
    ours: AlexNet, x_NCHW: Tensor
) -> None:
    pytest.importorskip("tensorflow", reason="not installed: pip install tensorflow")
    from alexnet.benchmark.tensorflow_network import logits, training_step

    found_NK = logits(weights_of(ours), _nhwc(x_NCHW)).numpy()
    np.testing.assert_allclose(found_NK, ours(x_NCHW).detach(), rtol=1e-3, atol=1e-5)
    training_step(2)()


@pytest.mark.parametrize("layer", ["conv1", "conv2"])
def test_pytorchs_block_gives_our_block_and_its_gradient(layer: str) -> None:
    (shape,) = (shape for shape in shapes() if shape.layer.name == layer)
    x_NCHW, g_NCYX = lrn._synthetic(shape, 2)
    x_NCHW.requires_grad_()
    theirs = nn.Sequential(nn.ReLU(), normalization(), pooling())(x_NCHW)
    bias_C = torch.zeros(shape.outputs[0])
    mine = block(x_NCHW, bias_C, paper.LRN, paper.COLUMNS, paper.POOL.size, paper.POOL.stride)
    torch.testing.assert_close(theirs, mine, rtol=1e-4, atol=1e-5)
    gradients = [torch.autograd.grad(y, x_NCHW, g_NCYX)[0] for y in (theirs, mine)]
    torch.testing.assert_close(*gradients, rtol=1e-3, atol=1e-4)


def test_operations_of_an_image() -> None:
    millions = paper.MULTIPLY_ADDS_TOTAL_MILLIONS
    assert inference_flops() == pytest.approx(2e6 * millions, rel=1e-3)
    conv1 = 2 * shapes()[0].multiply_adds  # the images need no gradient
    assert training_flops() == 3 * inference_flops() - conv1


def _nhwc(x_NCHW: Tensor) -> np.ndarray:
    return x_NCHW.permute(0, 2, 3, 1).contiguous().numpy()
