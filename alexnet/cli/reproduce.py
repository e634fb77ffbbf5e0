"""The verbs of evidence: `reproduce plan`, `run` and `page`."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from alexnet.base.errors import UsageError
from alexnet.cli.options import AsJson, Download
from alexnet.cli.tables import table

if TYPE_CHECKING:
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
    for stale in planner.evidence.stale:
        print(f"stale   {stale.cell.address.name}: {'; '.join(stale.why)}", file=sys.stderr)
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
    planner = _planner(study, results, placement)
    if limit:
        jobs = planner.in_order(chosen, limit)
    else:
        jobs = [job for row in planner.rows(chosen, seeds) for job in row.todo]
    for stale in planner.evidence.stale:
        print(f"stale  {stale.cell.address.name}: {'; '.join(stale.why)}", file=sys.stderr)
    hours = sum(planner.seconds(study.arms[job.arm]) for job in jobs) / _HOUR
    print(f"{len(jobs)} cells to make, about {hours:.1f} hours", file=sys.stderr)
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
    finally:
        sweep.close()
    print(f"Look at it: alexnet reproduce page --scale {scale}", file=sys.stderr)


@app.command()
def page(
    scale: Scale = "small",
    results: Results = Path("results/experiments"),
    output: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="DIR", help="Default: results/pages/SCALE."),
    ] = None,
) -> None:
    """Make the pages, tables and figures, from the cells alone."""
    _require_folder(results)
    from alexnet.reproduce.cells import load_cells
    from alexnet.reproduce.pages import write_pages

    study = _study(scale)
    written = write_pages(
        study, load_cells(results, scale), output or Path("results/pages") / scale
    )
    print(written[0])


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
    from alexnet.reproduce.cells import load_cells
    from alexnet.reproduce.evidence import evidence
    from alexnet.reproduce.plan import Planner
    from alexnet.reproduce.sweep import numerics

    cells = load_cells(results, study.scale)
    return Planner(evidence(study, cells), numerics(placement), placement)


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
