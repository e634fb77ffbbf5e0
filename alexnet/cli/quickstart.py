"""The verb `quickstart`: the whole system on photographs that are installed with it."""

from __future__ import annotations

import sys
import time
from typing import Annotated

import typer

DATA = "builtin:photos"
SHOWN = ("cat", "coffee", "rocket")  # whole photographs, of which the network has seen parts


def quickstart(
    name: Annotated[str, typer.Option(help="The run's name.")] = "",
) -> None:
    """Prepare built-in photographs, train, evaluate, predict, and write a report: a few minutes."""
    from alexnet.base.progress import clock
    from alexnet.cli.evaluate import evaluate, predict, report
    from alexnet.prepared import open_or_prepare
    from alexnet.recipes import recipe
    from alexnet.sources.photos import PHOTOGRAPHS, locate
    from alexnet.training.session import start

    begun = time.monotonic()
    dataset = open_or_prepare(DATA)
    run = start(
        recipe("quickstart").config,
        dataset,
        name or time.strftime("quickstart-%Y%m%d-%H%M%S"),
    )
    evaluate([str(run.folder)], str(dataset.folder))
    print()
    predict(str(run.folder), [str(locate(PHOTOGRAPHS[name])) for name in SHOWN])
    print()
    report(str(run.folder))
    print(f"\nAll in {clock(time.monotonic() - begun)}.", file=sys.stderr)
