"""The verbs that train: `train`, `resume`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from alexnet.cli.options import Download
from alexnet.cli.tables import table
from alexnet.recipes import RECIPES, recipe_for
from alexnet.recipes import recipe as find_recipe
from alexnet.settings import asked_for, meanings, origins, with_settings

if TYPE_CHECKING:
    from alexnet.runs import Run
    from alexnet.settings import Setting

Hybrid = Annotated[
    bool, typer.Option("--hybrid", help="Pairs of processes share images, then units.")
]


def train(
    data: Annotated[str, typer.Argument(help="A folder, a prepared set, or a set's name.")],
    recipe: Annotated[
        str,
        typer.Option(
            help=f"One of {', '.join(RECIPES)}; by default paper from 100,000 training images on, "
            "small for fewer."
        ),
    ] = "",
    epochs: Annotated[float | None, typer.Option(help="The length, in epochs.")] = None,
    batch: Annotated[int | None, typer.Option(help="Images in a batch.")] = None,
    seed: Annotated[int | None, typer.Option(help="Decides all that is random.")] = None,
    init: Annotated[
        str, typer.Option(metavar="MODEL", help="Start with this model's weights.")
    ] = "",
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change one setting.")
    ] = None,
    name: Annotated[str, typer.Option(help="The run's name; by default data, recipe, seed.")] = "",
    device: Annotated[
        str,
        typer.Option(
            help="auto: a GPU where there is one; cpu, cuda, cuda:1 ...; "
            "cuda:0,cuda:1 for a column on each."
        ),
    ] = "auto",
    precision: Annotated[
        str, typer.Option(help="fp32, tf32 or bf16; by default bf16 on a GPU.")
    ] = "",
    columns: Annotated[
        int, typer.Option(min=1, max=2, help="2: each column by itself (section 3.2).")
    ] = 1,
    hybrid: Hybrid = False,
    go_on: Annotated[
        bool, typer.Option("--go-on", help="Resume the run of this name if there is one.")
    ] = False,
    download: Download = False,
    print_config: Annotated[
        bool, typer.Option("--print-config", help="Show settings, their origins and meanings.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="One batch forward and back, nothing kept.")
    ] = False,
) -> None:
    """Train the network on DATA."""
    from alexnet.api import data_named
    from alexnet.models.find import require_model

    data = data_named(data)
    folder = str(require_model(init).folder.resolve()) if init else ""
    asked = asked_for(settings or [], epochs=epochs, batch=batch, seed=seed, init=folder)
    if print_config:
        _show_config(data, recipe, asked)
        return

    from alexnet.evaluation import validation_errors
    from alexnet.training.checks import require_name, require_startable
    from alexnet.training.placement import place
    from alexnet.training.plan import make_plan
    from alexnet.training.session import start, try_one_batch

    placement = place(device, precision, columns, hybrid)
    if name:
        require_name(name)
        require_startable(name, go_on or dry_run)
    plan = make_plan(data, recipe, asked, download)
    if dry_run:
        loss, said = try_one_batch(plan, placement)
        for line in (*plan.notes, *plan.warnings, *said):
            print(line, file=sys.stderr)
        count = plan.config.optimizer.batch.count
        print(f"One batch of {count} images went forward and back: loss {loss:.3f}.")
    else:
        _tell_what_is_next(start(plan, validation_errors, placement, name, go_on))


def resume(
    run: Annotated[str, typer.Argument(help="A run's name or folder.")],
    epochs: Annotated[float | None, typer.Option(help="A new total length, in epochs.")] = None,
    data: Annotated[
        str, typer.Option(metavar="NEWPLACE", help="Where its images lie now, if they were moved.")
    ] = "",
    override: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY", help="Go on although this setting, or `data`, has changed."),
    ] = None,
    device: Annotated[str, typer.Option(help="By default the one it was started on.")] = "",
    precision: Annotated[str, typer.Option(help="By default the one it was started in.")] = "",
    columns: Annotated[
        int | None, typer.Option(min=1, max=2, help="By default as it was started, if it can be.")
    ] = None,
    hybrid: Hybrid = False,
) -> None:
    """Go on with a stopped run, in its folder and (on a CPU) bit for bit."""
    from alexnet.evaluation import validation_errors
    from alexnet.runs import Run
    from alexnet.training import session

    found = Run.open(run)
    session.resume(
        found,
        validation_errors,
        epochs=epochs,
        data=data,
        override=override or [],
        device=device,
        precision=precision,
        columns=columns,
        hybrid=hybrid,
    )
    _tell_what_is_next(found)


def _show_config(data: str, recipe: str, asked: list[Setting]) -> None:
    """Every setting with its origin and meaning, of the recipe that is named or would be chosen."""
    chosen = find_recipe(recipe) if recipe else recipe_for(_images_of(data))
    config, means = with_settings(chosen.config, asked), meanings()
    rows = [(*one, means[one.key]) for one in origins(config, chosen.config, asked)]
    print(table(rows, ("key", "value", "origin", "meaning")))
    print(f"Expected of {chosen.name}: {chosen.expected}.")


def _images_of(data: str) -> int:
    """How many training images a prepared set has; how many images, where none is prepared yet."""
    from alexnet.prepared import PreparedDataset, default_folder
    from alexnet.sources import open_source

    for folder in (Path(data), default_folder(data)):
        if (folder / "dataset.json").is_file():
            return len(PreparedDataset.open(folder).split("train"))
    return open_source(data).count


def data_of(run: Run) -> str:
    """The folder of a run's data, as short as it can be typed from here."""
    folder, here = run.data_folder, Path.cwd()
    return str(folder.relative_to(here) if folder.is_relative_to(here) else folder)


def _tell_what_is_next(run: Run) -> None:
    from alexnet.runs import typed

    print(f"Trained: {run.folder}", file=sys.stderr)
    command = shlex.join(["alexnet", "evaluate", typed(run), data_of(run)])
    print(f"Next:    {command}", file=sys.stderr)
