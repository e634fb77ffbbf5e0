"""The prepared set that a network is evaluated on: no more than the images that are asked about."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import NamedTuple

from alexnet.prepared import folder as folders
from alexnet.prepared.dataset import PreparedDataset
from alexnet.prepared.history import changed_since
from alexnet.prepared.pixels import SIZE
from alexnet.prepared.preparation import home_of, open_or_prepare, prepare
from alexnet.prepared.stamps import is_unchanged
from alexnet.sources import open_source
from alexnet.sources.labelled import labelled, split_to_evaluate


class Labelled(NamedTuple):
    """A set and the split of it to evaluate; `notes` are sentences on what was chosen."""

    dataset: PreparedDataset
    split: str
    notes: tuple[str, ...] = ()


def open_labelled(
    data: str,
    split: str = "",
    side: int = SIZE,
    before: Callable[[Sequence[str]], None] | None = None,
    trained_on: Collection[str] = (),
) -> Labelled:
    """The labelled images of a prepared set or of what one is made from, which is prepared if need be.

    Of splits it is the one asked for, else validation, test or what there is; images without splits are
    taken all together, but where a network was trained on them: `trained_on` has the fingerprints of the
    sets of networks, and of such a set, wherever it lies now, it is the part that was held out. `before`
    is given the classes of a source before its images are read, and may refuse them. Raises UsageError
    for a split that there is not.
    """
    if (Path(data) / "dataset.json").is_file():
        dataset = open_or_prepare(data, side=side)
        return Labelled(dataset, split_to_evaluate(dataset.splits, data, split))
    source = open_source(data)
    home = home_of(source, side)
    there = folders.earlier_in(home)
    is_trained_on = there and any(_is_or_was(there, one) for one in trained_on)
    if not source.has_splits and is_trained_on and there and is_unchanged(there, source):
        if before:
            before(source.classes)
        chosen = split_to_evaluate(there.splits, data, split)
        note = f"Trained on images of {data}: evaluated on those that were held out of it."
        return Labelled(there, chosen, (note,))
    part = labelled(source, split)
    (chosen,) = part.splits
    if before:
        before(part.classes)
    notes = list(part.warnings)
    if is_trained_on and not source.has_splits:
        notes.append(f"! Trained on some of the images of {data}: of others more would be wrong.")
    if there and source.has_splits and chosen in there.splits and is_unchanged(there, source):
        return Labelled(there, chosen, tuple(notes))
    out = home.with_name(f"{home.name}.{chosen}")
    return Labelled(prepare(part, out, side=side), chosen, tuple(notes))


def _is_or_was(dataset: PreparedDataset, fingerprint: str) -> bool:
    """Whether a set has this fingerprint, or had it before its source changed."""
    return dataset.fingerprint == fingerprint or bool(changed_since(dataset, fingerprint))
