"""The labelled images that a network is evaluated on: those of one split, or all where there is none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import compress

from alexnet.base.errors import UsageError, did_you_mean
from alexnet.sources.base import Files, LabelledImage, Listed, Source, identity_of, read_listed

ALL = "all"
_FIRST = ("val", "test", "train")  # what is evaluated where nobody says it


def split_to_evaluate(splits: tuple[str, ...], where: str, asked: str = "") -> str:
    """The split that is asked for, else validation, test or what there is; raises UsageError."""
    if asked and asked not in splits:
        raise UsageError(f"{where} has no split {asked!r}.", remedy=did_you_mean(asked, splits))
    return asked or next((split for split in _FIRST if split in splits), splits[0])


def labelled(source: Source, split: str = "") -> Source:
    """The images of one split of `source`, the one asked for or the one that there is, and no others.

    Where the images come without splits, all are one split called "all". Raises UsageError for a split
    that there is not.
    """
    if source.has_splits:
        chosen = split_to_evaluate(source.splits, source.spec, split)
        kept = chosen
    else:
        if split not in ("", ALL):
            raise UsageError(
                f"{source.spec} has no splits: its images are evaluated all together.",
                where=f"--split {split}",
                remedy="Leave out --split; or prepare it, which holds out some of them.",
            )
        chosen, kept = ALL, ""

    def listing() -> Iterator[Listed]:
        assert source.listed
        return (one._replace(split=chosen) for one in source.listed() if one.split == kept)

    def images() -> Iterator[LabelledImage]:
        if source.listed:
            return read_listed(listing(), source.validation_share)
        given = source.images_of(kept) if source.images_of else source.images()
        return (
            replace(one, split=chosen) for one in given if source.images_of or one.split == kept
        )

    counts = source.counts or Counter(one.split for one in source.images())
    return replace(
        source,
        splits=(chosen,),
        has_splits=True,
        count=counts[kept],
        counts={chosen: counts[kept]},
        identity=identity_of([source.identity, chosen]),
        images=images,
        images_of=None,
        files=_files_of(source, kept),
        listed=listing if source.listed else None,
    )


def _files_of(source: Source, split: str) -> Files | None:
    """Of files that are an image each, those of one split."""
    if not source.listed or not source.files:
        return source.files
    of_split = [one.split == split for one in source.listed()]
    paths, stamps_N4 = source.files.paths, source.files.stamps_N4
    return replace(
        source.files, paths=list(compress(paths, of_split)), stamps_N4=stamps_N4[of_split]
    )
