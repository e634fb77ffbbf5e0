"""Which device to compute on: `--device`."""

from __future__ import annotations

import torch

from alexnet.base import ranks
from alexnet.base.errors import EnvironmentProblem

AUTO = "auto"
_SHORT = 100  # characters: a longer reason is about PyTorch's insides


def choose_device(asked: str) -> str:
    """The device asked for, as PyTorch names it; of `auto`, a GPU where there is one, else the CPU.

    Of several processes each takes a GPU of its own, if there are as many. Raises EnvironmentProblem
    where PyTorch cannot compute on the device.
    """
    device = asked
    if asked == AUTO:
        is_enough = torch.cuda.is_available() and torch.cuda.device_count() >= ranks.local_world()
        device = "cuda" if is_enough else "cpu"
    require_device(device)
    return device


def require_device(device: str) -> None:
    """Raise EnvironmentProblem unless PyTorch can compute on `device`."""
    try:
        torch.zeros(1, device=device).add(1).cpu()  # numbers go there and come back
    except Exception as error:  # of every type, and up to 7,000 characters long
        reason = " ".join(str(error).split())
        gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
        here = ", ".join(["cpu", *(f"cuda:{n}" for n in range(gpus))])
        raise EnvironmentProblem(
            f"PyTorch cannot use the device {device!r}"
            + (f": {reason.rstrip('.')}." if len(reason) <= _SHORT else "."),
            where=f"here it has: {here}",
            remedy="Use --device cpu, or install a PyTorch that has this device.",
        ) from None


def describe_device(device: str) -> str:
    """A device as a log names it: "cpu", "cuda (NVIDIA H200)"."""
    if torch.device(device).type != "cuda":
        return device
    return f"{device} ({torch.cuda.get_device_name(device)})"
