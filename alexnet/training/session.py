"""A run from its data to its model: what `train`, `resume` and `quickstart` have in common."""

from __future__ import annotations

import sys
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from alexnet.base import ranks
from alexnet.base.errors import DataError, EnvironmentProblem, IncompatibleError, UsageError
from alexnet.base.files import require_space
from alexnet.base.provenance import classes_hash, memory_bytes, program_hash
from alexnet.config import RunConfig
from alexnet.settings import flat

if TYPE_CHECKING:
    from alexnet.loading.loader import Loader
    from alexnet.network import AlexNet
    from alexnet.network.traffic import Layout
    from alexnet.prepared import PreparedDataset
    from alexnet.runs import Run
    from alexnet.training.mesh import Placed
    from alexnet.training.step import Step


@dataclass(frozen=True)
class Where:
    """What a run computes on and in which numbers, and how the network lies on its processes."""

    device: str = "cpu"
    second: str = ""  # the second column's, where both are in one process
    precision: str = "fp32"
    layout: Layout = "fused"


def start(
    config: RunConfig,
    dataset: PreparedDataset,
    name: str,
    where: Where | None = None,
    go_on: bool = False,
) -> Run:
    """A new run, trained to its end; its folder.

    If there is a run of this name, `go_on` goes on with it, and so does what `torchrun` starts again.
    """
    from alexnet.runs import RUNS, Run

    where = where or Where()
    name = name or f"{dataset.folder.resolve().name}-{config.recipe}-{config.seed}"
    is_there = ranks.from_rank_0((RUNS / name / "config.yaml").is_file())
    if is_there and ranks.any_of(go_on or ranks.restarts() > 0):
        run = Run.open(RUNS / name)
        if is_done(run, config):
            run.log(f"{run.folder} has done {config.length} already")
        else:
            go_on_with(run, config, where)
        return run
    _require_trainable(dataset)
    _require_room(config, dataset, RUNS if RUNS.is_dir() else Path())
    stepper = _stepper(name, config, dataset, where)
    said = _take_over(config, dataset, stepper)
    about = (where.device, where.precision, where.layout)
    run = Run.create(name, config, describe(dataset), *about)
    run.lock()
    counts = f"{len(dataset.split('train')):,} / {len(dataset.split('val')):,}"
    run.log(f"data    {dataset.folder}: {counts} images, {len(dataset.classes)} classes")
    run.log(f"recipe  {config.recipe}: {config.length}, batches of {config.optimizer.batch}")
    if ranks.world() > 1 or where.layout != "fused":
        several = f"{ranks.world()} processes" if ranks.world() > 1 else "one process"
        run.log(f"layout  {where.layout}, on {several}")
    run.log(f"run     {run.folder}")
    shards = dataset.description["splits"]["train"]["shards"]
    size, memory = sum(shard["bytes"] for shard in shards), memory_bytes()
    if size > memory and config.loading.shuffle == "full":
        run.log(
            f"! the images ({size / 1e9:.0f} GB) are more than this machine's memory "
            f"({memory / 1e9:.0f} GB): --set loading.shuffle=blocks reads them in runs of neighbours"
        )
    for line in said:
        run.log(line)
    _train(run, config, dataset, stepper, resume=False)
    return run


def is_done(run: Run, config: RunConfig, longer: bool = False) -> bool:
    """Whether a run is at its end, and has its model; `longer` where that was just moved."""
    from alexnet.loading.order import Order
    from alexnet.prepared import PreparedDataset

    count = len(PreparedDataset.open(run.data["folder"]).split("train"))
    steps = Order(count, config.optimizer.batch.count, config.seed).steps(config.length.count)
    rows = run.metrics()
    finished = (run.model / "config.json").is_file() or longer
    return ranks.from_rank_0(bool(rows) and rows[-1]["step"] >= steps and finished)


def go_on_with(run: Run, config: RunConfig, where: Where, override: Collection[str] = ()) -> None:
    """Train a run that was stopped."""
    from alexnet.base.provenance import environment
    from alexnet.prepared import PreparedDataset
    from alexnet.training.state import is_unborn

    dataset = PreparedDataset.open(run.data["folder"])
    _require_same_data(run, config, dataset, override)
    _require_room(config, dataset, run.folder)
    stepper = _stepper(run.name, config, dataset, where)
    said = _take_over(config, dataset, stepper) if is_unborn(run) else []
    run.lock()
    run.tell_changes(environment(where.device, where.precision, where.layout))
    run.set_data(describe(dataset))
    for line in said:
        run.log(line)
    _train(run, config, dataset, stepper, resume=True, override=override)


def describe(dataset: PreparedDataset) -> dict[str, object]:
    """What a run remembers of its data."""
    return {
        "folder": str(dataset.folder.resolve()),
        "fingerprint": dataset.fingerprint,
        "classes": list(dataset.classes),
        "classes_sha256": classes_hash(dataset.classes),
    }


def _train(
    run: Run,
    config: RunConfig,
    dataset: PreparedDataset,
    stepper: Step,
    resume: bool,
    override: Collection[str] = (),
) -> None:
    from alexnet.evaluation.predictions import validation_errors
    from alexnet.training.train import train

    loader = _loader(config, dataset, stepper)

    def validate(trained: AlexNet) -> dict[str, float]:
        return validation_errors(trained, dataset)

    if ranks.is_rank_0():
        (run.model / "config.json").unlink(missing_ok=True)  # there is a model when there is this
    try:
        train(run, config, loader, stepper, validate, resume, override)
        if ranks.is_rank_0():
            _save_model(run, config, dataset, stepper.placed.whole)
    finally:
        run.unlock()
    print(f"Trained: {run.folder}", file=sys.stderr)
    print(f"Next:    alexnet evaluate {run.name} {dataset.folder}", file=sys.stderr)


def _stepper(name: str, config: RunConfig, dataset: PreparedDataset, where: Where) -> Step:
    """A network with its first weights, on its devices and processes, ready to be trained.

    Raises IncompatibleError where the processes are not about to do the same.
    """
    from alexnet.network import AlexNet
    from alexnet.training.mesh import Mesh, Placed

    ranks.require_same(
        {
            **flat(config),
            "the run": name,
            "the data's fingerprint": dataset.fingerprint,
            "the program": program_hash(),
            "precision": where.precision,
            "layout": where.layout,
        }
    )
    device = where.device
    if device == "cuda" and ranks.world() > 1:
        device = f"cuda:{ranks.local_rank()}"
        require_device(device)
    classes, about = len(dataset.classes), config.network
    network = AlexNet(classes, about.of(classes), about.start, config.seed)
    mesh = Mesh(config.optimizer.batch.count, where.layout, device)
    placed = Placed(network.to(device), config.optimizer, mesh, where.second)
    return step_for(placed, config.seed, where.precision)


def step_for(placed: Placed, seed: int, precision: str) -> Step:
    """The way to train a network on the device that it is on."""
    from alexnet.network.columns import Columns
    from alexnet.network.kernels.gpu import HAS_TRITON
    from alexnet.network.precision import set_products
    from alexnet.training.eager import EagerStep

    on_gpu = next(placed.whole.parameters()).is_cuda
    if on_gpu and HAS_TRITON and not isinstance(placed.network, Columns):
        from alexnet.training.gpu import GpuStep

        return GpuStep(placed, seed, precision)
    if precision == "bf16":
        raise EnvironmentProblem(
            "Training in bf16 needs Triton, and a process for each column.",
            remedy="Install it (python -m pip install triton), start `torchrun`, or say "
            "--precision tf32.",
        )
    set_products(precision)
    return EagerStep(placed, seed)


def _take_over(config: RunConfig, dataset: PreparedDataset, stepper: Step) -> list[str]:
    """Start with the weights of another model, if the configuration names one; what was done.

    Raises IncompatibleError where the processes have not the same weights there.
    """
    from alexnet.models.folder import load_model, read_config
    from alexnet.models.transfer import take_over

    if not (folder := config.network.start.model):
        return []
    weights = read_config(Path(folder))["weights_sha256"]
    ranks.require_same({f"the weights of {folder}": weights})
    other, card = load_model(Path(folder))
    said = take_over(stepper.placed.whole, dataset.classes, other, card.classes)
    stepper.ready()
    return [f"start   {folder}, weights {weights[:16]}", *(f"start   {line}" for line in said)]


def where_of(device: str, precision: str, columns: int, hybrid: bool) -> Where:
    """What the options ask for; raises UsageError where they do not go together."""
    from alexnet.network.precision import choose_precision

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
    for one in filter(None, (first, second)):
        require_device(one)
    apart = columns > 1 and one_process  # where there are no kernels for bf16
    precision = choose_precision(precision, first, on_gpu="tf32" if apart else "bf16")
    layout: Layout = "hybrid" if hybrid else "columns" if columns > 1 else "fused"
    return Where(first, second, precision, layout)


def _require_trainable(dataset: PreparedDataset) -> None:
    """Raise DataError unless there are classes to tell apart and images to train and validate on."""
    if len(dataset.classes) < 2:
        raise DataError(
            f"There is one class only: {dataset.classes[0]}.",
            where=dataset.folder,
            remedy="Training tells classes apart: give it at least two folders of images.",
        )
    for split in ("train", "val"):
        if split not in dataset.splits or not len(dataset.split(split)):
            raise DataError(
                f"The split {split!r} has no images.",
                where=dataset.folder,
                remedy="Prepare it with a larger share held out (alexnet data prepare SRC --val 0.3), "
                "or make the folders train/ and val/ yourself.",
            )


def _require_same_data(
    run: Run, config: RunConfig, dataset: PreparedDataset, override: Collection[str]
) -> None:
    """Raise IncompatibleError if the run's images have changed; classes and size, override or not."""
    now = describe(dataset)
    if run.data["classes_sha256"] != now["classes_sha256"]:
        raise IncompatibleError(
            "The classes are not those that the run was started with.",
            where=f"then: {', '.join(run.data['classes'])}; now: {', '.join(dataset.classes)}",
            remedy="Train a new run on these data.",
        )
    if dataset.side != (side := config.network.of(len(dataset.classes)).side):
        raise IncompatibleError(
            f"The images have {dataset.side} pixels a side, the network's have {side}.",
            where=dataset.folder,
            remedy=f"Prepare them again: alexnet data prepare ... --side {side}",
        )
    if run.data["fingerprint"] != now["fingerprint"] and "data" not in override:
        raise IncompatibleError(
            f"The data have changed since the run was started: fingerprint "
            f"{run.data['fingerprint']} then, {now['fingerprint']} now.",
            where=dataset.folder,
            remedy="Bring the old data back, or go on with these: --override data",
        )


def _require_room(config: RunConfig, dataset: PreparedDataset, folder: Path) -> None:
    """Raise EnvironmentProblem unless the run's checkpoints and model fit where `folder` is."""
    from alexnet.network.table import shapes

    rows = shapes(config.network.of(len(dataset.classes)))
    weights = 4 * sum(shape.parameters for shape in rows)  # bytes
    states = 2 * weights * (config.checkpoint.keep + 1)  # with velocities; one more while saving
    remedy = "Free some space, or keep fewer states: --set checkpoint.keep=2"
    there = sum(path.stat().st_size for path in folder.glob("*/*.safetensors"))  # of this run
    require_space(folder, states + weights - there, "Training", remedy)


def _loader(config: RunConfig, dataset: PreparedDataset, stepper: Step) -> Loader:
    from alexnet.loading.loader import Loader

    return Loader(
        dataset.split("train"),
        dataset.statistics,
        config.augmentation,
        config.optimizer.batch.count,
        config.seed,
        config.loading.shuffle,
        stepper.placed.mesh.images,
        stepper.network.convention.crop,
    )


def _save_model(run: Run, config: RunConfig, dataset: PreparedDataset, network: AlexNet) -> None:
    from alexnet.models import ModelCard, save_model

    card = ModelCard(
        dataset.classes,
        dataset.titles,
        dataset.statistics.arrays(),
        dataset.description["made"],
        {
            "run": run.name,
            "recipe": config.recipe,
            "seed": config.seed,
            "epochs": config.length.count,
            "dataset": str(dataset.folder),
            "dataset_fingerprint": dataset.fingerprint,
        },
    )
    save_model(run.model, network, card)


def try_one_batch(config: RunConfig, dataset: PreparedDataset, where: Where) -> None:
    stepper = _stepper("", config, dataset, where)
    for line in _take_over(config, dataset, stepper):
        print(line, file=sys.stderr)
    (batch,) = stepper.loader(_loader(config, dataset, stepper)).batches(0, 1)
    (outcome,) = stepper.take(batch, config.optimizer.learning_rate) + stepper.finish()
    count = config.optimizer.batch.count
    print(f"One batch of {count} images went forward and back: loss {outcome.loss:.3f}.")
