"""Operators of our own: functions that `torch.compile` and `torch.export` take as they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from torch._ops import OpOverload

    Operator = OpOverload[..., Any]

_LIBRARY = torch.library.Library("alexnet", "FRAGMENT")


def operator(name: str) -> Callable[[Callable[..., Any]], Operator]:
    """Make a function, which changes none of its arguments, the operator `alexnet::NAME`.

    As `torch.library.custom_op` does, but for loading PyTorch's whole compiler at the first call:
    seconds, in a program that may be about to look at a single image.
    """

    def make(function: Callable[..., Any]) -> Operator:
        schema = torch.library.infer_schema(function, mutates_args=())
        _LIBRARY.define(f"{name}{schema}", tags=(torch.Tag.pt2_compliant_tag,))
        _LIBRARY.impl(name, function, "CompositeExplicitAutograd")
        overload: Operator = getattr(torch.ops.alexnet, name).default
        return overload

    return make
