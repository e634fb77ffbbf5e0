"""The verb `benchmark`: this package beside its peers, in one run on this machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from alexnet import paper
from alexnet.cli.tables import table

app = typer.Typer(no_args_is_help=True, help="Measure this package and its peers side by side.")

_AGAINST = typer.Option(help="Peers, by commas; all that can run here if left out.")
Against = Annotated[str | None, _AGAINST]
Batch = Annotated[int, typer.Option(min=1, help="Images in a batch.")]
Rounds = Annotated[int, typer.Option(min=1, help="Steps measured of each contestant.")]
Images = Annotated[int, typer.Option(min=1, help="Images in the set.")]
Save = Annotated[Path | None, typer.Option(help="Write the figures to this JSON file.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def train(
    against: Against = None,
    batch: Batch = paper.BATCH,
    rounds: Rounds = 5,
    save: Save = None,
    as_json: AsJson = False,
) -> None:
    """Training steps against pytorch, compile, jax, tensorflow, allocator.

    Forward, backward, update, in float32 on all cores. `compile` is PyTorch's network through its
    compiler; `allocator` is this package where the C library gives memory back after every step.
    """
    _measure("train", against, rounds, save, as_json, batch=batch)


@app.command()
def infer(
    against: Against = None,
    batch: Batch = paper.BATCH,
    rounds: Rounds = 5,
    save: Save = None,
    as_json: AsJson = False,
) -> None:
    """The test network's forward pass against pytorch, compile, jax, tensorflow."""
    _measure("infer", against, rounds, save, as_json, batch=batch)


@app.command()
def lrn(
    against: Against = None,
    batch: Batch = paper.BATCH,
    rounds: Rounds = 5,
    save: Save = None,
    as_json: AsJson = False,
) -> None:
    """ReLU, response normalization and max-pool, there and back, against pytorch, compile."""
    _measure("lrn", against, rounds, save, as_json, batch=batch)


@app.command()
def data(
    against: Against = None,
    batch: Batch = paper.BATCH,
    images: Images = 512,
    rounds: Rounds = 5,
    save: Save = None,
    as_json: AsJson = False,
) -> None:
    """Crops of 224, reflected and coloured, on one core, against pillow.

    From prepared sets, raw and JPEG; the peer is Pillow in PyTorch's DataLoader.
    """
    _measure("data", against, rounds, save, as_json, batch=batch, images=images)


@app.command()
def prepare(
    against: Against = None,
    source: Annotated[
        str | None, typer.Option(metavar="SRC", help="Your own images instead of made ones.")
    ] = None,
    images: Images = 1000,
    rounds: Rounds = 3,
    save: Save = None,
    as_json: AsJson = False,
) -> None:
    """Preparation of full-size images, on one core, against pillow as torchvision calls it."""
    _measure("prepare", against, rounds, save, as_json, source=source, images=images)


def _measure(
    verb: str,
    against: str | None,
    rounds: int,
    save: Path | None,
    as_json: bool,
    **settings: Any,
) -> None:
    from alexnet.benchmark.measure import measure
    from alexnet.benchmark.result import described

    result = measure(verb, against, rounds, **settings)
    if save:
        result.save(save)
    print(json.dumps(result.as_json(), indent=1) if as_json else described(result, table))
