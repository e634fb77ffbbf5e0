"""Crops, reflections and the mean, against array slices written out here."""

import numpy as np
import pytest

from alexnet.loading.buffers import aligned
from alexnet.loading.crops import View, cut_views, random_views, shared_views, views
from alexnet.loading.cutting import cut


def by_slices(image: np.ndarray, mean: np.ndarray, view: View) -> np.ndarray:
    less_mean = image.astype(np.float32) - mean
    crop = less_mean[view.top : view.top + 224, view.left : view.left + 224]
    return crop[:, ::-1] if view.reflected else crop


@pytest.mark.parametrize("view", [View(0, 0, False), View(31, 7, True), View(32, 32, True)])
def test_mean_is_subtracted_at_the_place_of_the_crop(
    image: np.ndarray, mean: np.ndarray, view: View
) -> None:
    out = np.empty((224, 224, 3), np.float32)
    cut(image, mean, view, out)
    np.testing.assert_array_equal(out, by_slices(image, mean, view))


def test_views_are_the_same_wherever_they_are_written(image: np.ndarray, mean: np.ndarray) -> None:
    view, size = View(5, 12, True), 224 * 224 * 3
    straight = aligned((size + 1,))
    for out in (
        straight[:size].reshape(224, 224, 3),
        straight[1:].reshape(224, 224, 3),  # beside the vectors' places
        np.empty((3, 224, 224), np.float32).transpose(1, 2, 0),  # a layout of another library
    ):
        out[...] = np.nan
        cut(image, mean, view, out)
        np.testing.assert_array_equal(out, by_slices(image, mean, view))


def test_ten_views_are_corners_and_centre_then_their_reflections(
    image: np.ndarray, mean: np.ndarray
) -> None:
    corners = [(0, 0), (0, 32), (32, 0), (32, 32), (16, 16)]
    expected = [
        by_slices(image, mean, View(top, left, reflected))
        for reflected in (False, True)
        for top, left in corners
    ]
    found = cut_views(image, mean, 10)
    assert found.shape == (10, 224, 224, 3) and found.dtype == np.float32
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(cut_views(image, mean, 1)[0], expected[4])
    with pytest.raises(ValueError, match="1 or 10"):
        views(5)


def test_there_are_2048_views() -> None:
    drawn = [random_views(0, epoch, np.arange(1000), True) for epoch in range(40)]
    seen = {View(*view) for view in np.concatenate(drawn)}
    assert len(seen) == 2048
    assert {view.top for view in seen} == {view.left for view in seen} == set(range(32))


def test_views_are_drawn_evenly() -> None:
    drawn = random_views(3, 0, np.arange(32_000), True)
    for values, kinds in zip(drawn.T, (32, 32, 2), strict=True):
        counts = np.unique(values, return_counts=True)[1]
        expected = 32_000 / kinds
        assert len(counts) == kinds
        assert ((counts - expected) ** 2 / expected).sum() < kinds + 6 * (2 * kinds) ** 0.5


def test_images_draw_independently() -> None:
    drawn = random_views(0, 0, np.arange(128), True)
    assert len(np.unique(drawn, axis=0)) > 100, "no crop is shared by a group of images"
    assert (random_views(0, 0, np.array([77]), True) == drawn[77]).all()
    assert (random_views(0, 1, np.arange(128), True) != drawn).any()
    assert not random_views(0, 0, np.arange(128), False)[:, 2].any()


@pytest.mark.parametrize(("side", "crop"), [(32, 24), (256, 227), (32, 32)])
def test_crops_of_other_networks(side: int, crop: int) -> None:
    rng = np.random.default_rng(1)
    image = rng.integers(0, 256, (side, side, 3), dtype=np.uint8)
    mean = rng.uniform(90, 140, (side, side, 3)).astype(np.float32)
    room = side - crop
    corners = [(0, 0), (0, room), (room, 0), (room, room), (room // 2, room // 2)]
    whole = image.astype(np.float32) - mean
    expected = [whole[top : top + crop, left : left + crop] for top, left in corners]
    expected += [view[:, ::-1] for view in expected]
    np.testing.assert_array_equal(cut_views(image, mean, 10, crop), expected)
    np.testing.assert_array_equal(cut_views(image, mean, 1, crop)[0], expected[4])
    out = np.empty((crop, crop, 3), np.float32)
    for view, by_hand in zip(views(10, room), expected, strict=True):
        cut(image, mean, view, out)
        np.testing.assert_array_equal(out, by_hand)
    drawn = random_views(0, 0, np.arange(2000), True, room)
    assert set(drawn[:, 0]) == set(drawn[:, 1]) == set(range(max(room, 1)))


def test_the_program_has_one_view_for_32_images_of_33_by_33_places() -> None:
    drawn = shared_views(0, np.arange(32 * 8000), True)
    groups = drawn.reshape(8000, 32, 3)
    assert (groups == groups[:, :1]).all()
    assert set(drawn[:, 0]) == set(drawn[:, 1]) == set(range(33))
    assert len(np.unique(groups[:, 0], axis=0)) > 1800, "of 33 x 33 x 2"
    assert (shared_views(0, np.arange(100, 164), True) == drawn[100:164]).all()
