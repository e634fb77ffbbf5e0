"""The verbs of evidence: `reproduce plan`, `run` and `page`."""

from __future__ import annotations

import json
import re
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from alexnet.base.errors import Stopped, UsageError
from alexnet.cli.options import AsJson, Download
from alexnet.cli.tables import table

if TYPE_CHECKING:
    from alexnet.reproduce.cells import Cell
    from alexnet.reproduce.experiments import Experiment, Study
    from alexnet.reproduce.plan import Planner, Row
    from alexnet.training.placement import Placement

_HOUR = 3600
_SHARPNESS = ("spread", "smallest effect", "paper's effect")

app = typer.Typer(help="Every claim of the paper, put to the test.", no_args_is_help=True)

Names = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[EXPERIMENT]...", help="figure1, columns, ...; by default all of them."
    ),
]
Scale = Annotated[
    str,
    typer.Option(
        help="smoke: five minutes, shows that it runs; small: CIFAR-10 and Imagenette; full: ImageNet."
    ),
]
Seeds = Annotated[
    int | None, typer.Option(min=1, help="Seeds of each arm; by default the study's.")
]
Device = Annotated[str, typer.Option(help="auto: a GPU where there is one; cpu, cuda ...")]
Results = Annotated[Path, typer.Option("--results", metavar="DIR", help="Where the cells are.")]


@app.command()
def plan(
    names: Names = None,
    scale: Scale = "small",
    seeds: Seeds = None,
    device: Device = "auto",
    results: Results = Path("results/experiments"),
    as_json: AsJson = False,
) -> None:
    """Show what is done and what is to do, how long it takes, and what it can show."""
    from alexnet.training.placement import place

    study = _study(scale)
    planner = _planner(study, results, place(device, "fp32"))
    chosen = _chosen(study, names)
    rows = planner.rows(chosen, seeds)
    if as_json:
        print(json.dumps([_as_json(row) for row in rows], indent=1))
        return
    print(f"{scale}: {study.about}\n")
    lines = [
        (
            row.experiment.name,
            row.done,
            len(row.todo),
            row.elsewhere,
            f"{row.seconds / _HOUR:.2f}",
            "" if row.spread is None else f"{row.spread:.2f}",
            "" if row.smallest is None else f"{row.smallest:.2f}",
            _effects(row.experiment),
        )
        for row in rows
    ]
    print(table(lines, ("experiment", "done", "to do", "made elsewhere", "hours", *_SHARPNESS)))
    todo, hours = sum(len(row.todo) for row in rows), sum(row.seconds for row in rows) / _HOUR
    print(
        f"\n{todo} cells to do, {hours:.1f} hours here. Spread and effects are points of top-1 error:"
    )
    print(
        "of one seed's difference; the smallest that the seeds show in four of five times; the paper's."
    )


@app.command()
def run(
    names: Names = None,
    scale: Scale = "small",
    seeds: Seeds = None,
    budget: Annotated[
        str, typer.Option(metavar="HOURS", help="8h, 30m: spend so much where it shows most.")
    ] = "",
    device: Device = "auto",
    results: Results = Path("results/experiments"),
    download: Download = False,
) -> None:
    """Make the cells that are missing. Stopped or killed, the same command goes on."""
    from alexnet.reproduce.sweep import Sweep
    from alexnet.sources import open_source
    from alexnet.training.placement import place

    study = _study(scale)
    chosen = _chosen(study, names)
    limit = _seconds(budget) if budget else None
    if limit and seeds:
        raise UsageError(
            "A budget goes where it shows most, whatever the seeds.",
            where="--budget and --seeds",
            remedy="Leave one of them out.",
        )
    _require_folder(results)
    placement = place(device, "fp32")
    sweep = Sweep(study, placement, results, download)
    for source in sorted({study.arms[name].data.source for one in chosen for name in one.arms}):
        open_source(source, download=download)  # what is missing is said before anything is timed
    planner = _planner(study, results, placement)
    if limit:
        jobs = planner.in_order(chosen, limit)
    else:
        jobs = [job for row in planner.rows(chosen, seeds) for job in row.todo]
    hours = sum(planner.seconds(study.arms[job.arm]) for job in jobs) / _HOUR
    counts = ", ".join(f"{arm} {count}" for arm, count in Counter(job.arm for job in jobs).items())
    print(
        f"{len(jobs)} cells to make, about {hours:.1f} hours{f': {counts}' if jobs else ''}",
        file=sys.stderr,
    )
    begun = time.monotonic()
    try:
        for done, job in enumerate(jobs):
            spent = time.monotonic() - begun
            if limit and spent + planner.seconds(study.arms[job.arm]) > 1.1 * limit:
                print(
                    f"the next cell, {job.arm}, does not fit the budget any more", file=sys.stderr
                )
                break
            print(f"cell    {done + 1} of {len(jobs)}: {job.arm}, seed {job.seed}", file=sys.stderr)
            cell = sweep.make(study.arms[job.arm], job.seed)
            errors = ", ".join(
                f"{100 * one['top1_error']:.2f} % from {views} view{'s' * (views != '1')}"
                for views, one in cell.errors.items()
            )
            print(f"{cell.address.name}: top-1 error {errors}; {cell.made['seconds']:.0f} s")
    except Stopped as stopped:
        stopped.remedy = "The same command goes on where this one stopped."
        raise
    finally:
        sweep.close()
    print(f"Look at it: alexnet reproduce page --scale {scale}", file=sys.stderr)


@app.command()
def page(
    names: Names = None,
    scale: Scale = "small",
    results: Results = Path("results/experiments"),
    output: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="DIR", help="Default: results/pages/SCALE."),
    ] = None,
) -> None:
    """Make the pages, tables and figures, from the cells alone: all of them.

    Printed is where the index is, or the pages of the experiments named.
    """
    _require_folder(results)
    from alexnet.reproduce.pages import write_pages

    study = _study(scale)
    chosen = {one.name for one in _chosen(study, names)} if names else {"index"}
    written = write_pages(study, _cells(results, scale), output or Path("results/pages") / scale)
    for path in written:
        if path.stem in chosen:
            print(path)


def _study(scale: str) -> Study:
    from alexnet.base.errors import did_you_mean
    from alexnet.reproduce.experiments import SCALES, study

    for known in SCALES:
        if known == scale:
            return study(known)
    raise UsageError(f"There is no scale {scale!r}.", remedy=did_you_mean(scale, SCALES))


def _chosen(study: Study, names: Sequence[str] | None) -> list[Experiment]:
    wanted = [name for name in names or () if name != "all"]
    return [study.experiment(name) for name in wanted] or list(study.experiments)


def _planner(study: Study, results: Path, placement: Placement) -> Planner:
    from alexnet.reproduce.evidence import evidence
    from alexnet.reproduce.plan import Planner
    from alexnet.reproduce.sweep import numerics

    found = evidence(study, _cells(results, study.scale))
    for stale in found.stale:
        print(f"stale   {stale.cell.address.name}: {'; '.join(stale.why)}", file=sys.stderr)
    return Planner(found, numerics(placement), placement)


def _cells(results: Path, scale: str) -> list[Cell]:
    """The cells of a scale; files that are none are named and left out."""
    from alexnet.reproduce.cells import load_cells

    cells, damaged = load_cells(results, scale)
    for error in damaged:
        print(f"damaged {error.where}: left out. {error.what} {error.remedy}", file=sys.stderr)
    return cells


def _require_folder(results: Path) -> None:
    """Raise UsageError for results that are no folder, nor yet to be one."""
    if results.exists() and not results.is_dir():
        raise UsageError("The results are in a folder.", where=f"--results {results}")


def _as_json(row: Row) -> dict[str, Any]:
    """A plan's row for programs."""
    return {
        "experiment": row.experiment.name,
        "done": row.done,
        "to_do": [{"arm": job.arm, "seed": job.seed} for job in row.todo],
        "made_elsewhere": row.elsewhere,
        "seconds": round(row.seconds, 1),
        "spread": row.spread,
        "smallest_effect": row.smallest,
    }


def _effects(experiment: Experiment) -> str:
    """The paper's effects on the top-1 error in an experiment, in points."""
    from alexnet.reproduce.claims import claim

    effects = [claim(one.claim).effects.get("top1") for one in experiment.comparisons]
    return ", ".join(dict.fromkeys(f"{effect:+.1f}" for effect in effects if effect))


def _seconds(text: str) -> float:
    """The seconds of a budget, 8h or 30m; raises UsageError."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(h|m)", text)
    if not match or float(match[1]) == 0:
        raise UsageError(f"{text!r} is no budget.", where="--budget", remedy="Say it so: 8h, 30m")
    return float(match[1]) * (_HOUR if match[2] == "h" else 60)
