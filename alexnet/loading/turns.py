"""Which images are computed together, and which of several processes does that."""

from __future__ import annotations

from alexnet.base import ranks

VIEWS_AT_ONCE = 80  # some 400 MB of activations; more is not faster on a CPU


def batches(count: int, views: int) -> list[range]:
    """`count` images, of so many views each, as batches: the same however many processes there are."""
    size = VIEWS_AT_ONCE // views
    return [range(first, min(first + size, count)) for first in range(0, count, size)]


def turns(count: int, views: int) -> list[range]:
    """The batches of this process, where the processes take them in turn.

    All have as many, so that they meet after each one: the last one may be empty.
    """
    every = batches(count, views)
    mine = every[ranks.rank() :: ranks.world()]
    return mine + [range(0)] * (-(-len(every) // ranks.world()) - len(mine))
