"""The verbs that train: `train`, `resume`, `runs`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from alexnet.base import ranks
from alexnet.base.errors import UsageError, did_you_mean
from alexnet.cli.tables import table
from alexnet.conventions import CONVENTIONS
from alexnet.recipes import RECIPES
from alexnet.recipes import recipe as find_recipe
from alexnet.settings import differences, from_dict, origins, to_dict, with_settings
from alexnet.training.session import go_on_with, is_done, start, try_one_batch, where_of

if TYPE_CHECKING:
    from alexnet.runs import Run

Hybrid = Annotated[
    bool, typer.Option("--hybrid", help="Pairs of processes share images, then units.")
]


def train(
    data: Annotated[str, typer.Argument(help="A folder, a prepared set, or a set's name.")],
    recipe: Annotated[str, typer.Option(help=f"One of {', '.join(RECIPES)}.")] = "paper",
    name: Annotated[str, typer.Option(help="The run's name; by default data, recipe, seed.")] = "",
    init: Annotated[
        str, typer.Option(metavar="MODEL", help="Start with this model's weights.")
    ] = "",
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change one setting.")
    ] = None,
    device: Annotated[
        str, typer.Option(help="cpu, cuda, cuda:1 ...; cuda:0,cuda:1 for a column on each.")
    ] = "cpu",
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
    download: Annotated[bool, typer.Option(help="Fetch a named set that is missing.")] = False,
    print_config: Annotated[bool, typer.Option(help="Show settings and their origins.")] = False,
    dry_run: Annotated[
        bool, typer.Option(help="One batch forward and back, nothing kept.")
    ] = False,
) -> None:
    """Train the network on DATA."""
    from alexnet.prepared import open_or_prepare

    chosen = find_recipe(recipe)
    settings = settings or []
    if init:
        from alexnet.models.find import find_model

        settings = [*settings, f"network.start.model={find_model(init).folder.resolve()}"]
    config = with_settings(chosen.config, settings)
    if print_config:
        print(table(origins(config, chosen.config, settings), ("key", "value", "origin")))
        print(f"Expected of {chosen.name}: {chosen.expected}.")
        return
    where = where_of(device, precision, columns, hybrid)
    dataset = open_or_prepare(data, download, CONVENTIONS[config.network.convention].side)
    if dry_run:
        try_one_batch(config, dataset, where)
    else:
        start(config, dataset, name, where, go_on)


def resume(
    run: Annotated[str, typer.Argument(help="A run's name or folder.")],
    epochs: Annotated[float | None, typer.Option(help="A new total length, in epochs.")] = None,
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
    from alexnet.runs import Run
    from alexnet.training.state import CHANGE_BY_NAME

    override = override or []
    for key in override:
        if key not in (may := ("data", *CHANGE_BY_NAME)):
            raise UsageError(
                f"--override {key!r} is nothing a run can go on with.",
                remedy=did_you_mean(key, may),
            )
    found = Run.open(run)
    if columns is None and not hybrid and ranks.world() % 2 == 0:
        columns, hybrid = (2 if found.layout == "columns" else 1), found.layout == "hybrid"
    where = where_of(device or found.device, precision or found.precision, columns or 1, hybrid)
    config = found.config
    if epochs is not None:
        config = from_dict({**to_dict(config), "length": epochs})
    if is_done(found, config, longer=epochs is not None):
        raise UsageError(
            f"This run has done {config.length} already.",
            where=found.folder,
            remedy=f"To go on: alexnet resume {run} --epochs {2 * config.length.count:g}",
        )
    go_on_with(found, config, where, override)


def runs(
    action: Annotated[str, typer.Argument(help="list, show or compare.")] = "list",
    names: Annotated[list[str] | None, typer.Argument(help="Runs to show or compare.")] = None,
) -> None:
    """List the runs here; show one; compare the settings and results of several."""
    from alexnet import runs as store

    found = [store.Run.open(name) for name in names or store.names()]
    if action == "list":
        rows = [[run.name, *_progress_of(run)] for run in found]
        print(table(rows, ("run", "epochs", "of", "val top-1 error %")) if rows else "No runs yet.")
    elif action == "show" and len(found) == 1:
        for key, value in {"folder": found[0].folder, **found[0].data}.items():
            print(f"{key}: {', '.join(value) if isinstance(value, list) else value}")
        print((found[0].folder / "config.yaml").read_text())
        for row in found[0].metrics():
            if row["kind"] == "epoch":
                print(_epoch_line(row))
    elif action == "compare" and len(found) == 2:
        first, second = found
        rows = [list(row) for row in differences(first.config, second.config)]
        rows += [["data", first.data["folder"], second.data["folder"]]]
        headings = ("epochs", "of", "val top-1 error %")
        results = zip(headings, _progress_of(first), _progress_of(second), strict=True)
        rows += [list(row) for row in results]
        print(table([list(map(str, row)) for row in rows], ("", first.name, second.name)))
    else:
        raise UsageError(
            f"Cannot do this: runs {' '.join([action, *(names or [])])}.",
            remedy="Say: alexnet runs, runs show RUN, or runs compare RUN RUN",
        )


def _progress_of(run: Run) -> tuple[object, object, object]:
    epochs = [row for row in run.metrics() if row["kind"] == "epoch"]
    done = epochs[-1]["epoch"] if epochs else 0
    error = f"{100 * epochs[-1]['val_top1_error']:.2f}" if epochs else "-"
    return done, f"{run.config.length.count:g}", error


def _epoch_line(row: dict[str, float]) -> str:
    return (
        f"epoch {row['epoch']:>3}  loss {row['train_loss']:.3f}  "
        f"training error {100 * row['train_top1_error']:5.1f} %  "
        f"validation error {100 * row['val_top1_error']:5.1f} %  rate {row['rate']:.2g}"
    )
