"""What a run computes on, in which numbers, and how its network lies on processes and devices."""

from __future__ import annotations

from dataclasses import dataclass

from alexnet.base import ranks
from alexnet.base.errors import EnvironmentProblem, UsageError
from alexnet.base.provenance import program_hash
from alexnet.config import RunConfig
from alexnet.network.alexnet import AlexNet
from alexnet.network.columns import Columns
from alexnet.network.devices import AUTO, choose_device, require_device
from alexnet.network.kernels.gpu import HAS_TRITON
from alexnet.network.precision import choose_precision, set_products
from alexnet.network.traffic import Layout
from alexnet.prepared import PreparedDataset
from alexnet.settings import flat
from alexnet.training.eager import EagerStep
from alexnet.training.mesh import Mesh, Placed
from alexnet.training.objective import Objective
from alexnet.training.step import Step


@dataclass(frozen=True)
class Placement:
    """The devices, the precision and the layout of a run; made by `place`."""

    device: str = "cpu"
    second: str = ""  # the second column's, where both are in one process
    precision: str = "fp32"
    layout: Layout = "fused"


def place(
    device: str = AUTO, precision: str = "", columns: int = 1, hybrid: bool = False
) -> Placement:
    """What is asked for, checked; `auto` and no precision are chosen here.

    `device` may name two, "cuda:0,cuda:1", one for each column. Raises UsageError where the options do
    not go together, EnvironmentProblem where there is no such device.
    """
    one_process = ranks.world() == 1
    if hybrid and (columns > 1 or one_process):
        raise UsageError(
            "A hybrid is a layout of its own." if columns > 1 else "A hybrid is two processes.",
            where="--hybrid",
            remedy="Start them: torchrun --nproc-per-node 2 -m alexnet train ... --hybrid",
        )
    first, _, second = device.partition(",")
    if second and not (one_process and columns > 1):
        raise UsageError(
            "Two devices are for the two columns in one process.",
            where=f"--device {device}",
            remedy="Add --columns 2, or start a process for each device with torchrun.",
        )
    first = choose_device(first)
    if second:
        require_device(second)
    has_bf16 = HAS_TRITON and not (columns > 1 and one_process)
    precision = choose_precision(precision, first, on_gpu="bf16" if has_bf16 else "tf32")
    if precision == "bf16" and not has_bf16:
        raise _no_bf16()
    layout: Layout = "hybrid" if hybrid else "columns" if columns > 1 else "fused"
    return Placement(first, second, precision, layout)


def build_step(
    config: RunConfig,
    dataset: PreparedDataset,
    placement: Placement,
    objective: Objective | None = None,
    name: str = "",
) -> Step:
    """A network with its initial weights, on its devices and processes, ready to be trained.

    Raises IncompatibleError where the processes are not about to do the same.
    """
    ranks.require_same(
        {
            **flat(config),
            "the run": name,
            "the data's fingerprint": dataset.fingerprint,
            "the program": program_hash(),
            "precision": placement.precision,
            "layout": placement.layout,
        }
    )
    device = placement.device
    if device == "cuda" and ranks.world() > 1:
        device = f"cuda:{ranks.local_rank()}"
        require_device(device)
    classes, about = len(dataset.classes), config.network
    network = AlexNet(classes, about.of(classes), about.start, config.seed)
    mesh = Mesh(config.optimizer.batch.count, placement.layout, device)
    placed = Placed(network.to(device), config.optimizer, mesh, placement.second)
    return step_for(placed, config.seed, placement.precision, objective)


def step_for(placed: Placed, seed: int, precision: str, objective: Objective | None = None) -> Step:
    """The way to train a network on the device that it is on; raises EnvironmentProblem."""
    on_gpu = next(placed.whole.parameters()).is_cuda
    if on_gpu and HAS_TRITON and not isinstance(placed.network, Columns):
        from alexnet.training.gpu import GpuStep  # imports Triton's kernels

        return GpuStep(placed, seed, precision, objective=objective)
    if precision == "bf16":
        raise _no_bf16()
    set_products(precision)
    return EagerStep(placed, seed, objective)


def _no_bf16() -> EnvironmentProblem:
    return EnvironmentProblem(
        "Training in bf16 needs Triton, and a process for each column.",
        remedy="Install it (python -m pip install triton), start `torchrun`, or say "
        "--precision tf32.",
    )
