"""The paper's update rule (section 5) on a GPU: one kernel, each number read and written once.

    v <- momentum * v - decay * rate * w - rate * gradient
    w <- w + v

Whether it happens at all, and at which rate, is read on the device, so that the host neither waits for
the check of the gradient nor takes part in a recorded step.
"""

# mypy: disable-error-code="no-untyped-def,untyped-decorator"

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

_BLOCK = 1024


@triton.jit
def _update(w, v, g, copy, size, rates, go, momentum, DECAYS: tl.constexpr, COPIES: tl.constexpr,
            BLOCK: tl.constexpr):  # fmt: skip
    if tl.load(go) != 0:
        place = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
        inside = place < size
        w_here = tl.load(w + place, mask=inside)
        step = momentum * tl.load(v + place, mask=inside)
        if DECAYS:
            step -= tl.load(rates + 1) * w_here
        step -= tl.load(rates) * tl.load(g + place, mask=inside).to(tl.float32)
        w_here += step
        tl.store(v + place, step, mask=inside)
        tl.store(w + place, w_here, mask=inside)
        if COPIES:
            tl.store(copy + place, w_here.to(copy.dtype.element_ty), mask=inside)


def update(
    w: Tensor, velocity: Tensor, working: Tensor, rates_2: Tensor, go_1: Tensor, momentum: float
) -> None:
    """Update float32 weights and their velocity in place, if `go_1` (int32) is not zero.

    The gradient is that of `working`: the same weights in the precision of the network, which follow,
    or `w` itself. `rates_2` are the rate and rate * decay (float32); one-dimensional weights, the
    biases, do not decay. All are laid out alike in memory.
    """
    g = working.grad
    assert g is not None
    if g.stride() != w.stride():
        g = torch.empty_like(w, dtype=g.dtype).copy_(g)
    assert w.stride() == velocity.stride() == working.stride()
    with torch.cuda.device_of(w):
        _update[(triton.cdiv(w.numel(), _BLOCK),)](
            *(w, velocity, g, working, w.numel(), rates_2, go_1, momentum),
            DECAYS=w.ndim > 1,
            COPIES=working is not w,
            BLOCK=_BLOCK,
        )
