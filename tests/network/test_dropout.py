"""ReLU and dropout: the operator's masks against those drawn one by one."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from alexnet.base.randomness import Purpose, bernoulli
from alexnet.network.dropout import (
    Dropout,
    _relu_dropout,
    address,
    mask_at,
    masks_of,
    relu_dropout,
)


@pytest.mark.parametrize("seed", [0, 2**40 + 1, 2**64 - 5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_masks_are_those_of_the_address(seed: int, dtype: torch.dtype) -> None:
    shape = (37, 1025)  # not a multiple of four units, and several pieces of work
    drawn = torch.from_numpy(bernoulli(shape, 0.5, seed, Purpose.DROPOUT, time=2**31 + 9, lane=6))
    x = torch.randn(shape, dtype=dtype, requires_grad=True)
    y, g = relu_dropout(x, address(seed, 2**31 + 9), lane=6), torch.randn(shape, dtype=dtype)
    y.backward(g)
    assert torch.equal(y, F.relu(x) * drawn)
    assert x.grad is not None and torch.equal(x.grad, g * drawn * (x > 0))


def test_masks_are_fair_and_belong_to_seed_step_and_layer() -> None:
    x = torch.empty(64, 4096)
    one = mask_at(x, address(5, 9), lane=5)
    assert set(one.unique().tolist()) == {0.0, 1.0}
    assert abs(one.mean().item() - 0.5) < 5 * 0.5 / (64 * 4096) ** 0.5
    for where, lane in ((address(5, 9), 6), (address(5, 10), 5), (address(6, 9), 5)):
        assert not torch.equal(one, mask_at(x, where, lane))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_a_part_of_the_images_and_units_has_its_part_of_the_mask(dtype: torch.dtype) -> None:
    x = torch.rand(5, 23, dtype=dtype) + 1
    whole = relu_dropout(x, address(3, 8), lane=6)
    part = relu_dropout(x[2:, 12:], address(3, 8, first=2), lane=6, units=23, start=12)
    assert torch.equal(part, whole[2:, 12:])


def test_a_dropped_unit_hides_no_bad_number() -> None:
    x = torch.full((1, 64), float("inf"))
    assert not relu_dropout(x, address(0, 0), lane=5).isfinite().any(), "infinity times zero"


@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize("p", [0.0, 0.1, 0.9, 1.0])
def test_another_probability_is_the_one_that_drops(p: float, inverted: bool) -> None:
    network = nn.Sequential(dropout := Dropout(5, inverted))
    dropout.p = p
    x = torch.ones(64, 4096)
    kept = 1 / (1 - p) if inverted and p < 1 else 1.0
    within = 5 * (p * (1 - p) / x.numel()) ** 0.5
    with masks_of(network, address(5, 9)):
        addressed = network(x)
        assert torch.equal(addressed, network(x)), "the mask is that of the step"
    for y in (addressed, network(x)):
        assert abs((y == 0).float().mean().item() - p) <= within
        torch.testing.assert_close(y[y != 0], torch.full_like(y[y != 0], kept))
    assert torch.equal(network.eval()(x), x if inverted else x * (1 - p))
    assert f"p={p}" in str(dropout)


def test_operator_is_fit_for_compile_and_export() -> None:
    x = torch.randn(2, 40, requires_grad=True)
    torch.library.opcheck(_relu_dropout, (x, address(0, 0), 5, 40, 0))
