"""Named activations of any number of images, from the network to a file, a few batches at a time.

Shape letters: N images, B of a batch, U units, C maps, H x W positions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from alexnet import __version__, paper
from alexnet.activations.output import Output, files_of, require_new, require_room
from alexnet.activations.stimuli import Stimuli
from alexnet.base import ranks
from alexnet.base.errors import NumericsError, UsageError
from alexnet.base.progress import progress
from alexnet.evaluation.activations import named_activations, row_shapes
from alexnet.evaluation.predictions import VIEWS_AT_ONCE
from alexnet.models import ModelCard
from alexnet.network import AlexNet

FORMAT = "alexnet-features"
VERSION = 1


class Extracted(NamedTuple):
    """The files written, and the shape of each layer's array, its images first."""

    written: tuple[Path, ...]
    shapes: dict[str, tuple[int, ...]]


def extract(
    network: AlexNet,
    card: ModelCard,
    stimuli: Stimuli,
    layers: Sequence[str],
    out: Path,
    *,
    views: int = 1,
    model: Mapping[str, Any] | None = None,
    force: bool = False,
) -> Extracted:
    """Write the activations named in `layers` of every image, averaged over its 1 or 10 views.

    The ending of `out` says in which format: .npy, .h5, .csv or .mat. `model` goes into the provenance.
    Several processes take batches in turn, and the first writes them. Raises UsageError for an
    activation or an ending that does not exist, for files that exist (unless `force`), NumericsError
    where a number is not finite, EnvironmentProblem where the disk is too small.
    """
    if views not in (1, paper.VIEWS):
        raise UsageError(f"views is {views}; expected 1 or {paper.VIEWS}.")
    shapes = row_shapes(network, layers)
    about = {
        "format": FORMAT,
        "version": VERSION,
        "alexnet": __version__,
        "model": dict(model or {}),
        "views": views,
        "source": dict(stimuli.source),
        "images": len(stimuli.keys),
        "skipped": [one._asdict() for one in stimuli.skipped],
    }
    if ranks.is_rank_0():
        require_new(files_of(out, list(shapes)), force)
    output = Output(out, stimuli.keys, shapes, np.dtype("<f4"), about)
    identity = hashlib.sha256("\0".join(stimuli.keys).encode("utf-8", "surrogateescape"))
    ranks.require_same(
        {"the images": identity.hexdigest(), **{k: str(v) for k, v in about.items()}}
    )
    with (
        closing(_found(network, card, stimuli, shapes, views)) as found,
        progress("activations", len(stimuli.keys), "images") as shown,
    ):
        if not ranks.is_rank_0():
            for _ in found:
                pass
        else:
            require_room(output)
            with output.writing() as write:
                for rows in found:
                    write(rows)
                    shown.advance(len(rows[layers[0]]))
    return Extracted(
        tuple(output.files),
        {name: (len(stimuli.keys), *shape) for name, shape in shapes.items()},
    )


def _found(
    network: AlexNet,
    card: ModelCard,
    stimuli: Stimuli,
    shapes: Mapping[str, tuple[int, ...]],
    views: int,
) -> Generator[dict[str, np.ndarray]]:
    """The activations of all images in order, batch by batch; the processes exchange one each at a
    time.

    The batches are those of one process.
    """
    count, size = len(stimuli.keys), VIEWS_AT_ONCE // views
    batches = [range(first, min(first + size, count)) for first in range(0, count, size)]
    mine = batches[ranks.rank() :: ranks.world()]
    with closing(stimuli.inputs(network, card.mean_HWC, views, mine)) as x_of_batches:
        for number in range(-(-len(batches) // ranks.world())):
            rows = {name: np.empty((0, *shape), np.float32) for name, shape in shapes.items()}
            if number < len(mine):
                rows = named_activations(network, next(x_of_batches), list(shapes), views)
                _require_finite(rows, [stimuli.keys[n] for n in mine[number]])
            rows = {name: ranks.collected(rows[name]) for name in shapes}
            for first in range(0, len(rows[next(iter(shapes))]), size):
                yield {name: values[first : first + size] for name, values in rows.items()}


def _require_finite(rows: Mapping[str, np.ndarray], keys: Sequence[str]) -> None:
    for name, values in rows.items():
        finite_B = np.isfinite(values.reshape(len(keys), -1)).all(axis=1)
        if not finite_B.all():
            raise NumericsError(
                f"The activations {name} are not finite numbers.",
                where=f"image {keys[int(np.argmin(finite_B))]}",
                remedy="The weights are broken: use an earlier checkpoint or another model.",
            )
