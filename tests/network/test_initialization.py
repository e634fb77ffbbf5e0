"""First weights and biases (section 5)."""

import pytest

from alexnet.config import StartConfig
from alexnet.network import AlexNet


def test_paper_start() -> None:
    net = AlexNet(1000)
    ones = {"conv2", "conv4", "conv5", "fc6", "fc7"}
    for shape in net.shapes:
        parameters = net.get_submodule(shape.layer.name)
        spread = 5 / (2 * parameters.weight.numel()) ** 0.5  # five standard errors
        assert parameters.weight.mean().abs() < 0.01 * 2 * spread
        assert parameters.weight.std().item() == pytest.approx(0.01, rel=spread)
        assert set(parameters.bias.tolist()) == {1.0 if shape.layer.name in ones else 0.0}


def test_start_depends_on_seed_and_layer_alone() -> None:
    one, same, other, wider = AlexNet(10), AlexNet(10), AlexNet(10, seed=1), AlexNet(20)
    assert one.fc6.weight.equal(same.fc6.weight)
    assert one.fc6.weight.equal(wider.fc6.weight), "another output layer changes nothing below it"
    assert not one.fc6.weight.equal(other.fc6.weight)
    assert not one.conv4.weight.flatten()[:100].equal(one.conv3.weight.flatten()[:100])


def test_he_start_keeps_the_stated_share_of_the_signal() -> None:
    net = AlexNet(10, start=StartConfig(rule="he", gain=0.6, bias=0.0))
    for name, inputs in (("conv1", 363), ("conv2", 1200), ("conv3", 2304), ("fc6", 9216)):
        parameters = net.get_submodule(name)
        expected = 0.6 * (2 / inputs) ** 0.5
        assert parameters.weight.std().item() == pytest.approx(expected, rel=0.02)
        assert not parameters.bias.any()
