"""One training run on many processes: a grid of replicas and columns, and what they exchange.

A replica trains on its share of every batch, and the gradients of all are summed: fully connected layers
first, as the backward pass finds them, so that the exchange of their many numbers goes on while the
convolutions are differentiated. A replica is the whole network on one process, or its two columns on two
(`network.columns`), or a `hybrid`: half the images in the convolutions, half the units after them.

The batch, the order of images, their crops and the dropout masks are those of one process, whatever
the grid.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh

from alexnet import paper
from alexnet.base import ranks
from alexnet.base.errors import UsageError
from alexnet.config import OptimizerConfig
from alexnet.network.alexnet import AlexNet
from alexnet.network.columns import Column, Columns, HalfConnected, Link, Piece
from alexnet.network.traffic import Layout
from alexnet.paper import Layer
from alexnet.training.optimizer import Factors, PaperSGD, squares


class Mesh:
    """This process's place in the grid, and the exchange of gradients and numbers.

    Raises UsageError where the processes, or the images of a batch, cannot be shared out so.
    """

    def __init__(self, batch: int, layout: Layout = "fused", device: str = "cpu") -> None:
        self.layout, self.batch = layout, batch
        world = ranks.world()
        each = paper.COLUMNS if layout != "fused" and world > 1 else 1
        if world % each:
            raise UsageError(
                f"Two columns need an even number of processes; there are {world}.",
                remedy=f"For example: torchrun --nproc-per-node {world + 1} ...",
            )
        self.replicas = world // each
        self.replica, self.column = divmod(ranks.rank(), each)
        smallest = self.replicas * (paper.COLUMNS if layout == "hybrid" else 1)
        if batch < smallest or (layout == "hybrid" and batch % smallest):
            raise UsageError(
                f"A batch of {batch} images cannot be shared out to {self.replicas} replicas"
                f"{' of two halves' if layout == 'hybrid' else ''}.",
                remedy="Start fewer processes, or --set optimizer.batch="
                f"{smallest * max(1, round(batch / smallest))}",
            )
        self.link: Link | None = None
        self._same: dist.ProcessGroup | None = None  # the replicas of this column
        self._works: list[dist.Work] = []
        if world > 1:
            kind = torch.device(device).type
            grid = init_device_mesh(
                kind, (self.replicas, each), mesh_dim_names=("replica", "column")
            )
            self._same = grid.get_group("replica")
            if each > 1:
                self.link = Link(self.column, grid.get_group("column"))

    @property
    def rows(self) -> slice:
        """Which images of a batch this process computes the loss of."""
        return ranks.share(self.batch, self.replica, self.replicas)

    @property
    def images(self) -> slice:
        """Which images of a batch go in here."""
        rows = self.rows
        if self.columns_of_images == 1:
            return rows
        middle = (rows.start + rows.stop) // 2
        return slice(rows.start, middle) if self.column == 0 else slice(middle, rows.stop)

    @property
    def weight(self) -> float:
        """The share of this process's mean loss in that of the whole batch."""
        rows = range(self.batch)[self.rows]
        return len(rows) / self.batch

    @property
    def columns_of_images(self) -> int:
        """How many processes have a part of the images of `rows`."""
        return paper.COLUMNS if self.layout == "hybrid" and self.link else 1

    def labels(self, labels_B: Tensor) -> Tensor:
        """The labels of `rows`, from those of `images`."""
        if self.link is None or self.columns_of_images == 1:
            return labels_B
        theirs = self.link.exchange(labels_B, torch.empty_like(labels_B))
        return self.link.in_order(labels_B, theirs, 0)

    def sum_gradients(self, network: nn.Module, pieces: dict[str, Piece]) -> None:
        """From now on, sum each gradient over the replicas as soon as a backward pass has found it."""
        for name, w in network.named_parameters():
            if not w.requires_grad:
                continue
            group = self._same
            if name in pieces and pieces[name].shared:
                group = dist.group.WORLD
            if group is not None and dist.get_world_size(group) > 1:
                w.register_post_accumulate_grad_hook(self._summing(group))

    def await_gradients(self) -> None:
        """Wait until the sums are there."""
        for work in self._works:
            work.wait()
        self._works.clear()

    def total(self, numbers: Tensor) -> Tensor:
        """The sums of all processes' numbers."""
        if self._same is not None:
            dist.all_reduce(numbers)
        return numbers

    def counts(self, piece: Piece | None) -> bool:
        """Whether this process is the one that counts a parameter in a length of all."""
        is_divided = piece is not None and not piece.shared
        return self.replica == 0 and (is_divided or self.column == 0)

    def _summing(self, group: dist.ProcessGroup) -> Callable[[Tensor], None]:
        def start(w: Tensor) -> None:
            work: Any = dist.all_reduce(w.grad, group=group, async_op=True)
            self._works.append(work)

        return start


class Placed:
    """A network laid out on a mesh: `network` computes, from this process's part of `whole`.

    `whole` and its optimizer are what is saved, validated and gone back to. Where they are in one piece
    here, they are also what computes; otherwise `scatter` and `gather` carry numbers over. `second` is
    the device of the second column where both are in this process. Without a mesh it is one process's.
    """

    def __init__(
        self,
        whole: AlexNet,
        sgd: OptimizerConfig,
        mesh: Mesh | None = None,
        second: str = "",
    ) -> None:
        self.mesh = mesh = mesh or Mesh(sgd.batch.count)
        if mesh.layout == "columns" and not whole.convention.comes_apart:
            raise UsageError(
                f"The network {whole.convention.name!r} has no columns that can be computed apart.",
                remedy="Train it in one piece, or --hybrid.",
            )
        self.whole = whole
        device = next(whole.parameters()).device
        for layer in sgd.frozen([layer.name for layer in whole.layers]):
            for w in whole.weight_and_bias(layer):
                w.requires_grad_(False)
        self.whole_optimizer = self.optimizer = _optimizer(whole, whole.layers, sgd)
        self.network: AlexNet | Columns = whole
        if mesh.link:
            kind = HalfConnected if mesh.layout == "hybrid" else Column
            self.network = kind(whole, mesh.column, mesh.link)
        elif mesh.layout == "columns":
            self.network = Columns(whole, (device, second or device))
        self.pieces: dict[str, Piece] = getattr(self.network, "pieces", {})
        if self.pieces:
            self.optimizer = _optimizer(self.network, whole.layers, sgd)
        self._is_whole = not self.pieces

    def numbers(self, loss: Tensor, wrong: Tensor, computing: nn.Module) -> Tensor:
        """A step's loss, wrong images, length of the gradient, and of all weights and velocities:
        those of all processes together, from this one's: float64, 4. `computing` has the gradients.
        """
        counted = {
            name: w
            for name, w in self.network.named_parameters()
            if self.mesh.counts(self.pieces.get(name))
        }
        found = computing.named_parameters()
        gradients = [w.grad for name, w in found if name in counted and w.grad is not None]
        kept = [w for one in counted.values() for w in (one.detach(), self.optimizer.velocity(one))]
        is_first = self.mesh.column == 0  # both columns know the images
        numbers = torch.stack(
            [
                loss.detach().double() * is_first,
                wrong.double() * is_first,
                squares(gradients).to(loss.device),
                squares(kept).to(loss.device),
            ]
        )
        numbers = self.mesh.total(numbers)
        numbers[2:].sqrt_()
        return numbers

    def changed(self) -> None:
        """What computes has gone on; `whole` is behind."""
        self._is_whole = not self.pieces

    @torch.no_grad()
    def scatter(self) -> None:
        """Take the parts from the whole."""
        for _, piece, part, velocity in self._parts():
            w = self.whole.get_parameter(piece.name)
            part.copy_(w[piece.place])
            velocity.copy_(self.whole_optimizer.velocity(w)[piece.place])
        self._is_whole = True

    @torch.no_grad()
    def gather(self) -> None:
        """Bring the whole up to date; both columns have to."""
        if self._is_whole:
            return
        theirs = self.network.theirs if isinstance(self.network, Column) else {}
        for name, piece, *mine in self._parts():
            w = self.whole.get_parameter(piece.name)
            for whole, part in zip((w, self.whole_optimizer.velocity(w)), mine, strict=True):
                whole[piece.place] = part
                if name in theirs and not piece.shared:
                    assert self.mesh.link
                    place = theirs[name].place
                    room = torch.empty_like(whole[place], memory_format=torch.contiguous_format)
                    whole[place] = self.mesh.link.exchange(part.contiguous(), room)
        self._is_whole = True

    def _parts(self) -> Iterator[tuple[str, Piece, Tensor, Tensor]]:
        """The name, place, weights and velocity of every part here."""
        for name, w in self.network.named_parameters():
            if name in self.pieces:
                yield name, self.pieces[name], w, self.optimizer.velocity(w)


def _optimizer(network: nn.Module, layers: Sequence[Layer], sgd: OptimizerConfig) -> PaperSGD:
    """The update of a network, or of a part of it, each parameter with its layer's factors."""
    names = [layer.name for layer in layers]

    def factors(name: str) -> Factors:
        layer, kind = name.split(".")[-2:]
        return lambda epoch: (
            sgd.rate_factor(layer, names, kind == "bias", epoch),
            sgd.decay_factor(layer, names, epoch),
        )

    groups = [{"params": [w], "factors": factors(name)} for name, w in network.named_parameters()]
    return PaperSGD(groups, 0.0, sgd.momentum, sgd.weight_decay)  # the rate is each step's
