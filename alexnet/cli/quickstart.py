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
    from alexnet import api
    from alexnet.base.progress import clock
    from alexnet.cli.evaluate import evaluate, predict, report
    from alexnet.cli.train import data_of
    from alexnet.sources.photos import PHOTOGRAPHS, locate

    begun = time.monotonic()
    name = name or time.strftime("quickstart-%Y%m%d-%H%M%S")
    run = api.train(DATA, recipe="quickstart", name=name)
    evaluate([str(run.folder)], data_of(run))
    print()
    predict(str(run.folder), [str(locate(PHOTOGRAPHS[name])) for name in SHOWN])
    print()
    report(str(run.folder))
    print(f"\nAll in {clock(time.monotonic() - begun)}.", file=sys.stderr)
