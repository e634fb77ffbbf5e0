"""Named activations of any number of images, from the network to a file, a few batches at a time.

Shape letters: N images, B of a batch, U units, C maps, H x W positions.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from alexnet import __version__
from alexnet.activations.arrays import Output
from alexnet.activations.stimuli import Stimuli
from alexnet.activations.store import (
    files_of,
    require_new,
    require_possible,
    require_room,
    writing,
)
from alexnet.base import ranks
from alexnet.base.errors import DataError, NumericsError
from alexnet.base.progress import progress
from alexnet.base.provenance import names_hash
from alexnet.loading.files import READ
from alexnet.loading.views import batches, require_views, turns
from alexnet.models import ModelCard
from alexnet.models.activations import named_activations, row_shapes
from alexnet.network import AlexNet

FORMAT = "alexnet-features"
VERSION = 1


class Skipped(NamedTuple):
    """An image that cannot be used, and why."""

    image: str
    reason: str


class Extracted(NamedTuple):
    """The files written, the shape of each layer's array, its images first, and what was left out."""

    written: tuple[Path, ...]
    keys: tuple[str, ...]
    shapes: dict[str, tuple[int, ...]]
    skipped: tuple[Skipped, ...]


class _Found(NamedTuple):
    """What a batch came to."""

    keys: list[str]
    rows: dict[str, np.ndarray]
    skipped: list[Skipped]


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

    The ending of `out` says in which format: .npy, .npz, .h5, .parquet, .csv or .mat. `model` goes into
    the provenance, with the classes where the output layer is asked for. Several processes take batches
    in turn, and the first writes them. Raises UsageError for an
    activation or an ending that does not exist, for files that exist (unless `force`), DataError where
    no image can be used, NumericsError where a number is not finite, EnvironmentProblem where the disk
    is too small.
    """
    require_views(views)
    shapes = row_shapes(network, layers)
    about: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "alexnet": __version__,
        "model": dict(model or {}),
        "views": views,
        "source": dict(stimuli.source),
    }
    last = network.convention.output.name
    columns = {last: card.classes} if last in shapes else {}
    if columns:
        about["classes"] = list(card.classes)
    files = files_of(out, list(shapes))
    dtype = np.dtype("<f4")
    output = Output(out, len(stimuli.keys), shapes, dtype, about, columns, stimuli.labels)
    require_possible(output)
    if ranks.is_rank_0():
        require_new(files, force)
    ranks.require_same(
        {"the images": names_hash(stimuli.keys), **{k: str(v) for k, v in about.items()}}
    )
    if ranks.is_rank_0():
        require_room(output)
    _require_any(stimuli.keys, [], stimuli)
    keys: list[str] = []
    skipped: list[Skipped] = []
    with (
        closing(_found(network, card, stimuli, shapes, views)) as parts,
        progress("activations", len(stimuli.keys), "images") as shown,
        writing(output) if ranks.is_rank_0() else nullcontext() as write,
    ):
        for found in parts:
            keys += found.keys
            skipped += found.skipped
            if write and found.keys:
                write(found.keys, found.rows)
            shown.advance(len(found.keys) + len(found.skipped))
        _require_any(keys, skipped, stimuli)
        about |= {"images": len(keys), "skipped": [one._asdict() for one in skipped]}
    whole = {name: (len(keys), *shape) for name, shape in shapes.items()}
    return Extracted(tuple(files), tuple(keys), whole, tuple(skipped))


def _found(
    network: AlexNet,
    card: ModelCard,
    stimuli: Stimuli,
    shapes: Mapping[str, tuple[int, ...]],
    views: int,
) -> Generator[_Found]:
    """What all images come to, in order; the processes compute a batch each at a time.

    They are handed on one by one, those of one process: a file's bytes may depend on how it is written.
    """
    mine = turns(len(stimuli.keys), views)
    with closing(stimuli.batches(network, card.mean_HWC, views, mine)) as inputs:
        for batch, (faults, x_NCHW) in zip(mine, inputs, strict=True):
            images = [*zip([stimuli.keys[n] for n in batch], faults, strict=True)]
            rows = {name: np.empty((0, *shape), np.float32) for name, shape in shapes.items()}
            if len(x_NCHW):
                rows = named_activations(network, x_NCHW, list(shapes), views)
                require_finite(rows, [key for key, fault in images if fault is None])
            images = ranks.gathered(images)
            rows = {name: ranks.collected(rows[name]) for name in shapes}
            size, done = len(batches(len(stimuli.keys), views)[0]), 0
            for first in range(0, len(images), size):
                one = images[first : first + size]
                keys = [key for key, fault in one if fault is None]
                here = slice(done, done := done + len(keys))
                yield _Found(
                    keys,
                    {name: values[here] for name, values in rows.items()},
                    [Skipped(key, fault) for key, fault in one if fault is not None],
                )


def _require_any(keys: Sequence[str], skipped: Sequence[Skipped], stimuli: Stimuli) -> None:
    """Raise DataError, with the reasons, where none of the images can be used."""
    if not keys:
        reasons = [f"{one.image}: {one.reason}" for one in skipped[:3]]
        raise DataError(
            "None of the images could be used.",
            where=" ".join(reasons) or ", ".join(map(str, stimuli.source.get("files", ()))),
            remedy=READ,
        )


def require_finite(rows: Mapping[str, np.ndarray], keys: Sequence[str]) -> None:
    """Raise NumericsError, with the image's key, where one of its activations is not finite."""
    for name, values in rows.items():
        finite_B = np.isfinite(values.reshape(len(keys), -1)).all(axis=1)
        if not finite_B.all():
            raise NumericsError(
                f"The activations {name} are not finite numbers.",
                where=f"image {keys[int(np.argmin(finite_B))]}",
                remedy="The weights are broken: use an earlier checkpoint or another model.",
            )
