"""Fully connected layers through oneDNN against the same products by NumPy, forward and back."""

import numpy as np
import pytest
import torch

from alexnet.network.linear import linear


@pytest.mark.parametrize(("inputs", "outputs"), [(9216, 64), (512, 512), (64, 10)])
def test_products_and_gradients_are_numpys(inputs: int, outputs: int) -> None:
    rng = np.random.default_rng(0)
    x, w, b, g = (
        rng.normal(size=shape).astype(np.float32)
        for shape in ((16, inputs), (outputs, inputs), (outputs,), (16, outputs))
    )
    x_NI, weight_OI, bias_O = (torch.tensor(value, requires_grad=True) for value in (x, w, b))
    y_NO = linear(x_NI, weight_OI, bias_O)
    y_NO.backward(torch.tensor(g))
    x, w, b, g = (value.astype(np.float64) for value in (x, w, b, g))
    for found, exact in (
        (y_NO.detach(), x @ w.T + b),
        (x_NI.grad, g @ w),
        (weight_OI.grad, g.T @ x),
        (bias_O.grad, g.sum(axis=0)),
    ):
        np.testing.assert_allclose(found, exact, rtol=1e-4, atol=1e-4 * abs(exact).max())
