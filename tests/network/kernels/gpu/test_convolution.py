"""All ways to convolve are the same layer, and the network takes the fastest."""

from __future__ import annotations

import pytest
import torch

from alexnet.network.kernels.gpu import convolution
from alexnet.network.kernels.gpu.convolution import convolve, measure, ways_of
from alexnet.network.reference import convolve as plain_convolve
from alexnet.paper import LAYERS, Layer

# Maps of the input, its side, groups; kernels are few.
INPUTS = {"conv1": (3, 51, 1), "conv2": (8, 9, 2), "conv3": (8, 7, 1), "conv4": (12, 7, 2)}


@pytest.mark.parametrize("layer", LAYERS[:4], ids=lambda layer: layer.name)
@pytest.mark.parametrize("biased", [True, False])
def test_every_way_is_the_same_layer(device: str, layer: Layer, biased: bool) -> None:
    maps, side, groups = INPUTS[layer.name]
    draw = torch.Generator().manual_seed(1)
    shapes = [(2, maps, side, side), (12, maps // groups, layer.size, layer.size), (12,)]
    given = [
        torch.randn(shape, generator=draw, dtype=torch.float64).to(device).requires_grad_()
        for shape in (shapes if biased else shapes[:2])
    ]
    x, weight, bias = given if biased else (*given, None)
    expected = plain_convolve(x, weight, bias, layer)
    g = torch.randn(expected.shape, generator=draw, dtype=torch.float64).to(device)
    gradients = torch.autograd.grad(expected, given, g)
    ways = ways_of(x, weight, layer)
    assert set(ways) == {
        "conv1": {"grouped", "folded"},
        "conv3": {"grouped"},
    }.get(layer.name, {"grouped", "columns", "filled"})
    for way in ways.values():
        y = way(x, weight, bias, layer)
        torch.testing.assert_close(y, expected)
        torch.testing.assert_close(torch.autograd.grad(y, given, g), gradients)


@pytest.mark.parametrize("learns", [True, False])
def test_a_shape_is_measured_once(device: str, learns: bool) -> None:
    layer = LAYERS[1]
    x = torch.randn(3, 8, 11, 11, device=device, requires_grad=learns)
    weight = torch.randn(12, 4, 5, 5, device=device, requires_grad=learns)
    assert set(measure(x, weight, None, layer)) == {"grouped", "columns", "filled"}
    convolution._chosen.clear()
    for _ in range(2):
        y = convolve(x, weight, None, layer)
        torch.testing.assert_close(y, plain_convolve(x, weight, None, layer), rtol=1e-4, atol=1e-4)
        assert len(convolution._chosen) == 1
    assert y.requires_grad is learns and weight.grad is None


def test_deterministic_runs_measure_nothing(device: str) -> None:
    convolution._chosen.clear()
    x, weight = torch.randn(1, 8, 9, 9, device=device), torch.randn(4, 4, 5, 5, device=device)
    torch.use_deterministic_algorithms(True)
    try:
        y = convolve(x, weight, None, LAYERS[1])
    finally:
        torch.use_deterministic_algorithms(False)
    assert not convolution._chosen and torch.equal(y, plain_convolve(x, weight, None, LAYERS[1]))
