"""The GPU's block against the plain formula in float64, forward and backward."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from alexnet.network.lrn import NONE
from alexnet.network.reference import block as plain_block
from alexnet.paper import LRN, Normalization

pytest.importorskip("triton", reason="Triton is not installed")

from alexnet.network.kernels.gpu.block import gpu_block

# The largest error as a share of the largest number. Triton's interpreter cuts numbers off where a GPU
# rounds them, so an error may be one unit in the last place rather than half of one.
PRECISIONS = {torch.float32: 1e-6, torch.bfloat16: 2**-7, torch.float16: 2**-10}
SETTINGS = [
    LRN._replace(alpha=1e-2),
    Normalization(k=1.0, n=3, alpha=1e-3, beta=0.75),
    Normalization(k=2.0, n=4, alpha=1e-2, beta=1.0),  # an even n reaches n/2 to both sides
    Normalization(k=1.0, n=19, alpha=1e-3, beta=0.5),  # wider than a group of eight maps
    NONE,
]


def ours(
    x: Tensor, bias: Tensor, lrn: Normalization, columns: int, size: int, stride: int
) -> Tensor:
    settings = (columns, lrn.n // 2, lrn.k, lrn.alpha, lrn.beta, size, stride)
    y: Tensor = gpu_block(x, bias, *settings)[0]
    return y


def results(
    way: Callable[..., Tensor], numbers: tuple[Tensor, Tensor, Tensor], *settings: object
) -> list[Tensor]:
    """y, dx and dbias."""
    x, bias, g = (value.detach().clone() for value in numbers)
    x.requires_grad_(), bias.requires_grad_()
    y = way(x, bias, *settings)
    y.backward(g[: y.shape[0], : y.shape[1], : y.shape[2], : y.shape[3]])
    assert x.grad is not None and bias.grad is not None
    return [y.detach(), x.grad, bias.grad]


def numbers(device: str, dtype: torch.dtype, *shape: int) -> tuple[Tensor, Tensor, Tensor]:
    draw = torch.Generator().manual_seed(1)
    x, g = (20 * torch.randn(2, *shape, generator=draw)).to(dtype).unbind()
    bias = torch.randn(shape[1], generator=draw).to(dtype)
    last = torch.channels_last
    return x.to(device, memory_format=last), bias.to(device), g.to(device, memory_format=last)


@pytest.mark.parametrize(
    ("dtype", "lrn"),
    [
        *((torch.float32, lrn) for lrn in SETTINGS),
        *((torch.bfloat16, lrn) for lrn in (SETTINGS[0], NONE)),
        (torch.float16, SETTINGS[0]),
    ],
    ids=str,
)
def test_block_and_its_gradients_are_the_formulas(
    device: str, dtype: torch.dtype, lrn: Normalization
) -> None:
    given = numbers(device, dtype, 2, 24, 7, 5)  # columns of 12: not a multiple of eight
    exact = results(plain_block, tuple(one.double() for one in given), lrn, 2, 3, 2)  # type: ignore[arg-type]
    for found, expected in zip(results(ours, given, lrn, 2, 3, 2), exact, strict=True):
        error = (found.double() - expected).abs().max() / expected.abs().max()
        assert error < PRECISIONS[dtype]


def test_normalization_without_pooling_is_a_block_of_one_by_one(device: str) -> None:
    given = numbers(device, torch.float32, 2, 24, 7, 5)
    settings = (SETTINGS[0], 1, 1, 1)
    exact = results(plain_block, tuple(one.double() for one in given), *settings)  # type: ignore[arg-type]
    for found, expected in zip(results(ours, given, *settings), exact, strict=True):
        error = (found.double() - expected).abs().max() / expected.abs().max()
        assert error < PRECISIONS[torch.float32]


@pytest.mark.parametrize("columns", [1, 2])
@pytest.mark.parametrize("maps", [4, 96, 256])
def test_every_width_of_a_column(device: str, columns: int, maps: int) -> None:
    given = numbers(device, torch.float32, 1, maps, 5, 7)
    exact = results(plain_block, tuple(one.double() for one in given), LRN, columns, 3, 2)  # type: ignore[arg-type]
    for found, expected in zip(results(ours, given, LRN, columns, 3, 2), exact, strict=True):
        torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("size", "stride"), [(2, 2), (1, 1), (3, 1)])
def test_every_pooling(device: str, size: int, stride: int) -> None:
    given = numbers(device, torch.float32, 2, 8, 7, 6)
    exact = results(plain_block, tuple(one.double() for one in given), LRN, 1, size, stride)  # type: ignore[arg-type]
    for found, expected in zip(results(ours, given, LRN, 1, size, stride), exact, strict=True):
        torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)


def test_first_of_equal_maxima_gets_the_gradient(device: str) -> None:
    x = torch.ones(1, 2, 5, 5, device=device, requires_grad=True)
    ours(x, torch.zeros(2, device=device), NONE, 2, 3, 2).sum().backward()
    expected = torch.zeros(5, 5)
    expected[0:4:2, 0:4:2] = 1  # the upper left corner of each window
    assert x.grad is not None
    torch.testing.assert_close(x.grad[0, 0].cpu(), expected)


@pytest.mark.parametrize("lrn", [LRN, NONE], ids=["normalized", "not"])
def test_what_is_not_a_number_stays_so(device: str, lrn: Normalization) -> None:
    x = torch.ones(1, 16, 5, 5, device=device)
    x[0, 3, 2, 2] = float("nan")
    bias = torch.zeros(16, device=device)
    assert torch.equal(
        ours(x, bias, lrn, 1, 3, 2).isnan(), plain_block(x, bias, lrn, 1, 3, 2).isnan()
    )


def test_operator_is_fit_for_compile_and_export(device: str) -> None:
    x = torch.randn(2, 4, 7, 7, device=device, requires_grad=True)
    bias = torch.randn(4, device=device, requires_grad=True)
    torch.library.opcheck(gpu_block, (x, bias, 2, 2, 2.0, 1e-4, 0.75, 3, 2))
