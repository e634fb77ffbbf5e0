"""Predictions: what one model says of every image of a split, and the file that keeps it.

The probabilities of an image are the average of the softmax outputs of its views (section 4.1).

Shape letters: B images of a batch, V views, N images, K classes, H x W pixels, C colours.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from alexnet.base import ranks
from alexnet.base.errors import DataError, IncompatibleError, NumericsError
from alexnet.base.files import canonical_json, write_atomically
from alexnet.base.names import distinct, listed
from alexnet.base.progress import Progress, progress
from alexnet.evaluation.probabilities import average_over_views
from alexnet.evaluation.scores import score, tally
from alexnet.loading.views import batches, split_views
from alexnet.models import ModelCard
from alexnet.network import AlexNet
from alexnet.prepared import PreparedDataset, Split

FORMAT = "alexnet-predictions"
VERSION = 1
_METADATA = b"alexnet"


@dataclass(frozen=True)
class Predictions:
    """`labels_N` int64 and `probs_NK` float32 in the order of `classes`; `keys` name the images.

    `provenance` says what produced them: model and its hash, dataset and its fingerprint, split,
    views.
    """

    keys: tuple[str, ...]
    labels_N: np.ndarray
    probs_NK: np.ndarray
    classes: tuple[str, ...]
    titles: tuple[str, ...]
    provenance: Mapping[str, Any]

    def save(self, path: Path) -> None:
        """Write one Arrow IPC file: columns key, label, probabilities."""
        K = self.probs_NK.shape[1]
        flat = pa.array(np.ascontiguousarray(self.probs_NK, np.float32).reshape(-1))
        about = {
            "format": FORMAT,
            "version": VERSION,
            "classes": self.classes,
            "titles": self.titles,
            "provenance": dict(self.provenance),
        }
        columns = {
            "key": pa.array(self.keys, pa.string()),
            "label": pa.array(self.labels_N, pa.int64()),
            "probabilities": pa.FixedSizeListArray.from_arrays(flat, K),
        }
        table = pa.table(columns).replace_schema_metadata({_METADATA: canonical_json(about)})
        sink = pa.BufferOutputStream()
        with pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
        write_atomically(path, sink.getvalue().to_pybytes())

    @classmethod
    def load(cls, path: Path) -> Predictions:
        """Read a prediction file; raises DataError where it is not one, or a damaged one."""
        try:
            table = pa.ipc.open_file(pa.BufferReader(path.read_bytes())).read_all()
            table.validate(full=True)
            about = json.loads(table.schema.metadata[_METADATA].decode("utf-8", "surrogateescape"))
            if about["format"] != FORMAT:
                raise KeyError(about["format"])
            if about["version"] != VERSION:
                raise IncompatibleError(
                    f"The predictions have format version {about['version']}; "
                    f"this program reads version {VERSION}.",
                    where=path,
                )
            flat = table["probabilities"].combine_chunks().flatten().to_numpy()
            return cls(
                keys=tuple(table["key"].to_pylist()),
                labels_N=table["label"].to_numpy(),
                probs_NK=flat.reshape(len(table), len(about["classes"])),
                classes=tuple(about["classes"]),
                titles=tuple(about["titles"]),
                provenance=about["provenance"],
            )
        except FileNotFoundError:
            raise DataError("A prediction file is missing.", where=path) from None
        except (pa.ArrowException, KeyError, TypeError, ValueError, OSError) as error:
            if isinstance(error, IncompatibleError):
                raise
            raise DataError(
                f"Not a readable prediction file: {error}.",
                where=path,
                remedy="Make it again with: alexnet evaluate MODEL DATA",
            ) from None


def predict_split(
    network: AlexNet,
    card: ModelCard,
    dataset: PreparedDataset,
    split: str,
    views: int,
    model: Mapping[str, Any] | None = None,
) -> Predictions:
    """What the network says of every image of a split, from 1 or 10 views each.

    The mean image is the model's own. Columns are those of the dataset's classes, found by name, and
    after them those of the model's other classes, of which the dataset has no images: the network chooses
    among all that it knows. Raises IncompatibleError with both lists where the dataset has a class that
    the model has not. `model` goes into the provenance.
    """
    columns_K, others = columns_of(card.classes, dataset.classes)
    images = _images_of(dataset, split)
    title = f"{split}, {views} view{'s' if views > 1 else ''}"
    with progress(title, len(images), "images") as bar:
        probs_NK = _probabilities(network, card.mean_HWC, images, views, columns_K, np.float32, bar)
    return Predictions(
        keys=tuple(images.key(i) for i in range(len(images))),
        labels_N=images.labels,
        probs_NK=probs_NK,
        classes=(*dataset.classes, *(card.classes[column] for column in others)),
        titles=distinct([*dataset.titles, *(card.titles[column] for column in others)]),
        provenance={
            "model": dict(model or {}),
            "dataset": {"folder": str(dataset.folder), "fingerprint": dataset.fingerprint},
            "split": split,
            "views": views,
        },
    )


def validation_errors(network: AlexNet, dataset: PreparedDataset) -> dict[str, float]:
    """`loss`, `top1_error` and `top5_error` (shares) of a network that trains on this dataset, from
    the centre view of each image of its split "val"; quietly.

    The loss is the average of minus the log-probability of the correct label (section 5). With five
    classes or fewer there is no top-5 error. `answer` is the label that was given most often, and
    `answered` how often: what a verdict needs beside the error.
    """
    images = _images_of(dataset, "val")
    probs_NK = _probabilities(network, dataset.statistics.mean_HWC, images, views=1)
    own_N = probs_NK[np.arange(len(images)), images.labels]
    # From zero: of images that are all certain, minus the mean would be printed as -0.000.
    loss = 0.0 - np.log(np.maximum(own_N, np.finfo(np.float64).tiny)).mean()
    errors, told = score(probs_NK, images.labels), tally(probs_NK, images.labels)
    return {
        "loss": float(loss),
        **{name: error for name, error in errors._asdict().items() if error is not None},
        "answer": told.answer,
        "answered": told.answered,
    }


def columns_of(model: Sequence[str], dataset: Sequence[str]) -> tuple[np.ndarray, list[int]]:
    """The model's outputs, those of the dataset's classes first (int64, K), and which are the others.

    Raises IncompatibleError where the dataset has a class that the model has not.
    """
    known = set(model)
    if not known.issuperset(dataset):
        matching_columns(tuple(model), tuple(dataset))
    here = set(dataset)
    others = [column for column, name in enumerate(model) if name not in here]
    place = {name: column for column, name in enumerate(model)}
    return np.array([*(place[name] for name in dataset), *others]), others


def matching_columns(
    model: tuple[str, ...],
    dataset: tuple[str, ...],
    called: tuple[str, str] = ("the model", "the data"),
) -> np.ndarray:
    """The model's output for each of the dataset's classes, by name: int64, K.

    Raises IncompatibleError with both lists where one has a class that the other has not.
    """
    if set(model) != set(dataset):
        one, other = called
        raise IncompatibleError(
            f"{one.capitalize()} has {len(model)} classes, {other} {len(dataset)}, "
            "and they are not the same.",
            where=f"only in {one}: {_named(model, dataset)}; "
            f"only in {other}: {_named(dataset, model)}",
            remedy="Classes are matched by name, never by position: choose data and models with "
            "the same ones.",
        )
    place = {name: column for column, name in enumerate(model)}
    return np.array([place[name] for name in dataset])


def _probabilities(
    network: AlexNet,
    mean_HWC: np.ndarray,
    images: Split,
    views: int,
    columns_K: np.ndarray | slice = slice(None),
    dtype: type[np.floating[Any]] = np.float64,
    bar: Progress | None = None,
) -> np.ndarray:
    """Averaged probabilities of some outputs, all by default, in the split's order: N x K.

    Several processes do whole batches each, and all get all; the batches are those of one process.
    """
    every = batches(len(images), views)
    mine = every[ranks.share(len(every), ranks.rank(), ranks.world())]
    first, last = (mine[0][0], mine[-1][-1] + 1) if mine else (0, 0)
    found_NK = np.empty((last - first, len(np.arange(network.classes)[columns_K])), dtype)
    weights, crop = next(network.parameters()), network.convention.crop
    with closing(split_views(images, mean_HWC, views, mine, weights, crop)) as views_of:
        for batch, x_NCHW in zip(mine, views_of, strict=True):
            probs_BK = average_over_views(network, x_NCHW, views)
            if not np.isfinite(probs_BK).all():
                worst = batch[int(np.argmin(np.isfinite(probs_BK).all(axis=1)))]
                raise NumericsError(
                    "The network's outputs are not finite numbers.",
                    where=f"image {images.key(worst)}",
                    remedy="The weights are broken: use an earlier checkpoint or another model.",
                )
            found_NK[batch[0] - first : batch[-1] + 1 - first] = probs_BK[:, columns_K]
            if bar:
                bar.advance(len(batch) * ranks.world())  # the others are as far
    return ranks.collected(found_NK)


def _images_of(dataset: PreparedDataset, split: str) -> Split:
    images = dataset.split(split)
    if len(images) == 0:
        raise DataError(f"The split {split!r} has no images.", where=dataset.folder)
    return images


def _named(these: tuple[str, ...], others: tuple[str, ...]) -> str:
    """Those of `these` that `others` lack."""
    known = set(others)
    return listed([name for name in these if name not in known]) or "none"
