"""Any set of images, however it lies: no image lost in silence, no class that is no class."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest
from sources.layouts import BROKEN, Maker, Meant

from alexnet.base.errors import DataError
from alexnet.prepared.batches import Account, batches, in_two_classes
from alexnet.prepared.work import ImageOutcome
from alexnet.sources import Source, open_source


@pytest.mark.parametrize("seed", range(30))
def test_every_image_is_accounted_for(tmp_path: Path, seed: int) -> None:
    look_at(seed, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1000, 1200))
def test_every_image_of_many_more_sets_is_accounted_for(tmp_path: Path, seed: int) -> None:
    look_at(seed, tmp_path)


def look_at(seed: int, folder: Path) -> None:
    path, meant = Maker(seed, folder).make()
    share = None
    if meant.refused:
        name, count = meant.refused
        with pytest.raises(DataError) as error:
            open_source(str(path))
        assert f"{name}/: {count} images" in error.value.where
        share = 0.1  # leaves it out
    source = open_source(str(path), validation_share=share)
    assert set(source.classes) == {unicodedata.normalize("NFC", name) for name in meant.classes}
    assert source.truncated == ""
    if meant.refused:
        assert any(
            f"{meant.refused[0]}/: {meant.refused[1]} images" in one for one in source.warnings
        )
    ignored = Counter(source.ignored)
    assert ignored["hidden"] + ignored["links in a loop"] == meant.hidden
    assert ignored["outside class folders"] == meant.outside
    assert sum(ignored.values()) == meant.hidden + meant.outside + meant.no_images
    accounts = account_of(source)
    given: dict[str, list[tuple[str, bytes]]] = {split: [] for split in source.splits}
    for image in source.images():
        assert image.key.split("/")[0] in {image.key, *forms(source.classes[image.label])}
        if not image.fault:
            given[image.split].append((source.classes[image.label], image.data))
    wanted: Mapping[str, list[tuple[str, bytes]]] = meant.images
    if meant.has_splits:
        assert set(source.splits) == set(wanted) | set(meant.lost)
        assert {split: Counter(of) for split, of in given.items()} == {
            split: Counter(wanted.get(split, [])) for split in source.splits
        }
    else:
        assert Counter(one for of in given.values() for one in of) == Counter(wanted.get("", []))
        assert not {data for _, data in given["train"]} & {data for _, data in given["val"]}
    compare(accounts, meant, given)


def account_of(source: Source) -> dict[str, Account]:
    """What preparation would find, if a decoder knew the contents that the maker wrote."""
    accounts = {split: Account(split) for split in source.splits}
    for batch in batches(source, 3, 10**6):
        accounts[batch.split].add(
            batch,
            [
                ImageOutcome(reason="not an image") if data == BROKEN else ImageOutcome(64, 64)
                for data in batch.contents
            ],
        )
    return accounts


def compare(
    accounts: dict[str, Account], meant: Meant, given: dict[str, list[tuple[str, bytes]]]
) -> None:
    lost = sum(account.summary()["rejected"] for account in accounts.values())
    broken = sum(data == BROKEN for of in given.values() for _, data in of)
    assert lost == broken + meant.lost.total()
    contradictions = 0
    for split, account in accounts.items():
        labels: dict[bytes, list[str]] = {}
        for name, data in given[split]:
            if data != BROKEN:
                labels.setdefault(data, []).append(name)
        told = account.summary()
        assert told["accepted"] == len(labels)
        # The first is used: all others of its class are duplicates, those of another contradict it.
        firsts = sum(len(names) - names.count(names[0]) for names in labels.values())
        assert told["contradictions"] == firsts
        assert told["duplicates"] == sum(map(len, labels.values())) - len(labels) - firsts
        contradictions += firsts
    assert len(in_two_classes([*accounts.values()])) >= contradictions


def forms(name: str) -> set[str]:
    return {unicodedata.normalize(form, name) for form in ("NFC", "NFD")}
