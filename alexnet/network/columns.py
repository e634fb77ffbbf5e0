"""The two columns of section 3.2 apart: half of every layer each, meeting where the paper says.

A column is the network with half the rows of every parameter: half the kernels, and half the neurons of
the hidden and the output layers. Where a layer sees both columns (conv3, fc6, fc7, fc8) a column needs
what the other has put out, and gives back the gradient of that. It multiplies its own half while the
other's is under way, in both directions: the weights over the other's maps, `crossing`, are a parameter
of their own. The columns are processes that exchange tensors (`Link`), or both in this one, on one or
two devices (`Columns`). A `HalfConnected` network divides its fully connected layers alone, and the
images before them (Krizhevsky 2014, "one weird trick").

The weight file is always that of the whole network: `pieces` says which part of it a parameter is.

Shape letters: N images, C maps or units, H x W positions, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor, nn

from alexnet import paper
from alexnet.network import fused
from alexnet.network.alexnet import AlexNet
from alexnet.network.conv import convolve
from alexnet.network.dropout import Dropout
from alexnet.network.linear import linear
from alexnet.network.table import Stage, half, is_connected
from alexnet.paper import Layer, Sees


class Piece(NamedTuple):
    """Where a parameter lies in the whole network: in which one, and where in that."""

    name: str
    place: tuple[slice, ...]
    shared: bool  # both columns have it, and all of it


class Column(AlexNet):
    """Column 0 or 1 of a network, with copies of its parts of the parameters.

    It is a network of its own, with half the kernels and one column, whose layers that see both have a
    `crossing`. Its logits are those of both columns; their gradient is taken to be the same in both, as
    it is when each computes the loss of the same batch. `pieces` are its parameters, `theirs` the other
    column's.
    """

    def __init__(self, network: AlexNet, column: int, link: Link | None = None) -> None:
        nn.Module.__init__(self)
        whole = network.convention
        self.whole, self.column, self.link = whole, column, link
        self._build(replace(whole, layers=tuple(map(self._part, whole.layers))))
        for stage, layer in zip(self.stages, whole.layers, strict=True):
            drop, wholes = (one.get_submodule(stage.names[-1]) for one in (self, network))
            if isinstance(drop, Dropout) and isinstance(wholes, Dropout):
                drop.p = wholes.p
                if self.divides(layer):  # its part of the layer's mask
                    drop.units, drop.start = layer.kernels, half(layer.kernels, column).start
        self.pieces = self._pieces(network, column)
        self.theirs = self._pieces(network, 1 - column)
        for name, piece in self.pieces.items():
            layer_name, _, kind = name.partition(".")
            w = network.get_parameter(piece.name)
            part = nn.Parameter(w.detach()[piece.place].clone(), w.requires_grad)
            self.get_submodule(layer_name).register_parameter(kind, part)

    def divides(self, layer: Layer) -> bool:
        """Whether each column has its own half of a layer."""
        return True

    def forward(self, x: Tensor) -> Tensor:
        """Logits of both columns, N x K."""
        return self.run(self.stages, self.entered(x))

    def run(self, stages: Sequence[Stage], x: Tensor) -> Tensor:
        """What some of the stages make of the output of those before: its own maps first, while the
        other's come.
        """
        for stage in stages:
            if crossing(self, stage) is None:
                x = fused.run(self, stage, x)
            else:
                assert self.link
                x = crossed(self, stage, *self.link.begin(_flat(stage, x)))
        return self._collected(x) if stages[-1] == self.stages[-1] else x

    def _collected(self, x_NK: Tensor) -> Tensor:
        """The logits of both columns."""
        assert self.link
        halves = [half(self.whole.output.kernels, column) for column in range(paper.COLUMNS)]
        return _Collected.apply(x_NK, self.link, halves)  # type: ignore[no-untyped-call,no-any-return]

    def _part(self, layer: Layer) -> Layer:
        """A row of the table as the column has it: all the maps that it sees are its own."""
        if not self.divides(layer):
            return layer
        own = half(layer.kernels, self.column)
        sees: Sees = "image" if layer.sees == "image" else "both columns"
        return layer._replace(kernels=own.stop - own.start, sees=sees)

    def _pieces(self, network: AlexNet, column: int) -> dict[str, Piece]:
        """A column's parameters: `weight` and `bias` of each layer, and `crossing` where it has one."""
        found = {}
        layers = self.whole.layers
        for layer, before in zip(layers, (None, *layers), strict=False):
            rows = half(layer.kernels, column) if self.divides(layer) else slice(None)
            inputs, shared = {"weight": slice(None)}, not self.divides(layer)
            if layer.sees == "both columns" and before and self.divides(before):
                seen = network.weight_and_bias(layer.name)[0].shape[1]
                each = seen // before.kernels  # numbers of a map, one after the other for fc6
                for kind, whose in (("weight", column), ("crossing", 1 - column)):
                    maps = half(before.kernels, whose)
                    inputs[kind] = slice(maps.start * each, maps.stop * each)
            for kind, part in inputs.items():
                found[f"{layer.name}.{kind}"] = Piece(f"{layer.name}.weight", (rows, part), shared)
            found[f"{layer.name}.bias"] = Piece(f"{layer.name}.bias", (rows,), shared)
        return found


class HalfConnected(Column):
    """Both columns' convolutions for half of the images; half the fully connected layers for all.

    The first column has the first half of the images.
    """

    def divides(self, layer: Layer) -> bool:
        """Only the fully connected layers."""
        return is_connected(layer)

    def run(self, stages: Sequence[Stage], x: Tensor) -> Tensor:
        """See `Column.run`; the fully connected layers, and dropout before them, read all images."""
        last = [stage for stage in self.stages if not is_connected(stage.layer)][-1]
        before = [stage.without_dropout for stage in stages if not is_connected(stage.layer)]
        after = stages[len(before) :]
        if before:
            x = super().run(before, x)
        if after and after[0] == self.stages[self.stages.index(last) + 1]:
            x = _AllImages.apply(x.flatten(1), self.link)  # type: ignore[no-untyped-call]
            module = self.get_submodule(last.names[-1])
            x = fused.drop(module, x) if isinstance(module, Dropout) else x
        return super().run(after, x) if after else x


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

    @property
    def pieces(self) -> dict[str, Piece]:
        """Of the parameters of both."""
        return {
            f"both.{n}.{name}": piece
            for n, column in enumerate(self.both)
            for name, piece in column.pieces.items()  # type: ignore[operator,union-attr]
        }

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Logits, N x K, on the first device."""
        columns: list[Column] = list(self.both)  # type: ignore[arg-type]
        parts = [
            column.entered(x_NCHW.to(d)) for column, d in zip(columns, self.devices, strict=True)
        ]
        for stages in zip(*(column.stages for column in columns), strict=True):
            parts = [
                _beside(column, stage, parts) for column, stage in zip(columns, stages, strict=True)
            ]
        return torch.cat([part.to(self.devices[0]) for part in parts], dim=1)


def _beside(column: Column, stage: Stage, parts: Sequence[Tensor]) -> Tensor:
    """What a stage makes of the column's own maps, and where it sees them, of the other's beside it."""
    mine, theirs = (_flat(stage, parts[n]) for n in (column.column, 1 - column.column))
    with torch.cuda.device_of(mine):
        if crossing(column, stage) is None:
            return fused.run(column, stage, mine)
        return crossed(column, stage, mine, lambda: theirs.to(mine.device))


def _flat(stage: Stage, x: Tensor) -> Tensor:
    return x.flatten(1) if is_connected(stage.layer) else x


def crossing(column: Column, stage: Stage) -> nn.Parameter | None:
    """A layer's weights over the other column's maps; None where it sees its own alone."""
    found: nn.Parameter | None = getattr(column.get_submodule(stage.layer.name), "crossing", None)
    return found


def crossed(column: Column, stage: Stage, x: Tensor, theirs: Callable[[], Tensor]) -> Tensor:
    """A layer over this column's maps, or units, and the other's, which are asked for last."""
    layer, across = stage.layer, crossing(column, stage)
    assert across is not None
    weight, bias = column.weight_and_bias(layer.name)
    if is_connected(layer):
        sums = linear(x, weight, bias) + linear(theirs(), across, torch.zeros_like(bias))
        return fused.after_units(column, stage, sums)
    sums = convolve(x, weight, None, layer) + convolve(theirs(), across, None, layer)
    return fused.after_maps(column, stage, sums, bias)


class Link:
    """The way between two processes that each hold a column."""

    def __init__(self, column: int, group: dist.ProcessGroup | None = None) -> None:
        self.column, self.group = column, group
        self.peer = dist.get_process_group_ranks(group or dist.group.WORLD)[1 - column]

    def __deepcopy__(self, memo: object) -> Link:
        return self  # a copied network talks to the same neighbour

    def start(self, mine: Tensor, theirs: Tensor) -> Callable[[], Tensor]:
        """Begin to send `mine` and to fill `theirs`, both contiguous; waiting returns `theirs`."""
        operations = [
            dist.P2POp(dist.isend, mine, self.peer, self.group),
            dist.P2POp(dist.irecv, theirs, self.peer, self.group),
        ]
        works = dist.batch_isend_irecv(operations)

        def wait() -> Tensor:
            for work in works:
                work.wait()
            return theirs

        return wait

    def exchange(self, mine: Tensor, theirs: Tensor) -> Tensor:
        """Send `mine`, and fill and return `theirs`; both contiguous."""
        return self.start(mine, theirs)()

    def begin(self, x: Tensor) -> tuple[Tensor, Callable[[], Tensor]]:
        """Begin to exchange this column's maps for the other's of the same shape.

        What is to overlap is computed from the tensor returned, before the other's are asked for.
        Backward it is the other way round: their gradient is sent first, and awaited last.
        """
        flight = _Flight(self)
        x, token = _Begun.apply(x, flight)  # type: ignore[no-untyped-call]
        return x, lambda: _Arrived.apply(token, flight)  # type: ignore[no-untyped-call]

    def in_order(self, mine: Tensor, theirs: Tensor, dim: int) -> Tensor:
        """Both columns' numbers along an axis, the first column's first."""
        return torch.cat([mine, theirs] if self.column == 0 else [theirs, mine], dim)


class _Flight:
    """An exchange under way: forward the maps', then backward their gradients'."""

    def __init__(self, link: Link) -> None:
        self.link = link

    def start(self, x: Tensor) -> None:
        """Send `x`, which is channels-last in memory where it has positions."""
        mine = (x.permute(0, 2, 3, 1) if x.ndim == 4 else x).contiguous()
        self._wait = self.link.start(mine, torch.empty_like(mine))

    def land(self) -> Tensor:
        """What the other has sent, once it is here."""
        theirs = self._wait()
        return theirs.permute(0, 3, 1, 2) if theirs.ndim == 4 else theirs


class _Begun(torch.autograd.Function):
    """Hands on a column's own maps when they are on their way; the token stands for the other's."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, flight: _Flight) -> tuple[Tensor, Tensor]:
        ctx.flight = flight
        flight.start(x)
        return x.view_as(x), x.new_empty(0)

    @staticmethod
    def backward(ctx: Any, g: Tensor, token: Tensor) -> tuple[Tensor, None]:
        return g + ctx.flight.land(), None


class _Arrived(torch.autograd.Function):
    """The other column's maps; backward their gradient sets out."""

    @staticmethod
    def forward(ctx: Any, token: Tensor, flight: _Flight) -> Tensor:
        ctx.flight = flight
        return flight.land()

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None]:
        ctx.flight.start(g)
        return g.new_empty(0), None


class _AllImages(torch.autograd.Function):
    """What both columns' images came to, the first column's first: 2N x C."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, link: Link) -> Tensor:
        ctx.link = link
        mine = x.contiguous()
        return link.in_order(mine, link.exchange(mine, torch.empty_like(mine)), 0)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None]:
        link: Link = ctx.link
        parts = [part.contiguous() for part in g.chunk(2)]
        mine, theirs = parts[link.column], parts[1 - link.column]
        return mine + link.exchange(theirs, torch.empty_like(mine)), None


class _Collected(torch.autograd.Function):
    """The logits of both columns; a column's own have the gradient that it computes itself."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, link: Link, halves: list[slice]) -> Tensor:
        ctx.own = halves[link.column]
        other = halves[1 - link.column]
        theirs = x.new_empty(len(x), other.stop - other.start)
        return link.in_order(x, link.exchange(x.contiguous(), theirs), 1)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None, None]:
        return g[:, ctx.own], None, None
