"""The paper's update rule (section 5).

    v <- momentum * v - decay * rate * w - rate * gradient
    w <- w + v

The rate multiplies inside the velocity, so that after a change of the rate the old velocity keeps its
scale. PyTorch's SGD multiplies outside (w <- w - rate * v) and differs from this at every change.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from numba import njit, prange
from torch import Tensor

from alexnet.network.kernels.cpu import threads

# The factors on the rate and on the weight decay of a parameter in an epoch.
Factors = Callable[[float], tuple[float, float]]


class PaperSGD(torch.optim.Optimizer):
    """Gradient descent as the paper writes it; weights decay, one-dimensional biases do not.

    A group of parameters may have `factors`, on its rate and decay.
    """

    # PyTorch's own, out of their wrappers, which would first load its compiler: that takes seconds.
    add_param_group = inspect.unwrap(torch.optim.Optimizer.add_param_group)
    zero_grad = inspect.unwrap(torch.optim.Optimizer.zero_grad)

    def __init__(
        self,
        parameters: Iterable[Tensor] | Iterable[dict[str, Any]],
        rate: float,
        momentum: float,
        weight_decay: float,
    ) -> None:
        defaults = {"lr": rate, "momentum": momentum, "weight_decay": weight_decay}
        super().__init__(parameters, {**defaults, "factors": None})
        for group in self.param_groups:
            for w in group["params"]:
                self.state[w]["velocity"] = torch.zeros_like(w)

    def velocity(self, parameter: Tensor) -> Tensor:
        """The velocity of one parameter, in its shape."""
        velocity: Tensor = self.state[parameter]["velocity"]
        return velocity

    def lay_out_alike(self) -> None:
        """Lay each velocity out in memory as its weights are."""
        for group in self.param_groups:
            for w in group["params"]:
                self.state[w]["velocity"] = torch.empty_like(w).copy_(self.velocity(w))

    def set_rate(self, rate: float, epoch: float = 0.0) -> None:
        """Use this rate from the next step on, in a group times its factor in this epoch."""
        for group, (factor, decay) in zip(self.param_groups, self.factors(epoch), strict=True):
            group["lr"] = rate * factor
            group["weight_decay"] = self.defaults["weight_decay"] * decay

    def factors(self, epoch: float) -> list[tuple[float, float]]:
        """On the rate and the decay of each group."""
        return [
            group["factors"](epoch) if group["factors"] else (1.0, 1.0)
            for group in self.param_groups
        ]

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One update from the gradients of the parameters."""
        loss = closure() if closure else None
        threads()
        for group in self.param_groups:
            rate, momentum = group["lr"], group["momentum"]
            for w in group["params"]:
                if w.grad is None:
                    continue
                decay = group["weight_decay"] if w.ndim > 1 else 0.0
                _update(w, self.state[w]["velocity"], w.grad, rate, momentum, decay)
        return loss


def _update(w: Tensor, v: Tensor, g: Tensor, rate: float, momentum: float, decay: float) -> None:
    if w.device.type == "cpu" and w.is_contiguous() and v.is_contiguous():
        number = w.numpy().dtype.type
        flat = (tensor.contiguous().view(-1).numpy() for tensor in (w, v, g))
        _one_pass(*flat, number(momentum), number(decay * rate), number(rate))  # type: ignore[call-arg]
    else:
        v.mul_(momentum).sub_(w, alpha=decay * rate).sub_(g, alpha=rate)
        w.add_(v)


@njit(cache=True, parallel=True, error_model="numpy")
def _one_pass(w, v, g, momentum, pull, rate):  # type: ignore[no-untyped-def]
    """The rule over flat arrays, each read and written once."""
    piece = 1 << 16
    for part in prange((w.size + piece - 1) // piece):
        first, last = part * piece, min(w.size, (part + 1) * piece)
        w_part, v_part, g_part = w[first:last], v[first:last], g[first:last]
        for i in range(w_part.size):
            new = momentum * v_part[i] - pull * w_part[i] - rate * g_part[i]
            v_part[i] = new
            w_part[i] += new


@torch.no_grad()
def squares(tensors: Sequence[Tensor]) -> Tensor:
    """The sum of the squares of all numbers: float64; not finite as soon as one of them is not."""
    if not tensors:
        return torch.zeros((), dtype=torch.float64)
    norms = torch._foreach_norm(
        list(tensors), 2, dtype=torch.promote_types(tensors[0].dtype, torch.float32)
    )
    first = norms[0].device
    return torch.stack([norm.to(first) for norm in norms]).double().square().sum()
