"""In which numbers the network computes on a GPU: `--precision`.

`fp32` multiplies float32 numbers as they are, `tf32` rounds the factors of products to 11 bits and adds
in float32, `bf16` also keeps activations and the weights it multiplies with in bfloat16; sums inside
kernels and the weights that training updates stay float32. A CPU computes in fp32.
"""

from __future__ import annotations

import torch

from alexnet.base.errors import UsageError, did_you_mean

PRECISIONS = ("fp32", "tf32", "bf16")


def choose_precision(asked: str, device: str, on_gpu: str) -> str:
    """The precision asked for; of nothing, fp32 on the CPU and `on_gpu` on a GPU.

    Raises UsageError for one that does not exist or that the device does not compute in.
    """
    gpu = torch.device(device).type == "cuda"
    chosen = asked or (on_gpu if gpu else "fp32")
    if chosen not in PRECISIONS:
        raise UsageError(
            f"There is no precision {chosen!r}.", remedy=did_you_mean(chosen, PRECISIONS)
        )
    if chosen != "fp32" and not gpu:
        raise UsageError(
            f"The precision {chosen} needs a GPU; the device is {device}.",
            remedy="Say --precision fp32, or --device cuda.",
        )
    return chosen


def dtype_of(precision: str) -> torch.dtype:
    """What activations, and the weights that they meet, are kept in."""
    return torch.bfloat16 if precision == "bf16" else torch.float32


def set_products(precision: str) -> None:
    """Have this process's products on GPUs computed as `precision` says."""
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    torch.backends.cudnn.allow_tf32 = precision == "tf32"
    # Partial sums of bfloat16 products are float32 until the last one is added.
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
