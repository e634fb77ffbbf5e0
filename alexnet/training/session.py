"""A run from its data to its model: for Python, experiments and the command line alike.

    plan = make_plan("photos", recipe="small")   what is trained, on which images
    run = start(plan, validate, place())         a new run, to its end
    resume(run, validate)                        one that was stopped, to its end

What there is to say goes to the run's log. How a network is validated is handed in, so that training
knows nothing of evaluation; so is the objective, where it is not classification.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path
from shlex import quote

from alexnet.base import ranks
from alexnet.base.errors import IncompatibleError, UsageError, did_you_mean
from alexnet.base.provenance import environment
from alexnet.config import Anneal, RunConfig
from alexnet.loading.loader import Loader
from alexnet.models import ModelCard, load_model, save_model
from alexnet.models.checkpoint import keep_newest
from alexnet.models.folder import plan_model, read_config
from alexnet.models.transfer import take_over
from alexnet.network.alexnet import AlexNet
from alexnet.network.memory import memory_for
from alexnet.prepared import PreparedDataset, open_or_prepare
from alexnet.runs import RUNS, Run, typed
from alexnet.settings import WARM_UP, asked_for, flat, shortened, with_settings
from alexnet.training.best import Best
from alexnet.training.checks import (
    CHANGE_BY_NAME,
    describe,
    require_memory,
    require_room,
    require_same_config,
    require_same_data,
    require_startable,
)
from alexnet.training.data import data_of, has_its_data, is_of, what_changed, with_data
from alexnet.training.log import introduction, verdict_of
from alexnet.training.objective import Objective
from alexnet.training.placement import Placement, build_step, place
from alexnet.training.plan import Plan
from alexnet.training.state import ended_sooner, has_begun, is_done
from alexnet.training.step import Step
from alexnet.training.train import train

# As in `train`, of a network and the data it is trained on.
Validate = Callable[[AlexNet, PreparedDataset], Mapping[str, float]]


def start(
    plan: Plan,
    validate: Validate,
    placement: Placement | None = None,
    name: str = "",
    go_on: bool = False,
    objective: Objective | None = None,
) -> Run:
    """A new run, trained to its end; its folder.

    If there is a run of this name, `go_on` goes on with it, and so does what `torchrun` starts again;
    otherwise raises UsageError. Raises IncompatibleError where that run has other data or, but for length
    and checkpoints, another configuration.
    """
    config, dataset, placement = plan.config, plan.dataset, placement or Placement()
    name = name or f"{dataset.folder.resolve().name}-{config.recipe}-{config.seed}"
    require_startable(name, go_on)
    is_there = ranks.from_rank_0((RUNS / name / "config.yaml").is_file())
    if is_there and ranks.any_of(go_on or ranks.restarts() > 0):
        run = Run.open(RUNS / name)
        _begin_again(run, plan, validate, placement, objective)
        return run
    require_room(config, dataset, RUNS if RUNS.is_dir() else Path())
    require_memory(config, dataset, placement.device)
    with memory_for(*_this_batch(config)):
        step = build_step(config, dataset, placement, objective, name)
    taken_over = _take_over(config, dataset, step)
    layout = (placement.device, placement.precision, placement.layout)
    run = Run.create(name, config, describe(dataset), *layout)
    run.lock()
    for line in (*introduction(run, plan, placement), *taken_over):
        run.log(line)
    _train(run, plan, step, validate, is_resumed=False)
    return run


def resume(
    run: Run,
    validate: Validate,
    *,
    epochs: float | None = None,
    data: str = "",
    override: Collection[str] = (),
    device: str = "",
    precision: str = "",
    columns: int | None = None,
    hybrid: bool = False,
    objective: Objective | None = None,
) -> None:
    """Train a run that was stopped to its end, or to a new total of `epochs`.

    `data` is where its images lie now, if not where they were. What is not said of device, precision
    and layout is as the run was started. Raises UsageError where it is at its end, or where `override`
    names a key that cannot change; IncompatibleError where data or configuration have changed and it
    does not name them.
    """
    for key in override:
        if key not in (may := ("data", *CHANGE_BY_NAME)):
            raise UsageError(
                f"--override {key!r} is nothing a run can go on with.",
                remedy=did_you_mean(key, may),
            )
    then = run.environment
    if columns is None and not hybrid and ranks.world() % 2 == 0:
        columns, hybrid = (2 if then["layout"] == "columns" else 1), then["layout"] == "hybrid"
    device, precision = device or then["device"], precision or then["precision"]
    placement = place(device, precision, columns or 1, hybrid)
    config, said = _as_long_as(run.config, epochs)
    if config.until_error and ended_sooner(run, config):
        raise UsageError(
            f"This run has had the training error at which it ends, {100 * config.until_error:g} %.",
            where=run.folder,
            remedy=f"To go on: set until_error: 0 in {quote(str(run.folder / 'config.yaml'))}, then "
            f"alexnet resume {quote(typed(run))}",
        )
    side = config.network.of(len(run.data["classes"])).side
    dataset = open_or_prepare(data, side=side) if data else data_of(run)
    if is_done(run, config, dataset, is_longer=epochs is not None):
        longer = 2 * max(config.length, run.config.length).count
        raise UsageError(
            f"This run has done {config.length} already.",
            where=run.folder,
            remedy=f"To go on: alexnet resume {quote(typed(run))} --epochs {longer:g}",
        )
    plan = Plan(config, dataset, said)
    _go_on(run, plan, validate, placement, override, objective)


def try_one_batch(plan: Plan, placement: Placement) -> tuple[float, list[str]]:
    """The loss of the first batch, which goes forward and back, and what was taken over from another
    model; nothing is kept.
    """
    require_memory(plan.config, plan.dataset, placement.device)
    with memory_for(*_this_batch(plan.config)):
        step = build_step(plan.config, plan.dataset, placement)
        taken_over = _take_over(plan.config, plan.dataset, step)
        (batch,) = step.loader(_loader(plan, step)).batches(0, 1)
        (result,) = step.take(batch, plan.config.optimizer.learning_rate) + step.finish()
    return result.loss, taken_over


def _begin_again(
    run: Run,
    plan: Plan,
    validate: Validate,
    placement: Placement,
    objective: Objective | None,
) -> None:
    """Go on with the run of a plan that was begun before, unless it is at its end.

    Raises IncompatibleError where it is the run of another plan.
    """
    config, own = plan.config, run.config
    said: tuple[str, ...] = ()
    if not plan.own_warm_up and isinstance(config.schedule, Anneal) and WARM_UP in flat(own):
        as_long, said = _as_long_as(own, config.length.count)
        config = replace(config, schedule=as_long.schedule)
    try:
        require_same_data(run, config, plan.dataset, ())
        require_same_config(run, own, config)
    except IncompatibleError as error:
        remedy = "Choose another --name."
        if has_its_data(run):
            as_before = f"alexnet resume {quote(typed(run))}"
            remedy = f"Choose another --name, or go on as before: {as_before}"
        elif run.data["classes"] == list(plan.dataset.classes):
            changed = f"{with_data(run, plan.dataset)} --override data"
            remedy = f"Choose another --name, or go on with the data as they are: {changed}"
        raise IncompatibleError(error.what, where=error.where, remedy=remedy) from None
    if is_done(run, config, plan.dataset):
        run.log(f"{run.folder} has done {config.length} already")
        return
    _go_on(run, Plan(config, plan.dataset, said), validate, placement, (), objective)


def _as_long_as(config: RunConfig, epochs: float | None) -> tuple[RunConfig, tuple[str, ...]]:
    """A run's configuration with another length, if one is given, and what that changes, in words.

    A run that would end in its warm-up gets a shorter one: it has not been through the old one.
    """
    asked = asked_for(epochs=epochs)
    changed = with_settings(config, asked)
    note = shortened(changed, config, asked)
    return changed, (f"! {note}",) if note else ()


def _go_on(
    run: Run,
    plan: Plan,
    validate: Validate,
    placement: Placement,
    override: Collection[str],
    objective: Objective | None,
) -> None:
    """Train a run from its newest checkpoint to the end of a plan."""
    config = plan.config
    require_same_data(run, config, plan.dataset, override)
    require_room(config, plan.dataset, run.folder)
    with memory_for(*_this_batch(config)):
        step = build_step(config, plan.dataset, placement, objective, run.name)
    begun = has_begun(run)
    taken_over = [] if begun else _take_over(config, plan.dataset, step)
    run.lock()
    if not begun:
        run.set_config(config)
    if not is_of(run, plan.dataset):
        run.log(f"! going on with other data than before: {what_changed(run, plan.dataset)}")
    run.tell_changes(environment(placement.device, placement.precision, placement.layout))
    run.set_data(describe(plan.dataset))
    for line in (*plan.notes, *taken_over):
        run.log(line)
    _train(run, plan, step, validate, is_resumed=True, override=override)


def _take_over(config: RunConfig, dataset: PreparedDataset, step: Step) -> list[str]:
    """Start with the weights of another model, if the configuration names one; what was done.

    Raises IncompatibleError where the processes have not the same weights there.
    """
    if not (folder := config.network.start.model):
        return []
    weights = read_config(Path(folder))["weights_sha256"]
    ranks.require_same({f"the weights of {folder}": weights})
    other, card = load_model(Path(folder))
    told = take_over(step.placed.whole, dataset.classes, other, card.classes)
    step.ready()
    return [f"start   {folder}, weights {weights[:16]}", *(f"start   {line}" for line in told)]


def _train(
    run: Run,
    plan: Plan,
    step: Step,
    validate: Validate,
    is_resumed: bool,
    override: Collection[str] = (),
) -> None:
    """Train to the end, and write the model."""
    loader, card = _loader(plan, step), _card(run, plan)
    best = Best(run, step.placed.whole, card)
    if ranks.is_rank_0():
        plan_model(run.model, step.placed.whole.convention, card)  # there is no model until the end
    try:
        with memory_for(*_this_batch(plan.config)):
            train(
                run, plan.config, loader, step, lambda network: validate(network, plan.dataset),
                is_resumed, override, best.keep_if_best,
            )  # fmt: skip
        if ranks.is_rank_0():
            save_model(run.model, step.placed.whole, card)
            keep_newest(run.checkpoints, 1)  # from which it can be trained further
            if verdict := verdict_of(run, plan.dataset):
                run.log(f"result  {verdict}")
            if line := best.in_words():
                run.log(line)
    finally:
        run.unlock()


def _this_batch(config: RunConfig) -> tuple[str, str]:
    """What fills the memory, and what to do about it."""
    batch = config.optimizer.batch.count
    return f"batches of {batch:,} images", f"Train with smaller ones: --batch {max(1, batch // 2)}"


def _loader(plan: Plan, step: Step) -> Loader:
    config, dataset = plan.config, plan.dataset
    return Loader(
        dataset.split("train"),
        dataset.statistics,
        config.augmentation,
        config.optimizer.batch.count,
        config.seed,
        config.loading.shuffle,
        step.placed.mesh.images,
        step.network.convention.crop,
    )


def _card(run: Run, plan: Plan) -> ModelCard:
    config, dataset = plan.config, plan.dataset
    provenance = {
        "run": run.name,
        "recipe": config.recipe,
        "seed": config.seed,
        "epochs": config.length.count,
        "dataset": str(dataset.folder),
        "dataset_fingerprint": dataset.fingerprint,
    }
    statistics, made = dataset.statistics.arrays(), dataset.description["made"]
    return ModelCard(dataset.classes, dataset.titles, statistics, made, provenance)
