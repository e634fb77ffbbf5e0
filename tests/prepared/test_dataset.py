"""Reading a prepared dataset: contents, statistics, and refusal of anything that was changed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from alexnet.errors import DataError, IncompatibleError, UsageError
from alexnet.prepared import PreparedDataset, Statistics, prepare, shards
from alexnet.prepared.dataset import classes_hash
from alexnet.prepared.sums import Summing, Sums
from alexnet.sources import open_source


@pytest.fixture(scope="module", params=["raw", "jpeg"])
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared set of 30 pictures in shards of 8."""
    out = tmp_path_factory.mktemp("prepared") / request.param
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "PICTURES", {"raw": 8, "jpeg": 8})
        prepare(open_source("synthetic:30x3", validation_share=0.3), out, storage=request.param)
    return out


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Iterator[Path]:
    """A copy to damage."""
    shutil.copytree(whole, tmp_path / "copy")
    yield tmp_path / "copy"


def test_statistics_are_those_of_the_training_pictures_as_they_are_read(whole: Path) -> None:
    dataset = PreparedDataset.open(whole)
    train = dataset.split("train")
    images = np.stack([train.pixels(i) for i in range(len(train))]).astype(np.float64)
    statistics = dataset.statistics
    assert statistics.pixels == len(train) * 256 * 256
    assert statistics.mean_HWC.dtype == np.float32
    assert np.allclose(statistics.mean_HWC, images.mean(axis=0), atol=1e-4)
    covariance = np.cov(images.reshape(-1, 3), rowvar=False, bias=True)
    vectors, deviations = statistics.eigenvectors_33, statistics.deviations_3
    assert np.allclose(vectors @ np.diag(deviations**2) @ vectors.T, covariance, rtol=1e-4)
    assert np.allclose(vectors.T @ vectors, np.eye(3), atol=1e-5)
    assert (np.diff(deviations) < 0).all()
    assert (vectors[np.abs(vectors).argmax(axis=0), range(3)] > 0).all()


def test_covariance_is_exact_where_squares_would_cancel() -> None:
    """A million pictures of nearly one colour: float sums would lose the variance."""
    n, pixels = 10**6, 256 * 256
    half = n * pixels // 2
    values = ([255, 255, 255], [254, 255, 255])
    total = np.array([n * 255 - n // 2, n * 255, n * 255], np.int64)
    products = sum(half * np.outer(value, value).astype(object) for value in values)
    picture_sums = np.broadcast_to(total, (256, 256, 3))
    statistics = Statistics.from_sums(Sums(n, picture_sums, np.array(products, np.int64)))
    assert np.allclose(statistics.deviations_3, [0.5, 0, 0], atol=1e-6)
    assert np.allclose(np.abs(statistics.eigenvectors_33[:, 0]), [1, 0, 0])


def test_sums_are_exact() -> None:
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (5, 256, 256, 3), dtype=np.uint8)
    pictures[3] = 255  # the largest there are
    summing = Summing()
    for picture in pictures:
        summing.add(picture)
    sums = summing.total() + Sums.zero()
    flat = pictures.reshape(-1, 3).astype(np.int64)
    assert sums.pictures == 5
    assert (sums.pixels_HWC == pictures.sum(axis=0, dtype=np.int64)).all()
    assert (sums.products_CC == flat.T @ flat).all()


def test_statistics_survive_their_file(tmp_path: Path, whole: Path) -> None:
    first = PreparedDataset.open(whole).statistics
    first.save(tmp_path / "s.safetensors")
    second = Statistics.load(tmp_path / "s.safetensors")
    assert (second.mean_HWC == first.mean_HWC).all()
    assert (second.eigenvectors_33 == first.eigenvectors_33).all()
    assert second.pixels == first.pixels
    (tmp_path / "s.safetensors").write_bytes(b"not safetensors")
    with pytest.raises(DataError, match="Not readable statistics"):
        Statistics.load(tmp_path / "s.safetensors")


def test_raw_pictures_are_views_of_the_file(whole: Path) -> None:
    dataset = PreparedDataset.open(whole)
    pixels = dataset.split("train").pixels(9)
    assert pixels.shape == (256, 256, 3) and pixels.dtype == np.uint8
    if dataset.description["made"]["storage"] == "raw":
        assert not pixels.flags.owndata and not pixels.flags.writeable
        again = dataset.split("train").pixels(9)
        assert pixels.ctypes.data == again.ctypes.data


def test_many_threads_read_the_same_pictures(whole: Path) -> None:
    train = PreparedDataset.open(whole).split("train")
    expected = [train.pixels(i).copy() for i in range(len(train))]
    with ThreadPoolExecutor(8) as pool:
        for i, pixels in enumerate(pool.map(train.pixels, list(range(len(train))) * 10)):
            assert (pixels == expected[i % len(train)]).all()


def test_pictures_outside_the_split_do_not_wrap_around(whole: Path) -> None:
    train = PreparedDataset.open(whole).split("train")
    for i in (-1, len(train)):
        with pytest.raises(IndexError):
            train.pixels(i)
    with pytest.raises(UsageError, match="has no split 'vall'") as error:
        PreparedDataset.open(whole).split("vall")
    assert "'val'" in error.value.remedy


def test_shards_are_plain_arrow_files(whole: Path) -> None:
    dataset = PreparedDataset.open(whole)
    path = whole / dataset.description["splits"]["train"]["shards"][0]["file"]
    table = pa.ipc.open_file(path).read_all()
    assert table.column_names == ["image", "label", "key"]
    assert table.num_rows == 8
    assert table["label"].to_pylist() == dataset.split("train").labels[:8].tolist()
    image = table["image"][0].as_py()
    if dataset.description["made"]["storage"] == "raw":
        assert image == dataset.split("train").pixels(0).tobytes()
    else:
        assert image[:3] == b"\xff\xd8\xff"


def test_jpeg_storage_keeps_the_picture_close() -> None:
    from alexnet.prepared import prepare_picture

    first = next(open_source("builtin:photos").pictures())
    pixels = prepare_picture(first.data)
    stored = shards.decode_jpeg(shards.encode_jpeg(pixels))
    assert np.abs(stored.astype(int) - pixels).mean() < 1.5


# --- What was changed is refused ------------------------------------------------------------------


def edit(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = folder / "dataset.json"
    description = json.loads(path.read_text())
    change(description)
    path.write_text(json.dumps(description))


def first_shard(folder: Path) -> Path:
    return min(folder.glob("train-*.arrow"))


def test_a_cut_shard_is_refused_before_it_is_mapped(copy: Path) -> None:
    shard = first_shard(copy)
    data = shard.read_bytes()
    for length in (0, 5, len(data) // 2, len(data) - 1):
        shard.write_bytes(data[:length])
        with pytest.raises(DataError, match=f"has {length:,} bytes instead of"):
            PreparedDataset.open(copy)
    shard.unlink()
    with pytest.raises(DataError, match="missing"):
        PreparedDataset.open(copy)


def test_a_shard_that_is_another_file_of_the_same_size_is_refused(copy: Path) -> None:
    shard = first_shard(copy)
    shard.write_bytes(bytes(shard.stat().st_size))
    with pytest.raises(DataError, match="Not a readable shard"):
        PreparedDataset.open(copy)


def test_one_flipped_bit_anywhere_is_found_by_verify(copy: Path) -> None:
    shard = first_shard(copy)
    PreparedDataset.open(copy).verify()
    data = shard.read_bytes()
    for at in np.random.default_rng(0).integers(0, len(data), 5):
        flipped = bytearray(data)
        flipped[at] ^= 1 << int(at % 8)
        shard.write_bytes(flipped)
        with pytest.raises(DataError, match=r"damaged: train-00000|Not a|labels"):
            PreparedDataset.open(copy).verify()


def test_class_names_are_bound_to_their_labels(copy: Path) -> None:
    edit(copy, lambda d: d["classes"].reverse())
    with pytest.raises(DataError, match="class names are not those"):
        PreparedDataset.open(copy)

    def relabel(description: dict[str, Any]) -> None:
        description["classes"] = description["classes"][:2]
        description["classes_sha256"] = classes_hash(description["classes"])

    edit(copy, relabel)
    with pytest.raises(DataError, match="labels of 'train' are not those"):
        PreparedDataset.open(copy)


def test_other_versions_and_other_files_are_refused(copy: Path, tmp_path: Path) -> None:
    edit(copy, lambda d: d.update(version=2))
    with pytest.raises(IncompatibleError, match="format version 2") as error:
        PreparedDataset.open(copy)
    assert error.value.exit_code == 6
    for text in ("[]", "{}", "not json", '{"format": "alexnet-prepared", "version": 1}'):
        (copy / "dataset.json").write_text(text)
        with pytest.raises(DataError):
            PreparedDataset.open(copy)
    with pytest.raises(DataError, match=r"has no dataset\.json"):
        PreparedDataset.open(tmp_path)


def test_changed_statistics_are_refused(copy: Path) -> None:
    path = copy / "statistics.safetensors"
    data = bytearray(path.read_bytes())
    data[-100] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match="statistics are missing or changed"):
        PreparedDataset.open(copy)


def test_the_fingerprint_tells_sets_apart(whole: Path, tmp_path: Path) -> None:
    here = PreparedDataset.open(whole)
    assert here.fingerprint == PreparedDataset.open(whole).fingerprint
    storage = here.description["made"]["storage"]
    other = prepare(open_source("synthetic:31x3", validation_share=0.3), tmp_path, storage=storage)
    assert other.fingerprint != here.fingerprint
