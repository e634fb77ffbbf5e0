"""The verb `quickstart`: the whole system on photographs that are installed with it."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Annotated

import typer

DATA = "builtin:photos"
SHOWN = ("cat", "coffee", "rocket")  # of the photographs, each with its five most probable labels


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
    files = {name: str(locate(place)) for name, place in PHOTOGRAPHS.items()}
    predict(str(run.folder), [files[name] for name in SHOWN])
    titles = [first.title for first, *_ in api.load(run).predict(list(files.values()), top=1)]
    print(f"\n{_counted(dict(zip(files, titles, strict=True)))}\n")
    report(str(run.folder))
    print(f"\nAll in {clock(time.monotonic() - begun)}.", file=sys.stderr)


def _counted(named: Mapping[str, str]) -> str:
    """How many of the whole photographs were named rightly, and what the others were taken for."""
    wrong = [
        f"{photograph} ({answer})" for photograph, answer in named.items() if answer != photograph
    ]
    said = f"Of the {len(named)} whole photographs, of which the network has seen parts, "
    said += f"{len(named) - len(wrong)} are named rightly"
    return f"{said}; not so {', '.join(wrong)}." if wrong else f"{said}."
