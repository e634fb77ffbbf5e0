"""Batches from a real prepared set."""

import threading
import time
from pathlib import Path

import numpy as np
import pytest

from alexnet.config import AugmentationConfig, Epochs
from alexnet.loading import loader as loading
from alexnet.loading.colour import colour_shifts
from alexnet.loading.crops import View, cut_views, random_views
from alexnet.loading.cutting import cut
from alexnet.loading.loader import Loader, view_batches
from alexnet.prepared import PreparedDataset, prepare
from alexnet.sources import open_source


def loader_of(dataset: PreparedDataset, batch: int = 16, seed: int = 0) -> Loader:
    return Loader(dataset.split("train"), dataset.statistics, AugmentationConfig(), batch, seed)


def test_a_batch_is_its_images_cropped_reflected_and_coloured(dataset: PreparedDataset) -> None:
    split, statistics = dataset.split("train"), dataset.statistics
    batch = loader_of(dataset, batch=50).make(1)  # reaches over the border of two epochs
    assert len(set(batch.epochs_B)) == 2
    assert batch.x_BHWC.shape == (50, 224, 224, 3) and batch.x_BHWC.dtype == np.float32
    for place in (0, 20, 49):
        epoch, index = int(batch.epochs_B[place]), batch.indices_B[[place]]
        view = View(*random_views(0, epoch, index, True)[0])
        (shift,) = colour_shifts(
            0, epoch, index, statistics.eigenvectors_33, statistics.deviations_3, 0.1
        )
        whole = split.pixels(int(index[0])).astype(np.float32) - statistics.mean_HWC + shift
        crop = whole[view.top : view.top + 224, view.left : view.left + 224]
        expected = crop[:, ::-1] if view.reflected else crop
        np.testing.assert_allclose(batch.x_BHWC[place], expected, atol=1e-4)
        assert batch.labels_B[place] == split.labels[index[0]]


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_batches_do_not_depend_on_threads_or_on_where_one_starts(
    dataset: PreparedDataset, monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    monkeypatch.setattr(loading, "_THREADS", threads)
    found = list(loader_of(dataset).batches(2, 7))
    assert [batch.step for batch in found] == [2, 3, 4, 5, 6]
    for batch in found:
        expected = loader_of(dataset).make(batch.step)
        np.testing.assert_array_equal(batch.x_BHWC, expected.x_BHWC)
        np.testing.assert_array_equal(batch.indices_B, expected.indices_B)


def test_every_epoch_draws_its_own_colour(dataset: PreparedDataset) -> None:
    count = len(dataset.split("train"))
    loader = loader_of(dataset, batch=count)
    first, second = loader.make(0), loader.make(1)
    assert set(first.epochs_B) == {0} and set(second.epochs_B) == {1}
    for index in range(count):
        a = first.x_BHWC[first.indices_B == index]
        assert not np.array_equal(a, second.x_BHWC[second.indices_B == index])


def test_without_augmentation_every_image_is_its_centre(dataset: PreparedDataset) -> None:
    split, mean_HWC = dataset.split("train"), dataset.statistics.mean_HWC
    plain = AugmentationConfig(crops="centre", reflections=False, colour=0.0)
    batch = Loader(split, dataset.statistics, plain, 8, 0).make(2)
    for x_HWC, index in zip(batch.x_BHWC, batch.indices_B, strict=True):
        (expected_HWC,) = cut_views(split.pixels(int(index)), mean_HWC, 1)
        np.testing.assert_array_equal(x_HWC, expected_HWC)


def test_batches_are_made_while_the_caller_works(dataset: PreparedDataset) -> None:
    loader, makers = loader_of(dataset, batch=4), []
    make = loader.make
    loader.make = lambda step: (makers.append(threading.current_thread().name), make(step))[1]
    batches = loader.batches(0, 5)
    next(batches)
    deadline = time.monotonic() + 20
    while len(makers) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(makers) >= 2, "the second batch was begun before it was asked for"
    assert all(name.startswith("loader") for name in makers)
    batches.close()


def test_a_fault_in_a_thread_reaches_the_caller(dataset: PreparedDataset) -> None:
    loader = loader_of(dataset)

    def broken(step: int) -> None:
        raise OSError("the disk is gone")

    loader.make = broken  # type: ignore[method-assign]
    with pytest.raises(OSError, match="the disk is gone"):
        next(loader.batches(0, 3))


def test_views_of_a_split_come_in_order(dataset: PreparedDataset) -> None:
    split, mean = dataset.split("train"), dataset.statistics.mean_HWC
    batches = [range(0, 3), range(3, 7), range(7, len(split))]
    found = np.concatenate(list(view_batches(split, mean, 10, batches)))
    expected = [cut_views(split.pixels(i), mean, 10) for i in range(len(split))]
    np.testing.assert_array_equal(found, np.concatenate(expected))


def test_a_batch_is_never_overwritten_while_it_may_be_in_use(dataset: PreparedDataset) -> None:
    loader = loader_of(dataset)
    kept = [batch.x_BHWC[3] for batch in loader.batches(0, 6)]  # a part keeps the whole
    for step, one in enumerate(kept):
        np.testing.assert_array_equal(one, loader_of(dataset).make(step).x_BHWC[3])


def test_memory_of_a_batch_serves_the_next(dataset: PreparedDataset) -> None:
    loader = loader_of(dataset)
    places = {batch.x_BHWC.ctypes.data for batch in loader.batches(0, 20)}
    assert len(places) <= 4


def test_jpegs_are_decoded_then_cut(tmp_path: Path) -> None:
    stored = prepare(open_source("synthetic:40x4"), tmp_path / "jpeg", storage="jpeg")
    loader = loader_of(stored, batch=50)
    batch = loader.make(1)
    views_B3, shifts_B3 = loader.draws(batch.step, batch.epochs_B, batch.indices_B)
    expected = np.empty((224, 224, 3), np.float32)
    for place, index in enumerate(batch.indices_B):
        pixels, view = loader.split.pixels(int(index)), View(*views_B3[place])
        cut(pixels, stored.statistics.mean_HWC, view, expected, shifts_B3[place])
        np.testing.assert_array_equal(batch.x_BHWC[place], expected)


def test_every_bit_of_a_batch(dataset: PreparedDataset) -> None:
    """In float32: the pixel less the mean, then the colour."""
    loader, mean = loader_of(dataset, batch=50), dataset.statistics.mean_HWC
    batch = loader.make(1)
    views_B3, shifts_B3 = loader.draws(batch.step, batch.epochs_B, batch.indices_B)
    for place, (top, left, reflected) in enumerate(views_B3):
        pixels = loader.split.pixels(int(batch.indices_B[place]))
        whole = pixels.astype(np.float32) - mean + shifts_B3[place]
        crop = whole[top : top + 224, left : left + 224]
        expected = crop[:, ::-1] if reflected else crop
        np.testing.assert_array_equal(batch.x_BHWC[place], expected)


def test_batches_in_blocks_are_those_of_their_steps(dataset: PreparedDataset) -> None:
    args = (dataset.split("train"), dataset.statistics, AugmentationConfig(), 16, 0, "blocks")
    for batch in Loader(*args).batches(3, 8):  # with advice to the system, which changes nothing
        np.testing.assert_array_equal(batch.x_BHWC, Loader(*args).make(batch.step).x_BHWC)


def test_the_programs_colours_are_divided_while_there_is_noise(dataset: PreparedDataset) -> None:
    parts = dataset.split("train"), dataset.statistics
    draws = AugmentationConfig(colour_until=Epochs(1), colour_divisor=1.1)
    theirs, plain = Loader(*parts, draws, 8, 0), Loader(*parts, AugmentationConfig(), 8, 0)
    quiet = Loader(*parts, AugmentationConfig(colour=0.0), 8, 0)
    last = len(dataset.split("train")) // 8 - 1  # of the first epoch
    expected = plain.make(last).x_BHWC / np.float32(1.1)
    np.testing.assert_array_equal(theirs.make(last).x_BHWC, expected)
    np.testing.assert_array_equal(theirs.make(last + 2).x_BHWC, quiet.make(last + 2).x_BHWC)
