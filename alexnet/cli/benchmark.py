"""`alexnet benchmark`: speed beside the peers, in one run on one machine."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from alexnet import paper
from alexnet.cli.options import AsJson
from alexnet.cli.tables import table

app = typer.Typer(no_args_is_help=True, help="Measure speed, beside PyTorch and others.")

_AGAINST = typer.Option(help="Peers, separated by commas. Default: all that are installed.")
Against = Annotated[str | None, _AGAINST]
Batch = Annotated[int, typer.Option(min=1, help="Batch size.")]
Rounds = Annotated[int, typer.Option(min=1, help="Measured steps of each implementation.")]
Images = Annotated[int, typer.Option(min=1, help="Images in the set.")]
Save = Annotated[Path | None, typer.Option(help="Write the figures to this JSON file.")]


@app.command()
def train(
    against: Against = None,
    batch: Batch = paper.BATCH,
    rounds: Rounds = 5,
    save: Save = None,
    as_json: AsJson = False,
) -> None:
    """Training steps: forward, backward, update, in float32.

    On all cores, against pytorch, compile, jax, tensorflow, allocator. `compile` is PyTorch's network
    after torch.compile; `allocator` is this package with the C library's default allocator.
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
    """Forward passes at test time, in float32.

    On all cores, against pytorch, compile, jax, tensorflow.
    """
    _measure("infer", against, rounds, save, as_json, batch=batch)


@app.command()
def lrn(
    against: Against = None,
    batch: Batch = paper.BATCH,
    rounds: Rounds = 5,
    save: Save = None,
    as_json: AsJson = False,
) -> None:
    """ReLU, normalization and max-pool, forward and backward.

    On all cores, against pytorch, compile.
    """
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
    """Training crops from prepared images.

    On one core, from raw and JPEG shards, against pillow in PyTorch's DataLoader.
    """
    _measure("data", against, rounds, save, as_json, batch=batch, images=images)


@app.command()
def prepare(
    against: Against = None,
    source: Annotated[
        str | None, typer.Option(metavar="SRC", help="Your own images in place of generated ones.")
    ] = None,
    images: Images = 1000,
    rounds: Rounds = 3,
    save: Save = None,
    as_json: AsJson = False,
) -> None:
    """Preparation of full-size images.

    On one core, against pillow as torchvision calls it.
    """
    _measure("prepare", against, rounds, save, as_json, source=source, images=images)


@app.command()
def search(
    against: Against = None,
    index: Annotated[
        str | None, typer.Option(metavar="DIR", help="Vectors like those of your own index.")
    ] = None,
    images: Annotated[int, typer.Option(min=100, help="Vectors to search.")] = 20_000,
    rounds: Rounds = 20,
    save: Save = None,
    as_json: AsJson = False,
) -> None:
    """The six nearest of many feature vectors, exactly.

    On all cores, against numpy, faiss, usearch, which compare with all of them. An "image" is a query.
    """
    _measure("search", against, rounds, save, as_json, source=index, images=images)


@app.command()
def gpu(
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FILE", help="Where to write what is found.")
    ] = Path("gpu.json"),
    quick: Annotated[
        bool, typer.Option("--quick", help="Try this program on a CPU, in Triton's interpreter.")
    ] = False,
) -> None:
    """Checks of every GPU kernel, speed of training and its parts.

    Takes eight minutes on a GPU; with --quick it runs without one.
    """
    if quick:  # Triton asks for this when it is first imported
        os.environ.setdefault("TRITON_INTERPRET", "1")
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # for deterministic products
    from alexnet.benchmark.gpu import measure

    failures = measure(output, quick)
    print(f"Failed: {', '.join(failures) or 'none'}. Written: {output}")
    if failures:
        raise typer.Exit(1)


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
