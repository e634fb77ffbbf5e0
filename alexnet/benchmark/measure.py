"""The benchmarks: what each measures, against which peers, and how often."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from alexnet import paper
from alexnet.base.provenance import commit, environment
from alexnet.benchmark.alternate import Comparison, alternate
from alexnet.benchmark.peers import PEERS, choose
from alexnet.benchmark.result import Part, Record


@dataclass(frozen=True)
class Benchmark:
    """A verb: the peers it knows, and its rounds of warm-up."""

    peers: tuple[str, ...]
    warmup: int = 2


BENCHMARKS = {
    "train": Benchmark(("pytorch", "compile", "jax", "tensorflow", "allocator")),
    "infer": Benchmark(("pytorch", "compile", "jax", "tensorflow")),
    "lrn": Benchmark(("pytorch", "compile")),
    "data": Benchmark(("pillow",)),
    "prepare": Benchmark(("pillow",), warmup=1),
    "search": Benchmark(("numpy", "faiss", "usearch"), warmup=3),
}


def measure(
    verb: str,
    against: str | None,
    rounds: int,
    *,
    batch: int = paper.BATCH,
    source: str | None = None,
    images: int = 0,
) -> Record:
    """Run one benchmark on this machine.

    `against` names peers by commas, None means all that can run here. `batch` belongs to all but
    `prepare` and `search`, `images` (how many are made) and `source` to those two, `images` to `data`.
    Raises UsageError or EnvironmentProblem.
    """
    benchmark = BENCHMARKS[verb]
    peers, left_out = choose(against, benchmark.peers)
    with TemporaryDirectory(prefix="alexnet-benchmark-") as folder:
        comparisons = _comparisons(verb, peers, batch, source, images, Path(folder))
        parts = [Part.of(one, alternate(one, rounds, benchmark.warmup)) for one in comparisons]
    return Record(verb, rounds, parts, left_out, _environment(peers), commit())


def _comparisons(
    verb: str, peers: Sequence[str], batch: int, source: str | None, images: int, folder: Path
) -> list[Comparison]:
    from alexnet.benchmark import data, inference, lrn, prepare, search, training

    if verb == "search":
        return search.comparisons(peers, source, images, folder)
    if verb == "prepare":
        return prepare.comparisons(peers, source, images, folder)
    if verb == "data":
        return data.comparisons(peers, batch, images, folder)
    networks = {
        "train": training.comparisons,
        "infer": inference.comparisons,
        "lrn": lrn.comparisons,
    }
    return networks[verb](peers, batch)


def _environment(peers: Sequence[str]) -> dict[str, Any]:
    """This package's own description of the machine, with the versions of the peers' packages."""
    found = environment()
    installed = metadata.packages_distributions()
    for package in filter(None, (PEERS[name].package for name in peers)):
        found["versions"][package] = metadata.version(installed[package][0])
    return found
