"""Part of a source: some of its classes, some images of each, with a validation split of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

from alexnet.base.errors import UsageError, did_you_mean
from alexnet.sources.base import LabelledImage, Source, identity_of


def subset(
    source: Source, spec: str, classes: Sequence[str] = (), train: int = 0, held_out: int = 0
) -> Source:
    """Images of some `classes` (all by default) of a source, called `spec`.

    Of each class the first `held_out` training images become the split "val", and the next `train` (0:
    all others) are trained on; what was "val" is then "test". Where none are held out, "val" stays. What
    the source has of other splits is left out. Raises UsageError for a class that it has not.
    """
    kept = tuple(classes) or source.classes
    for name in kept:
        if name not in source.classes:
            raise UsageError(
                f"{source.spec} has no class {name!r}.", remedy=did_you_mean(name, source.classes)
            )
    labels = {source.classes.index(name): label for label, name in enumerate(kept)}

    def images() -> Iterator[LabelledImage]:
        seen = Counter[int]()
        for one in source.images():
            if one.label not in labels or one.split not in ("train", "val"):
                continue
            split = one.split
            if split == "train":
                place = seen[one.label]
                seen[one.label] += 1
                if train and place >= held_out + train:
                    continue
                split = "val" if place < held_out else "train"
            elif held_out:
                split = "test"
            yield replace(one, split=split, label=labels[one.label])

    return replace(
        source,
        spec=spec,
        classes=kept,
        titles=tuple(source.titles[source.classes.index(name)] for name in kept),
        splits=("train", "val", "test") if held_out else ("train", "val"),
        count=sum(1 for _ in images()),
        identity=identity_of([source.identity, kept, train, held_out]),
        images=images,
        listed=None,  # which images are taken depends on those before
        has_splits=True,
        counts={},
        images_of=None,
    )
