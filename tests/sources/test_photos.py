"""builtin:photos is honest: no validation view shows a pixel that a training view shows."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sources.conftest import pixels

from alexnet.sources import LabelledImage, open_source, photos


@pytest.fixture(scope="module")
def images() -> list[LabelledImage]:
    return list(open_source("builtin:photos").images())


@pytest.mark.parametrize("number", range(len(photos.PHOTOGRAPHS)))
def test_training_and_validation_views_share_no_pixel(number: int) -> None:
    with Image.open(photos.locate(list(photos.PHOTOGRAPHS.values())[number])) as image:
        width, height = image.size
    shown = {}
    for split, count in (("train", photos.TRAIN_VIEWS), ("val", photos.VALIDATION_VIEWS)):
        shown[split] = np.zeros((height, width), bool)
        views = photos.views(split, number, width, height, count)
        assert len(views) == count
        for x, y, side in views:
            assert side >= 100 and x >= 0 and y >= 0
            assert x + side <= width and y + side <= height
            shown[split][y : y + side, x : x + side] = True
    assert not (shown["train"] & shown["val"]).any()
    assert shown["train"].mean() > 0.3  # most of the photograph is used
    assert shown["val"].mean() > 0.02


def test_every_photograph_is_a_class_with_as_many_views(images: list[LabelledImage]) -> None:
    source = open_source("builtin:photos")
    assert len(source.classes) == 20
    counts = Counter((image.split, image.label) for image in images)
    assert set(counts.values()) == {photos.TRAIN_VIEWS, photos.VALIDATION_VIEWS}
    assert len(counts) == 40 and sum(counts.values()) == source.count
    assert len({image.data for image in images}) == len(images)


def test_views_are_cut_from_their_photographs(images: list[LabelledImage]) -> None:
    names = list(photos.PHOTOGRAPHS)
    for image in images[:: len(images) // 15]:
        with Image.open(photos.locate(photos.PHOTOGRAPHS[names[image.label]])) as whole:
            photo = np.asarray(whole.convert("RGB"))
        height, width, _ = photo.shape
        n = int(image.key.rpartition("/")[2])
        x, y, side = photos.views(image.split, image.label, width, height, n + 1)[n]
        assert (pixels(image.data) == photo[y : y + side, x : x + side]).all()


def test_they_are_the_same_every_time(images: list[LabelledImage]) -> None:
    assert list(open_source("builtin:photos").images()) == images


def test_validation_views_can_be_told_apart_but_not_by_colour_alone(
    images: list[LabelledImage],
) -> None:
    """The nearest training view in mean and spread of colour: above chance, far from perfect."""

    def features(image: LabelledImage) -> np.ndarray:
        rows = pixels(image.data).reshape(-1, 3)
        return np.concatenate([rows.mean(axis=0), rows.std(axis=0)])

    split = {name: [p for p in images if p.split == name] for name in ("train", "val")}
    train, val = (np.stack([features(p) for p in split[name]]) for name in ("train", "val"))
    nearest = np.linalg.norm(val[:, None] - train[None], axis=2).argmin(axis=1)
    right = [split["train"][n].label == p.label for n, p in zip(nearest, split["val"], strict=True)]
    assert 0.3 < np.mean(right) < 0.95  # chance is 0.05


def test_a_photograph_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from alexnet.base.errors import EnvironmentProblem

    monkeypatch.setitem(photos.PHOTOGRAPHS, "moon", str(Path("skimage/data/none.png")))
    with pytest.raises(EnvironmentProblem, match=r"none\.png is not installed"):
        open_source("builtin:photos")
