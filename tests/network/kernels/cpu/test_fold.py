"""Folding moves numbers and makes none: the convolution of folded images is the one with a stride."""

import numpy as np
import torch
import torch.nn.functional as F

from alexnet.network.kernels.cpu.fold import (
    fold_images,
    fold_kernels,
    unfold_images,
    unfold_kernels,
)


def test_folded_convolution_is_the_strided_one() -> None:
    x, w = torch.randn(2, 3, 39, 39).double(), torch.randn(5, 3, 11, 11).double()
    plain = F.conv2d(F.pad(x, (0, 3, 0, 3)), w, stride=4)  # 39 + 3 pixels: 8 windows
    folded = fold_images(x.permute(0, 2, 3, 1).contiguous().numpy(), 4, plain.shape[2] + 2)
    kernels = fold_kernels(w.numpy(), 4)
    assert kernels.shape == (5, 48, 3, 3)
    found = F.conv2d(torch.from_numpy(folded).permute(0, 3, 1, 2), torch.from_numpy(kernels))
    torch.testing.assert_close(found, plain)


def test_unfolding_brings_everything_back() -> None:
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(2, 30, 30, 3)), rng.normal(size=(4, 3, 11, 11))
    np.testing.assert_array_equal(unfold_images(fold_images(x, 4, 8), 4, 30), x)
    np.testing.assert_array_equal(unfold_kernels(fold_kernels(w, 4), 4, 11), w)
