"""Operators of our own: functions that `torch.compile` and `torch.export` take as they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

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


def plain_gradient(
    function: Callable[..., Tensor], inputs: Sequence[Tensor], g: Tensor
) -> list[Tensor | None]:
    """The gradients of `function` in PyTorch's own operations, which can be differentiated again.

    A backward pass with `create_graph=True` takes it in place of its kernel's, which cannot.
    """
    needing = [one for one in inputs if one.requires_grad]
    found = iter(torch.autograd.grad(function(*inputs), needing, g, create_graph=True))
    return [next(found) if one.requires_grad else None for one in inputs]
