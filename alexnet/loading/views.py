"""The views of evaluation in batches, and which of several processes computes which of them.

Shape letters: B images of a batch, V views, H x W pixels, C colours.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np

from alexnet import paper
from alexnet.base import ranks
from alexnet.base.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

    from alexnet.prepared import Split

VIEWS_AT_ONCE = 80  # some 400 MB of activations; more is not faster on a CPU


def require_views(views: int) -> None:
    """Raise UsageError for a number of views that there is not."""
    if views not in (1, paper.VIEWS):
        raise UsageError(f"views is {views}; expected 1 or {paper.VIEWS}.")


def batches(count: int, views: int) -> list[range]:
    """`count` images, of so many views each, as batches: the same however many processes there are."""
    size = VIEWS_AT_ONCE // views
    return [range(first, min(first + size, count)) for first in range(0, count, size)]


def turns(count: int, views: int) -> list[range]:
    """The batches of this process, where the processes take them in turn.

    All have as many, so that they can meet after each one: the last may be empty.
    """
    every = batches(count, views)
    mine = every[ranks.rank() :: ranks.world()]
    return mine + [range(0)] * (-(-len(every) // ranks.world()) - len(mine))


def split_views(
    images: Split,
    mean_HWC: np.ndarray,
    views: int,
    batches: Sequence[range],
    like: Tensor,
    crop: int = paper.CROP,
) -> Generator[Tensor]:
    """The views of each batch of a split, B * V x C x H x W: cut on the GPU if `like` is there.

    Close it: threads that it leaves behind would be waited for by whatever comes upon it.
    """
    if like.is_cuda and find_spec("triton"):
        from alexnet.loading.gpu import device_view_batches

        about = (like.device, like.dtype, crop)
        yield from device_view_batches(images, mean_HWC, views, batches, *about)
    else:
        import torch

        from alexnet.loading.loader import view_batches

        for x_NHWC in view_batches(images, mean_HWC, views, batches, crop):
            yield torch.from_numpy(x_NHWC).permute(0, 3, 1, 2)
