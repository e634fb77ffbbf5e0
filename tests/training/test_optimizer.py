"""The update rule against the paper's two lines in NumPy, number by number."""

import numpy as np
import pytest
import torch

from alexnet.config import OptimizerConfig
from alexnet.conventions import PAPER
from alexnet.network import AlexNet
from alexnet.training.mesh import Placed
from alexnet.training.optimizer import PaperSGD, squares


def trained(
    rates: list[float], shape: tuple[int, ...] = (50, 31), dtype: torch.dtype = torch.float64
):  # type: ignore[no-untyped-def]
    """Weights after one step per rate: ours, and by the formula of section 5."""
    rng = np.random.default_rng(0)
    w, v = rng.normal(size=shape), np.zeros(shape)
    ours = torch.nn.Parameter(torch.tensor(w, dtype=dtype))
    optimizer = PaperSGD([ours], rates[0], momentum=0.9, weight_decay=0.0005)
    decay = 0.0005 if len(shape) > 1 else 0.0
    for rate in rates:
        gradient = rng.normal(size=shape)
        ours.grad = torch.tensor(gradient, dtype=dtype)
        optimizer.set_rate(rate)
        optimizer.step()
        v = 0.9 * v - decay * rate * w - rate * gradient
        w = w + v
    return ours.detach().numpy(), w


def test_update_rule_is_the_papers() -> None:
    np.testing.assert_allclose(*trained([0.01] * 20), rtol=1e-13)


@pytest.mark.parametrize("shape", [(1, 1), (300, 257), (2, 3, 5, 7), (70_000, 2)])
def test_every_shape_and_the_last_piece(shape: tuple[int, ...]) -> None:
    np.testing.assert_allclose(*trained([0.1, 0.1, 0.1], shape), rtol=1e-12)


def test_float32_is_as_exact_as_float32_can_be() -> None:
    ours, exact = trained([0.01] * 50, dtype=torch.float32)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, exact, rtol=1e-4, atol=1e-6)


def test_velocity_keeps_its_scale_when_the_rate_drops() -> None:
    ours, exact = trained([0.1] * 5 + [0.01] * 5)
    np.testing.assert_allclose(ours, exact, rtol=1e-13)
    # PyTorch multiplies the velocity by the new rate: the same until the drop, another rule after.
    rng = np.random.default_rng(0)
    w = torch.nn.Parameter(torch.tensor(rng.normal(size=(50, 31))))
    theirs = torch.optim.SGD([w], lr=0.1, momentum=0.9, weight_decay=0.0005)
    for rate in [0.1] * 5 + [0.01] * 5:
        w.grad = torch.tensor(rng.normal(size=(50, 31)))
        theirs.param_groups[0]["lr"] = rate
        theirs.step()
    assert abs(w.detach().numpy() - exact).max() > 0.1


def test_biases_do_not_decay() -> None:
    np.testing.assert_allclose(*trained([0.1] * 10, shape=(40,)), rtol=1e-13)


def test_biases_learn_at_the_rate_of_the_weights() -> None:
    weight, bias = torch.nn.Parameter(torch.zeros(3, 3)), torch.nn.Parameter(torch.zeros(3))
    optimizer = PaperSGD([weight, bias], 0.25, momentum=0.9, weight_decay=0.0)
    weight.grad, bias.grad = torch.ones(3, 3), torch.ones(3)
    optimizer.step()
    assert set(weight.flatten().tolist()) == set(bias.tolist()) == {-0.25}


def test_every_layer_has_the_same_rate() -> None:
    network = AlexNet(2)
    optimizer = PaperSGD(network.parameters(), 0.5, momentum=0.0, weight_decay=0.0)
    before = {name: value.detach().clone() for name, value in network.named_parameters()}
    for parameter in network.parameters():
        parameter.grad = torch.full_like(parameter, 2.0)
    optimizer.step()
    for name, value in network.named_parameters():
        torch.testing.assert_close(value.detach(), before[name] - 1.0)


def test_layers_have_the_factors_of_the_settings() -> None:
    """Gradients of one and no momentum: what moves is the rate, and the decay of weights of one."""
    sgd = OptimizerConfig(
        learning_rate=0.5,
        momentum=0.0,
        weight_decay=0.25,
        bias_rate=2.0,
        rates="conv1-conv2: 0.5, conv2: 0.125 from 3",
        decays="fc8: 4, conv1: 0",
        freeze="conv4-conv5",
    )
    kernels = dict.fromkeys(("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7"), 8)
    for epoch, conv2 in ((2.9, 0.5), (3.0, 0.125)):
        network = AlexNet(2, PAPER.with_kernels(kernels))
        placed = Placed(network, sgd)
        with torch.no_grad():
            for w in network.parameters():
                w.fill_(1.0)
                w.grad = torch.ones_like(w) if w.requires_grad else None
        placed.optimizer.set_rate(0.5, epoch)
        placed.optimizer.step()
        moved = {name: 1 - w.flatten()[0].item() for name, w in network.named_parameters()}
        expected = {  # rate * factor * (1 + decay * factor)
            "conv1.weight": 0.5 * 0.5,
            "conv1.bias": 0.5 * 0.5 * 2,
            "conv2.weight": 0.5 * conv2 * 1.25,
            "conv2.bias": 0.5 * conv2 * 2,
            "conv3.weight": 0.5 * 1.25,
            "conv4.weight": 0.0,
            "conv5.bias": 0.0,
            "fc6.bias": 1.0,
            "fc8.weight": 0.5 * 2,
        }
        assert {name: moved[name] for name in expected} == pytest.approx(expected)


def test_the_length_sees_one_bad_number() -> None:
    a, b = torch.full((2, 2), 2.0), torch.tensor([0.0, 3.0, 0.0])
    assert squares([a, b]).item() == pytest.approx(25.0)
    for bad in (float("nan"), float("inf")):
        b[2] = bad
        assert not squares([a, b]).isfinite()


def test_weights_and_velocities_may_lie_in_memory_as_they_like() -> None:
    """A velocity that was made beside channels-last weights is not laid out as these are now."""
    draw = torch.Generator().manual_seed(0)
    gradient = torch.randn(8, 3, 5, 5, generator=draw)
    found = []
    for last in (False, True):
        w = torch.nn.Parameter(torch.ones(8, 3, 5, 5))
        if last:
            w.data = w.data.to(memory_format=torch.channels_last)
        optimizer = PaperSGD([w], 0.1, momentum=0.9, weight_decay=0.0005)
        w.data = w.data.contiguous()
        for _ in range(3):
            w.grad = gradient
            optimizer.step()
        found.append(w.detach())
    torch.testing.assert_close(*found)
