"""The two columns of section 3.2 apart: half of every layer each, meeting where the paper says.

A column is the network with half the rows of every parameter: half the kernels, and half the neurons of
the hidden and the output layers. Where a layer sees both columns (conv3, fc6, fc7, fc8), each column
needs what the other has put out, and gives back the gradient of that. The columns are processes that
exchange tensors (`Link`), or both in this one, on one or two devices (`Columns`). The weight file is that
of the whole network.

Shape letters: N images, C maps or units of one column, H x W positions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from alexnet import paper
from alexnet.network.alexnet import AlexNet
from alexnet.network.dropout import mask
from alexnet.network.table import is_conv
from alexnet.paper import Layer


def half(kernels: int, column: int) -> slice:
    """Which kernels of a layer, and so which rows of its parameters, belong to a column."""
    middle = (kernels + 1) // 2
    return slice(0, middle) if column == 0 else slice(middle, kernels)


def whole(halves: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The whole network's parameters (or velocities), from those of its columns in order."""
    return {name: torch.cat([one[name] for one in halves]) for name in halves[0]}


class Column(AlexNet):
    """Column 0 or 1 of a network, with copies of its halves of the parameters.

    Its logits are those of both columns; their gradient is taken to be the same in both, as it is when
    each computes the loss of the same batch.
    """

    columns = 1

    def __init__(self, network: AlexNet, column: int, link: Link | None = None) -> None:
        nn.Module.__init__(self)
        self.layers, self.lrn = network.layers, network.lrn
        self.column, self.link = column, link
        for layer in self.layers:
            part, module = half(layer.kernels, column), nn.Module()
            for name, value in zip(
                ("weight", "bias"), network.weight_and_bias(layer.name), strict=True
            ):
                module.register_parameter(name, nn.Parameter(value.detach()[part].clone()))
            self.add_module(layer.name, module)

    def forward(self, x: Tensor, dropout: Tensor | None = None) -> Tensor:
        """Logits of both columns, N x K; see `AlexNet.forward`."""
        assert self.link
        halves = [half(self.classes, column) for column in range(paper.COLUMNS)]
        return _Collected.apply(super().forward(x, dropout), self.link, halves)  # type: ignore[no-untyped-call,no-any-return]

    def read(self, x: Tensor, layer: Layer) -> Tensor:
        """The other column's maps too, where the layer sees both."""
        if layer.sees != "both columns":
            return x
        return _Joined.apply(x, self.link)  # type: ignore[no-untyped-call,no-any-return]

    def dropped(self, x: Tensor, layer: Layer, lane: int, dropout: Tensor) -> Tensor:
        """The column's part of the mask that the whole layer has in this step."""
        kept = mask(x.new_empty(len(x), layer.kernels), dropout, lane)
        return F.relu(x) * kept[:, half(layer.kernels, self.column)]


class Columns(nn.Module):
    """Both columns in this process, on one device or two."""

    def __init__(
        self, network: AlexNet, devices: Sequence[torch.device | str] = ("cpu", "cpu")
    ) -> None:
        super().__init__()
        self.devices = tuple(map(torch.device, devices))
        self.both = nn.ModuleList(
            Column(network, n).to(self.devices[n]) for n in range(paper.COLUMNS)
        )

    def forward(self, x: Tensor, dropout: Tensor | None = None) -> Tensor:
        """Logits, N x K, on the first device; see `AlexNet.forward`."""
        parts = [x.to(device) for device in self.devices]
        first: Column = self.both[0]  # type: ignore[assignment]
        for lane, layer in enumerate(first.layers):
            if layer.sees == "both columns":
                parts = [torch.cat([part.to(d) for part in parts], dim=1) for d in self.devices]
            parts = [
                column.convolution(part, layer)  # type: ignore[operator]
                if is_conv(layer)
                else column.connection(part, layer, lane, dropout)  # type: ignore[operator]
                for column, part in zip(self.both, parts, strict=True)
            ]
        return torch.cat([part.to(self.devices[0]) for part in parts], dim=1)


class Link:
    """The way between two processes that each hold a column; counts the bytes it has sent."""

    def __init__(self, column: int, group: dist.ProcessGroup | None = None) -> None:
        self.column, self.group, self.sent = column, group, 0
        self.peer = dist.get_process_group_ranks(group or dist.group.WORLD)[1 - column]

    def exchange(self, mine: Tensor, theirs: Tensor) -> Tensor:
        """Send `mine`, and fill and return `theirs`; both contiguous."""
        self.sent += mine.numel() * mine.element_size()
        operations = [
            dist.P2POp(dist.isend, mine, self.peer, self.group),
            dist.P2POp(dist.irecv, theirs, self.peer, self.group),
        ]
        for work in dist.batch_isend_irecv(operations):
            work.wait()
        return theirs

    def in_order(self, mine: Tensor, theirs: Tensor) -> Tensor:
        """Both columns' numbers along the last axis, the first column's first."""
        return torch.cat([mine, theirs] if self.column == 0 else [theirs, mine], dim=-1)


class _Joined(torch.autograd.Function):
    """The maps of both columns; the gradient of a column's own comes from both."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, link: Link) -> Tensor:
        ctx.link = link
        mine = _maps_last(x)
        return _maps_second(link.in_order(mine, link.exchange(mine, torch.empty_like(mine))))

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None]:
        link: Link = ctx.link
        parts = [part.contiguous() for part in _maps_last(g).chunk(2, dim=-1)]
        mine, theirs = parts[link.column], parts[1 - link.column]
        return _maps_second(mine + link.exchange(theirs, torch.empty_like(mine))), None


class _Collected(torch.autograd.Function):
    """The logits of both columns; a column's own have the gradient that it computes itself."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, link: Link, halves: list[slice]) -> Tensor:
        ctx.own = halves[link.column]
        other = halves[1 - link.column]
        theirs = x.new_empty(len(x), other.stop - other.start)
        return link.in_order(x, link.exchange(x.contiguous(), theirs))

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None, None]:
        return g[:, ctx.own], None, None


def _maps_last(x: Tensor) -> Tensor:
    """N x C x H x W, channels-last in memory, as contiguous N x H x W x C; N x C as it is."""
    return (x.permute(0, 2, 3, 1) if x.ndim == 4 else x).contiguous()


def _maps_second(x: Tensor) -> Tensor:
    return x.permute(0, 3, 1, 2) if x.ndim == 4 else x
