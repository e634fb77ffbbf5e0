"""Response normalization against the formula written out, and the fused block against its parts."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from alexnet.network.kernels.cpu.simd import LANES
from alexnet.network.lrn import NONE, _block, block
from alexnet.network.reference import block as plain_block
from alexnet.network.reference import normalize
from alexnet.paper import LRN, Normalization


def by_the_formula(a_CHW: np.ndarray, lrn: Normalization, columns: int) -> np.ndarray:
    """Section 3.3 in nested loops, one number at a time."""
    maps = a_CHW.shape[0] // columns
    b_CHW = np.empty_like(a_CHW)
    for i, y, x in np.ndindex(*a_CHW.shape):
        column = i // maps * maps
        lowest = max(column, i - lrn.n // 2)
        highest = min(column + maps - 1, i + lrn.n // 2)
        total = sum(a_CHW[j, y, x] ** 2 for j in range(lowest, highest + 1))
        b_CHW[i, y, x] = a_CHW[i, y, x] / (lrn.k + lrn.alpha * total) ** lrn.beta
    return b_CHW


SETTINGS = [
    LRN,
    Normalization(k=1.0, n=1, alpha=0.1, beta=0.5),
    Normalization(k=2.0, n=3, alpha=1e-2, beta=0.75),
    Normalization(k=1.0, n=9, alpha=1e-3, beta=0.75),
    Normalization(k=2.0, n=4, alpha=1e-2, beta=0.75),  # an even n reaches n/2 to both sides
    Normalization(k=2.0, n=5, alpha=1e-2, beta=1.0),
    NONE,
]


@pytest.mark.parametrize("lrn", SETTINGS, ids=str)
@pytest.mark.parametrize("columns", [1, 2])
def test_reference_and_kernel_follow_the_formula(lrn: Normalization, columns: int) -> None:
    maps = 4 * LANES
    x_NCHW = 40 * torch.randn(2, maps, 3, 5, dtype=torch.float64)
    a_NCHW = F.relu(x_NCHW)
    expected = np.stack([by_the_formula(a.numpy(), lrn, columns) for a in a_NCHW])
    np.testing.assert_allclose(normalize(a_NCHW, lrn, columns), expected, rtol=1e-12)
    no_bias, pool_of_one = torch.zeros(maps), (1, 1)
    kernel = block(x_NCHW.float(), no_bias, lrn, columns, *pool_of_one)
    np.testing.assert_allclose(kernel, expected, rtol=2e-6)


def test_columns_do_not_see_each_other() -> None:
    a_NCHW = torch.rand(1, 8, 3, 3) * 100
    changed = a_NCHW.clone()
    changed[:, 4:] *= 7  # the other column
    for columns, same in ((2, True), (1, False)):
        before, after = (normalize(a, LRN, columns)[:, :4] for a in (a_NCHW, changed))
        assert torch.equal(before, after) is same


def test_pytorch_needs_five_times_alpha() -> None:
    a_NCHW = torch.rand(2, 10, 4, 4, dtype=torch.float64) * 100
    lrn = LRN
    theirs = F.local_response_norm(a_NCHW, lrn.n, lrn.n * lrn.alpha, lrn.beta, lrn.k)
    torch.testing.assert_close(normalize(a_NCHW, lrn, 1), theirs)


@pytest.mark.parametrize("lrn", SETTINGS, ids=str)
@pytest.mark.parametrize(("size", "stride"), [(3, 2), (2, 2), (3, 1), (1, 1)])
def test_block_is_its_parts_forward_and_backward(
    lrn: Normalization, size: int, stride: int
) -> None:
    maps = 6 * LANES

    def run(way, kind):  # type: ignore[no-untyped-def]
        draw = torch.Generator().manual_seed(1)
        x = (40 * torch.randn(3, maps, 9, 7, generator=draw)).to(kind).requires_grad_()
        bias = torch.randn(maps, generator=draw).to(kind).requires_grad_()
        y = way(x, bias, lrn, 2, size, stride)
        y.backward(torch.randn(y.shape, generator=draw).to(kind))
        return y.detach(), x.grad, bias.grad

    exact = run(plain_block, torch.float64)
    for ours, truth in zip(run(block, torch.float32), exact, strict=True):
        torch.testing.assert_close(ours.double(), truth, rtol=1e-5, atol=1e-5)


def test_gradient_agrees_with_finite_differences() -> None:
    x = (30 * torch.randn(1, 6, 5, 5, dtype=torch.float64)).requires_grad_()
    bias = torch.randn(6, dtype=torch.float64, requires_grad=True)
    lrn = LRN._replace(alpha=1e-2)
    assert torch.autograd.gradcheck(lambda x, b: plain_block(x, b, lrn, 2, 3, 2), (x, bias))


def test_what_is_not_a_number_stays_one() -> None:
    x = torch.randn(1, 2 * LANES, 5, 5)
    x[0, LANES + 3, 2, 2] = torch.nan  # in all four windows
    for lrn, reach in ((NONE, 0), (LRN, 2)):
        found = block(x, torch.zeros(2 * LANES), lrn, 2, 3, 2).isnan()
        touched = range(LANES + 3 - reach, LANES + 4 + reach)
        assert found[0].all(dim=(1, 2)).nonzero().flatten().tolist() == list(touched)
        assert found.sum() == 4 * len(touched)


def test_float32_stays_close_and_finite_for_huge_activations() -> None:
    for scale in (1.0, 1e2, 1e4):
        x = scale * torch.randn(2, 96, 11, 11)
        exact = plain_block(x.double(), torch.zeros(96).double(), LRN, 2, 3, 2)
        ours = block(x, torch.zeros(96), LRN, 2, 3, 2)
        torch.testing.assert_close(ours.double(), exact, rtol=2e-6, atol=1e-6)


def test_first_of_equal_maxima_gets_the_gradient() -> None:
    x = torch.ones(1, 2 * LANES, 5, 5, requires_grad=True)
    block(x, torch.zeros(2 * LANES), NONE, 2, 3, 2).sum().backward()
    assert x.grad is not None
    expected = torch.zeros(5, 5)
    expected[0:4:2, 0:4:2] = 1  # the upper left corner of each window
    torch.testing.assert_close(x.grad[0, 0], expected)


def test_operator_is_fit_for_compile_and_export() -> None:
    x = torch.randn(2, 2 * LANES, 7, 7, requires_grad=True)
    bias = torch.randn(2 * LANES, requires_grad=True)
    torch.library.opcheck(_block, (x, bias, 2, 2, 2.0, 1e-4, 3, 2))
