"""Fine-tuning: what is taken over from another network, and what starts anew."""

from __future__ import annotations

import shlex

import pytest
import torch

from alexnet.base.errors import IncompatibleError
from alexnet.config import RunConfig, StartConfig
from alexnet.conventions import ALEXNET6, CAFFE, CIFAR11, PAPER, Convention
from alexnet.models.transfer import take_over
from alexnet.network import AlexNet
from alexnet.settings import with_settings

KERNELS = dict.fromkeys(("conv1", "conv2", "conv3", "conv4", "conv5", "conv6", "fc6", "fc7"), 16)


def net(about: Convention, classes: int, seed: int) -> AlexNet:
    return AlexNet(classes, about.with_kernels(KERNELS), StartConfig(rule="he"), seed).double()


def test_other_classes_start_anew_and_all_else_is_taken_over() -> None:
    mine, theirs = net(PAPER, 3, seed=1), net(PAPER, 5, seed=2)
    fresh = mine.fc8.weight.clone()
    said = take_over(mine, ["a", "b", "c"], theirs, ["v", "w", "x", "y", "z"])
    assert torch.equal(mine.fc8.weight, fresh)
    for name in ("conv1", "fc6", "fc7"):
        assert torch.equal(
            mine.get_parameter(f"{name}.weight"), theirs.get_parameter(f"{name}.weight")
        )
        assert torch.equal(mine.get_parameter(f"{name}.bias"), theirs.get_parameter(f"{name}.bias"))
    assert said == [
        "taken over: conv1, conv2, conv3, conv4, conv5, fc6, fc7",
        "starts anew: fc8 (other classes, 3 instead of 5)",
    ]


def test_the_same_classes_in_another_order_are_found_by_name() -> None:
    mine, theirs = net(PAPER, 3, seed=1), net(PAPER, 3, seed=2)
    take_over(mine, ["a", "b", "c"], theirs, ["c", "a", "b"])
    x = 50 * torch.randn(2, 3, 224, 224, dtype=torch.float64)
    torch.testing.assert_close(mine.eval()(x), theirs.eval()(x)[:, [1, 2, 0]])


def test_a_sixth_layer_starts_anew() -> None:
    mine, theirs = net(ALEXNET6, 3, seed=1), net(PAPER, 3, seed=2)
    said = take_over(mine, ["a", "b", "c"], theirs, ["a", "b", "c"])
    assert "starts anew: conv6 (there is none)" in said
    assert torch.equal(mine.fc6.weight, theirs.fc6.weight)


def test_weights_from_inverted_dropout_are_doubled_where_outputs_are_halved() -> None:
    mine, theirs = net(PAPER, 3, seed=1), net(CAFFE, 3, seed=2)
    said = take_over(mine, ["a", "b", "c"], theirs, ["a", "b", "c"])
    pooled = torch.randn(2, 16, 6, 6, dtype=torch.float64).relu()
    logits = [one.run(one.stages[-3:], pooled) for one in (mine.eval(), theirs.eval())]
    torch.testing.assert_close(*logits)
    assert "conv1 padding: 0, 0 there, 0, 3 here; normalization: k=1" in said[-1]


def test_another_nonlinearity_is_told() -> None:
    mine, theirs = net(PAPER, 3, seed=1), net(PAPER.varied("tanh"), 3, seed=2)
    said = take_over(mine, ["a", "b", "c"], theirs, ["a", "b", "c"])
    assert "fc7 then: tanh, dropout there, ReLU, dropout here" in said[-1]


def test_networks_with_nothing_in_common_are_refused() -> None:
    with pytest.raises(IncompatibleError, match="No layer of 'cifar11' fits"):
        take_over(net(PAPER, 3, seed=1), ["a", "b", "c"], AlexNet(4, CIFAR11), list("wxyz"))


def test_the_remedy_for_another_network_makes_that_network() -> None:
    """As it is typed: with the variant, whose spaces are quoted, and the variant taken back."""
    narrow = AlexNet(3, PAPER.varied("width 0.1, tanh").with_classes(3))
    for mine, theirs in ((net(PAPER, 3, seed=1), narrow), (narrow, AlexNet(4, CIFAR11))):
        with pytest.raises(IncompatibleError) as error:
            take_over(mine, ["a", "b", "c"], theirs, list("wxyz")[: theirs.classes])
        if theirs is narrow:
            assert "No layer of 'paper' (width 0.1, tanh) fits 'paper'" in error.value.what
        words = shlex.split(error.value.remedy.partition(": ")[2])
        assert words[::2] == ["--set"] * (len(words) // 2)
        before = with_settings(
            RunConfig(), [f"network.variant={mine.convention.variant}"] if mine is narrow else []
        )
        network = with_settings(before, words[1::2]).network
        assert network.of(theirs.classes) == theirs.convention
