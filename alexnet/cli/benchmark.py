"""`alexnet benchmark`: speed beside the peers, in one run on one machine."""

from __future__ import annotations

import json
import os
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from alexnet import paper
from alexnet.base.errors import UsageError
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
def codes(
    index: Annotated[Path, typer.Argument(metavar="DIR", help="What `alexnet index` wrote.")],
    bits: Annotated[str, typer.Option(help="Lengths of codes, separated by commas.")] = "",
    seeds: Annotated[int, typer.Option(min=1, help="Coders of each kind.")] = 1,
    queries: Annotated[int, typer.Option(min=1, help="Images to search for, at most.")] = 500,
    as_json: AsJson = False,
) -> None:
    """How good short codes are: an autoencoder's, ITQ's, signs of principal and of random directions.

    Of an index's vectors, and of the pixels of its images. "six" is the share of the six nearest vectors
    among the six nearest codes, "in 100" that among the hundred nearest, "class" the share of the six
    nearest codes that are of the query's class.
    """
    from alexnet.retrieval.comparison import BITS, compare_codes
    from alexnet.retrieval.index import Index

    try:
        lengths = [int(one) for one in bits.split(",")] if bits else BITS
    except ValueError:
        raise UsageError(f"--bits {bits!r} are no numbers.", remedy="--bits 32,64") from None
    found = compare_codes(Index.open(index), lengths, range(seeds), queries=queries)
    if as_json:
        about = found._asdict()
        about |= {"uncompressed": [one._asdict() for one in found.uncompressed]}
        about |= {"codes": [one._asdict() for one in found.codes]}
        print(json.dumps(about, indent=1))
        return
    rows = [
        (one.of, "vectors", "", "100.0", "", _percent([one.same_class]))
        for one in found.uncompressed
    ]
    kinds = dict.fromkeys((one.of, one.method, one.bits) for one in found.codes)
    for kind in kinds:
        mine = [one for one in found.codes if (one.of, one.method, one.bits) == kind]
        shares = ([one.exact for one in mine], [one.reranked for one in mine],
                  [one.same_class for one in mine])  # fmt: skip
        rows.append((kind[0], kind[1], str(kind[2]), *map(_percent, shares)))  # type: ignore[arg-type]
    print(table(rows, ("of", "method", "bits", "six %", "in 100 %", "class %")))
    print(f"{found.queries:,} queries, {found.searched:,} images searched")


def _percent(shares: Sequence[float]) -> str:
    """The mean of several seeds, and their standard deviation."""
    mean = 100 * statistics.fmean(shares)
    spread = f" ± {100 * statistics.stdev(shares):.1f}" if len(shares) > 1 else ""
    return f"{mean:.1f}{spread}"


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
