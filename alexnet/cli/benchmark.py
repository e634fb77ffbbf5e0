"""The verb `benchmark`: this package beside its peers, in one run on this machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from alexnet import paper
from alexnet.cli.tables import table
from alexnet.errors import UsageError, did_you_mean

app = typer.Typer(no_args_is_help=True, help="Measure this package and its peers side by side.")
_PEERS = ("pytorch",)


@app.callback()
def _group() -> None:
    pass


@app.command()
def train(
    against: Annotated[str, typer.Option(help="Peers, by commas: pytorch.")] = "pytorch",
    batch: Annotated[int, typer.Option(min=1, help="Pictures in a step.")] = paper.BATCH,
    rounds: Annotated[int, typer.Option(min=1, help="Steps measured of each.")] = 7,
    save: Annotated[Path | None, typer.Option(help="Write the figures to this JSON file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Training steps per second: forward, backward, update, in float32 on all cores."""
    from alexnet.benchmark.duel import duel

    peers = [name for name in against.split(",") if name]
    for name in peers:
        if name not in _PEERS:
            raise UsageError(f"There is no peer {name!r}.", remedy=did_you_mean(name, _PEERS))
    measured = duel(["alexnet", *peers, "ceiling"], batch, rounds)
    result = _result(measured, batch, rounds)
    if save:
        from alexnet.files import write_json

        write_json(save, result)
    print(json.dumps(result, indent=1) if as_json else described(result))


def described(result: dict[str, Any]) -> str:
    """A recorded benchmark as the table that people read."""
    rows = [
        [
            name,
            f"{row['images_per_second']:.1f}",
            f"{row['slowest']:.1f} - {row['fastest']:.1f}",
            f"{row['ratio']:.2f}",
            f"{100 * row['share_of_ceiling']:.0f} %",
        ]
        for name, row in result["training"].items()
    ]
    headers = ("training", "img/s", "range", "times as long", "of the ceiling")
    environment = result["environment"]
    return "\n".join(
        [
            table(rows, headers),
            "",
            f"medians of {result['rounds']} steps of {result['batch']} pictures, taken in turns",
            f"ceiling  {result['ceiling_gflops']:.0f} GFLOP/s in float32 matrix products, "
            f"or {result['ceiling_images_per_second']:.1f} img/s at "
            f"{result['gflop_per_image']:.3f} GFLOP each",
            f"machine  {environment['processor']}, {environment['threads']} threads, "
            f"torch {environment['versions']['torch']}",
        ]
    )


def _result(measured: dict[str, Any], batch: int, rounds: int) -> dict[str, Any]:
    from alexnet.benchmark.contestants import CEILING_SIDE
    from alexnet.network.table import training_flops
    from alexnet.training.run import environment

    gflop = training_flops() / 1e9
    ceiling = 2 * CEILING_SIDE**3 / 1e9 / min(measured["ceiling"].seconds)
    ours = measured["alexnet"].median
    rows = {
        name: {
            "images_per_second": batch / one.median,
            "slowest": batch / max(one.seconds),
            "fastest": batch / min(one.seconds),
            "ratio": one.median / ours,
            "share_of_ceiling": batch / one.median * gflop / ceiling,
            "seconds": one.seconds,
        }
        for name, one in measured.items()
        if name != "ceiling"
    }
    return {
        "batch": batch,
        "rounds": rounds,
        "training": rows,
        "gflop_per_image": gflop,
        "ceiling_gflops": ceiling,
        "ceiling_images_per_second": ceiling / gflop,
        "environment": environment(),
    }
