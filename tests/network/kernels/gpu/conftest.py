"""The kernels run on a GPU where there is one, and in Triton's interpreter where there is none."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture
def device() -> str:
    """Where tensors for the kernels are made."""
    return "cuda" if torch.cuda.is_available() else "cpu"
