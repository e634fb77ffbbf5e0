"""A training step on a GPU: three recorded graphs, one update kernel, no wait for the host.

Weights and velocities are float32. With `bf16` the network that computes is a copy in bfloat16, which
the update writes. A step is

    first       the convolutional layers forward
    rest        the others forward, all of it backward, the check, the convolutional layers' update
    late        the fully connected layers' update

and `late` runs beside the *next* step's `first`, on a stream of its own: it moves 96 % of the
weights through memory while the convolutions, which need none of them, multiply. By then the whole
gradient is known to be finite, so that no layer is ever updated with a step that has a bad number.
After one that has, nothing is updated any more; the host reads the numbers one step late.

Shape letters: B images of a batch, P parameters of the network.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from alexnet.base import ranks
from alexnet.loading.gpu import DeviceBatch, DeviceLoader
from alexnet.loading.loader import Loader
from alexnet.network.alexnet import AlexNet
from alexnet.network.dropout import address, masks_of
from alexnet.network.precision import dtype_of, set_products
from alexnet.network.table import is_connected
from alexnet.training.mesh import Placed
from alexnet.training.objective import Classification, Objective
from alexnet.training.step import StepResult, gradients_of
from alexnet.training.update import update

_WARM_UP = 3  # steps without update before recording: libraries choose, kernels are compiled


@dataclass(frozen=True)
class _Weights:
    """One parameter: float32 weights, their velocity, and the weights that the network computes with.

    `number` is its place among all.
    """

    number: int
    master: nn.Parameter
    velocity: Tensor
    working: nn.Parameter


class GpuStep:
    """Steps of a network that is on a GPU, on batches of one size.

    `graphs=False` runs the same operations one by one (and on any device, for comparison), as several
    processes always do: what they exchange is not recorded.
    """

    def __init__(
        self,
        placed: Placed,
        seed: int,
        precision: str,
        graphs: bool = True,
        resident: bool | None = None,
        objective: Objective | None = None,
    ) -> None:
        set_products(precision)
        assert isinstance(placed.network, AlexNet)
        self.device = next(placed.whole.parameters()).device
        self.placed, self.seed, self.resident = placed, seed, resident
        self.objective = objective or Classification(placed.whole.classes)
        self.momentum = placed.optimizer.defaults["momentum"]
        self.dtype = dtype_of(precision)
        placed.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        placed.optimizer.lay_out_alike()
        self._computing = placed.network.train()
        if self.dtype != torch.float32:
            self._computing = copy.deepcopy(placed.network).to(self.dtype)
        placed.mesh.sum_gradients(self._computing, placed.pieces)
        self.network = self._computing
        if placed.pieces:  # what is validated is the whole network, in the same numbers
            self.network = copy.deepcopy(placed.whole).to(self.dtype)
        self._early, self._late = self._weights(placed.network)
        graphs = graphs and ranks.world() == 1
        self._graphs: dict[str, torch.cuda.CUDAGraph] | None = {} if graphs else None
        self._factors: list[tuple[float, float]] = []
        self._is_ready = False
        self._begun: tuple[int, float, Tensor, Any] | None = None

    def loader(self, loader: Loader) -> DeviceLoader:
        """The same views, cut on the device."""
        return DeviceLoader(loader, self.device, self.resident)

    def ready(self) -> None:
        """See `Step`."""
        self.placed.scatter()
        with torch.no_grad():
            for one in (*self._early, *self._late):
                one.working.copy_(one.master)
        self._show()

    def gradients(self) -> Iterable[tuple[str, Tensor]]:
        """See `Step`."""
        return gradients_of(self._computing)

    def take(self, batch: DeviceBatch, rate: float, epoch: float = 0.0) -> list[StepResult]:
        """Begin a step; the result of the one before."""
        with self._on_device():
            if not self._is_ready:
                self._prepare(len(batch.cuts_B8))
            batch.cut_into(self._x)
            self._labels_B.copy_(self.placed.mesh.labels(batch.labels_B))
            self._address_3[1].fill_(batch.step)
            self._set_rates(rate, epoch)
            self._launch()
            self.placed.changed()
            numbers, event = self._send_numbers()
            before, self._begun = self._begun, (batch.step, rate, numbers, event)
            return _results(before)

    def finish(self) -> list[StepResult]:
        """Do the update that is left, and wait."""
        with self._on_device():
            if self._is_ready:
                self._run("late")
                self._pending_1.zero_()
            self.placed.gather()
            self._show()
            before, self._begun = self._begun, None
            return _results(before)

    @torch.no_grad()
    def _show(self) -> None:
        """Bring the network that is validated up to date, where it is not the one that computes."""
        if self.network is not self._computing:
            for shown, w in zip(
                self.network.parameters(), self.placed.whole.parameters(), strict=True
            ):
                shown.copy_(w)

    def _first(self) -> None:
        network = self._computing
        stages = [stage for stage in network.stages if not is_connected(stage.layer)]
        with masks_of(network, self._address_3):
            self._hidden = network.run(stages, network.entered(self._x))

    def _rest(self) -> None:
        network, mesh = self._computing, self.placed.mesh
        stages = [stage for stage in network.stages if is_connected(stage.layer)]
        with masks_of(network, self._address_3):
            outputs = network.run(stages, self._hidden).float()
        loss = self.objective.loss(outputs, self._x, self._labels_B) * mesh.weight
        for one in (*self._early, *self._late):
            one.working.grad = None
        loss.backward()
        mesh.await_gradients()
        wrong = self.objective.wrong(outputs.detach(), self._x, self._labels_B)
        self._numbers_4.copy_(self.placed.numbers(loss, wrong, network))
        self._allowed_1.mul_(self._numbers_4.isfinite().all())
        self._update(self._early, self._rates_P2, self._allowed_1)
        self._late_rates_P2.copy_(self._rates_P2)
        self._pending_1.copy_(self._allowed_1)

    def _update_late(self) -> None:
        self._update(self._late, self._late_rates_P2, self._pending_1)

    def _launch(self) -> None:
        if self.device.type == "cuda":
            main = torch.cuda.current_stream()
            self._side.wait_stream(main)
            with torch.cuda.stream(self._side):
                self._run("late")
            self._run("first")
            main.wait_stream(self._side)
        else:
            self._run("late")
            self._run("first")
        self._run("rest")

    def _run(self, part: str) -> None:
        if self._graphs:
            self._graphs[part].replay()
        else:
            self._parts[part]()

    def _update(self, several: list[_Weights], rates_P2: Tensor, go_1: Tensor) -> None:
        with torch.no_grad():
            for one in several:
                if one.working.grad is not None:  # there is none before the first step
                    rates_2 = rates_P2[one.number]
                    update(one.master, one.velocity, one.working, rates_2, go_1, self.momentum)

    def _set_rates(self, rate: float, epoch: float) -> None:
        """The rates, and the rates times decay, of all parameters."""
        sgd = self.placed.optimizer
        if (factors := sgd.factors(epoch)) != self._factors:
            decay = sgd.defaults["weight_decay"]
            rows = [(factor, factor * by * decay) for factor, by in factors]
            self._factors, self._factors_P2 = factors, torch.tensor(rows, device=self.device)
        torch.mul(self._factors_P2, rate, out=self._rates_P2)

    def _prepare(self, batch: int) -> None:
        """Room for what a recorded step reads and writes; then record it."""
        like: dict[str, Any] = {"device": self.device}
        crop = self.network.convention.crop
        self._x = torch.zeros(batch, 3, crop, crop, dtype=self.dtype, **like)
        self._x = self._x.contiguous(memory_format=torch.channels_last)
        mesh = self.placed.mesh
        self._labels_B = torch.zeros(batch * mesh.columns_of_images, dtype=torch.int64, **like)
        self._address_3 = address(self.seed, 0, mesh.rows.start).to(self.device)
        self._rates_P2 = torch.zeros(len(self._early) + len(self._late), 2, **like)
        self._late_rates_P2 = torch.zeros_like(self._rates_P2)
        self._numbers_4 = torch.zeros(4, dtype=torch.float64, **like)
        self._allowed_1 = torch.zeros(1, dtype=torch.int32, **like)
        self._pending_1 = torch.zeros(1, dtype=torch.int32, **like)
        self._parts = {
            "first": self._first,
            "rest": self._rest,
            "late": self._update_late,
        }
        if self.device.type == "cuda":
            self._side = torch.cuda.Stream()
            torch.backends.cudnn.benchmark = not torch.are_deterministic_algorithms_enabled()
        if self._graphs is not None:
            self._record(self._graphs)
        self._allowed_1.fill_(1)
        self._is_ready = True

    def _record(self, graphs: dict[str, torch.cuda.CUDAGraph]) -> None:
        """Record the parts; nothing is allowed to be updated yet."""
        stream, pool = torch.cuda.Stream(), torch.cuda.graph_pool_handle()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(_WARM_UP):
                for part in self._parts.values():
                    part()
        torch.cuda.current_stream().wait_stream(stream)
        for name, part in self._parts.items():
            graph = torch.cuda.CUDAGraph()
            # Threads that load images may go on calling the driver.
            with torch.cuda.graph(graph, pool, stream, capture_error_mode="thread_local"):
                part()
            graphs[name] = graph

    def _send_numbers(self) -> tuple[Tensor, Any]:
        """The step's numbers on their way to the host, and the event of their arrival."""
        if self.device.type != "cuda":
            return self._numbers_4.clone(), None
        numbers = torch.empty(4, dtype=torch.float64, pin_memory=True)
        numbers.copy_(self._numbers_4, non_blocking=True)
        event = torch.cuda.Event()
        event.record()
        return numbers, event

    def _weights(self, network: AlexNet) -> tuple[list[_Weights], list[_Weights]]:
        """The parameters that are updated at once, and those that are updated late."""
        early: list[_Weights] = []
        late: list[_Weights] = []
        working = dict(self._computing.named_parameters())
        for number, (name, master) in enumerate(network.named_parameters()):
            velocity = self.placed.optimizer.velocity(master)
            one = _Weights(number, master, velocity, working[name])
            (late if is_late(name) else early).append(one)
        return early, late

    def _on_device(self) -> AbstractContextManager[object]:
        return torch.cuda.device(self.device) if self.device.type == "cuda" else nullcontext()


def is_late(parameter: str) -> bool:
    """Whether a parameter of that name is updated beside the next step: those of `fc6.weight` are."""
    return parameter.startswith("fc")


def _results(begun: tuple[int, float, Tensor, Any] | None) -> list[StepResult]:
    """The result of a step that was begun, if one was."""
    if begun is None:
        return []
    step, rate, numbers, event = begun
    if event is not None:
        event.synchronize()
    return [StepResult(step, rate, *numbers.tolist())]
