"""Batches of image files: each decoded once and ahead, in order, broken ones as data."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from alexnet.base import ranks
from alexnet.base.errors import DataError, UsageError
from alexnet.loading import files
from alexnet.loading.crops import cut_views
from alexnet.loading.files import file_batches, pixels_of
from alexnet.loading.views import batches, turns
from alexnet.prepared import Rejected


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven images, 0.png ... 6.png; the fourth is cut, the fifth is none."""
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for n in range(7):
        Image.fromarray(rng.integers(0, 256, (40, 50, 3), np.uint8)).save(folder / f"{n}.png")
    (folder / "3.png").write_bytes((folder / "3.png").read_bytes()[:2000])
    (folder / "4.png").write_bytes(b"<html>")
    return folder


@pytest.fixture
def paths(folder: Path) -> list[str]:
    return [str(folder / f"{n}.png") for n in range(7)]


@pytest.fixture
def mean_HWC() -> np.ndarray:
    return np.random.default_rng(1).uniform(90, 140, (256, 256, 3)).astype(np.float32)


@pytest.mark.parametrize("views", [1, 10])
def test_batches_keep_the_order_and_broken_images_are_data(
    paths: list[str], mean_HWC: np.ndarray, views: int
) -> None:
    some = [range(2), range(2, 5), range(5, 7), range(0)]
    found = list(file_batches(paths, mean_HWC, views, some))
    faults = [fault for batch in found for fault in batch.faults]
    assert [len(batch.faults) for batch in found] == [2, 3, 2, 0]
    assert [bool(fault) for fault in faults] == [n in (3, 4) for n in range(7)]
    assert isinstance(faults[3], Rejected) and faults[3].reason == "truncated"
    assert faults[3].where == paths[3]
    for batch, good in zip(found, ([0, 1], [2], [5, 6], []), strict=True):
        assert batch.x_NHWC.shape == (len(good) * views, 224, 224, 3)
        expected = [cut_views(pixels_of(paths[n]), mean_HWC, views) for n in good]
        assert (batch.x_NHWC == np.reshape(expected, batch.x_NHWC.shape)).all()


def counting(
    monkeypatch: pytest.MonkeyPatch, before: Callable[[object], None] = lambda image: None
) -> list[object]:
    """What is decoded from now on, in the order in which it is begun."""
    decoded: list[object] = []

    def counted(image: files.ImageLike, side: int) -> np.ndarray:
        decoded.append(image)
        before(image)
        return pixels_of(image, side)

    monkeypatch.setattr(files, "pixels_of", counted)
    return decoded


def test_each_image_is_decoded_once(
    paths: list[str], mean_HWC: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded = counting(monkeypatch)
    list(file_batches(paths, mean_HWC, 10, [range(4), range(4, 7)]))
    assert sorted(map(str, decoded)) == paths


def test_the_next_batch_is_decoded_while_the_caller_has_one(
    paths: list[str], mean_HWC: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = {path: threading.Event() for path in paths}
    counting(monkeypatch, lambda image: begun[str(image)].set())
    found = file_batches(paths, mean_HWC, 1, [range(1), range(1, 2), range(2, 3)])
    next(found)
    assert begun[paths[1]].wait(20)
    assert not begun[paths[2]].is_set()  # and no more than that is in memory
    found.close()


def test_what_is_left_early_is_not_decoded(
    paths: list[str], mean_HWC: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranks, "cores", lambda: 1)
    done = threading.Event()
    decoded = counting(monkeypatch, lambda image: done.wait(20) if image == paths[2] else None)
    found = file_batches(paths, mean_HWC, 1, [range(2), range(2, 7)])
    next(found)
    threading.Timer(0.3, done.set).start()
    found.close()
    assert decoded[:3] == paths[:3] and len(decoded) == 3


def test_unusable_pixels_end_it(mean_HWC: np.ndarray) -> None:
    images = [np.zeros((300, 280, 3), np.uint8), np.zeros((300, 280), np.uint8)]
    with pytest.raises(UsageError, match="Expected uint8 H x W x 3"):
        list(file_batches(images, mean_HWC, 1, [range(2)]))


def test_processes_take_batches_in_turn_and_have_as_many(monkeypatch: pytest.MonkeyPatch) -> None:
    assert batches(20, 10) == [range(8), range(8, 16), range(16, 20)]
    monkeypatch.setattr(ranks, "world", lambda: 2)
    monkeypatch.setattr(ranks, "rank", lambda: 0)
    assert turns(20, 10) == [range(8), range(16, 20)]
    monkeypatch.setattr(ranks, "rank", lambda: 1)
    assert turns(20, 10) == [range(8, 16), range(0)]


def test_a_name_that_is_no_file_is_told(tmp_path: Path, mean_HWC: np.ndarray) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    names = [str(tmp_path / "none.png"), str(tmp_path), str(tmp_path / "link")]
    (batch,) = file_batches(names, mean_HWC, 1, [range(3)])
    assert all(isinstance(fault, DataError) for fault in batch.faults)
    assert [fault.what for fault in batch.faults if fault] == [
        "There is no such file.",
        "Not an image file.",
        "Not an image file.",
    ]
