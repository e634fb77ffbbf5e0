"""Reading a prepared dataset: contents, statistics, and refusal of anything that was changed."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from alexnet.base.errors import DataError, IncompatibleError, UsageError
from alexnet.base.files import sha256_of
from alexnet.prepared import PreparedDataset, Statistics, prepare, sealed, shards, verify
from alexnet.prepared.sums import Summing, Sums
from alexnet.sources import open_source


@pytest.fixture(scope="module", params=["raw", "jpeg"])
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared set of 30 images in shards of 8."""
    out = tmp_path_factory.mktemp("prepared") / request.param
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "IMAGES", {"raw": 8, "jpeg": 8})
        prepare(open_source("synthetic:30x3", validation_share=0.3), out, storage=request.param)
    return out


@pytest.fixture
def copy(whole: Path, tmp_path: Path) -> Iterator[Path]:
    """A copy to damage."""
    shutil.copytree(whole, tmp_path / "copy")
    yield tmp_path / "copy"


def test_statistics_are_those_of_the_training_images_as_they_are_read(whole: Path) -> None:
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
    """A million images of nearly one colour: float sums would lose the variance."""
    n, pixels = 10**6, 256 * 256
    half = n * pixels // 2
    values = ([255, 255, 255], [254, 255, 255])
    total = np.array([n * 255 - n // 2, n * 255, n * 255], np.int64)
    products = sum(half * np.outer(value, value).astype(object) for value in values)
    image_sums = np.broadcast_to(total, (256, 256, 3))
    statistics = Statistics.from_sums(Sums(n, image_sums, np.array(products, np.int64)))
    assert np.allclose(statistics.deviations_3, [0.5, 0, 0], atol=1e-6)
    assert np.allclose(np.abs(statistics.eigenvectors_33[:, 0]), [1, 0, 0])


def test_sums_are_exact() -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (5, 256, 256, 3), dtype=np.uint8)
    images[3] = 255  # the largest there are
    summing = Summing(256)
    for image in images:
        summing.add(image)
    sums = summing.total() + Sums.zero(256)
    flat = images.reshape(-1, 3).astype(np.int64)
    assert sums.images == 5
    assert (sums.pixels_HWC == images.sum(axis=0, dtype=np.int64)).all()
    assert (sums.products_CC == flat.T @ flat).all()


def test_statistics_survive_their_file(tmp_path: Path, whole: Path) -> None:
    first = PreparedDataset.open(whole).statistics
    first.save(tmp_path / "s.safetensors")
    second = Statistics.load(tmp_path / "s.safetensors", 256)
    assert (second.mean_HWC == first.mean_HWC).all()
    assert (second.eigenvectors_33 == first.eigenvectors_33).all()
    assert second.pixels == first.pixels
    (tmp_path / "s.safetensors").write_bytes(b"not safetensors")
    with pytest.raises(DataError, match="Not readable statistics"):
        Statistics.load(tmp_path / "s.safetensors", 256)


def test_raw_images_are_views_of_the_file(whole: Path) -> None:
    dataset = PreparedDataset.open(whole)
    pixels = dataset.split("train").pixels(9)
    assert pixels.shape == (256, 256, 3) and pixels.dtype == np.uint8
    if dataset.description["made"]["storage"] == "raw":
        assert not pixels.flags.owndata and not pixels.flags.writeable
        again = dataset.split("train").pixels(9)
        assert pixels.ctypes.data == again.ctypes.data


def test_many_threads_read_the_same_images(whole: Path) -> None:
    train = PreparedDataset.open(whole).split("train")
    expected = [train.pixels(i).copy() for i in range(len(train))]
    with ThreadPoolExecutor(8) as pool:
        for i, pixels in enumerate(pool.map(train.pixels, list(range(len(train))) * 10)):
            assert (pixels == expected[i % len(train)]).all()


def test_images_outside_the_split_do_not_wrap_around(whole: Path) -> None:
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


def test_jpeg_storage_keeps_the_image_close() -> None:
    from alexnet.prepared import prepare_image

    first = next(open_source("builtin:photos").images())
    pixels = prepare_image(first.data)
    stored = shards.decode_jpeg(shards.encode_jpeg(pixels), np.empty_like(pixels))
    assert np.abs(stored.astype(int) - pixels).mean() < 1.5


# --- What was changed is refused ------------------------------------------------------------------


def edit(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """As someone would who knows how the description is sealed."""
    path = folder / "dataset.json"
    description = json.loads(path.read_text())
    change(description)
    description.pop("sha256", None)
    sealed.write_sealed(path, description)


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
    with pytest.raises(DataError, match="labels or keys of a shard are damaged"):
        PreparedDataset.open(copy)
    with pytest.raises(DataError, match="Not a readable shard"):
        shards.Shard.open(shard)


def test_verify_names_every_damaged_file(copy: Path) -> None:
    assert verify(copy).unknown == ()
    shards = sorted(copy.glob("train-*.arrow"))
    data = bytearray(shards[0].read_bytes())
    data[len(data) // 2] ^= 1  # in an image
    shards[0].write_bytes(data)
    shards[1].write_bytes(shards[1].read_bytes()[:-8])
    (copy / "rejected.csv").unlink()
    with pytest.raises(DataError, match=r"^3 of \d files of .* are damaged") as error:
        verify(copy)
    flipped, cut, gone = error.value.where.splitlines()
    assert flipped.startswith(f"{shards[0].name}: expected SHA-256 ") and "found" in flipped
    assert cut.startswith(f"{shards[1].name}: expected ") and "bytes, found" in cut
    assert gone == "rejected.csv: it is missing"


def test_labels_and_keys_are_checked_when_a_set_is_opened(copy: Path) -> None:
    """Both of all bytes that are no images, and of none that are."""
    path = first_shard(copy)
    entry = json.loads((copy / "dataset.json").read_text())["splits"]["train"]["shards"][0]
    first, end = entry["images_at"]
    data = path.read_bytes()
    assert end - first > 0.9 * len(data)
    for at in [0, first - 1, end, len(data) - 1, end + 70]:
        path.write_bytes(data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :])
        with pytest.raises(DataError, match="labels or keys of a shard are damaged") as error:
            PreparedDataset.open(copy)
        assert error.value.where == str(path)


def forged(
    copy: Path,
    labels: list[int] | None = None,
    change: Callable[[bytearray], None] | None = None,
) -> None:
    """Another shard in the place of the first, with all hashes as they should be."""
    path = first_shard(copy)
    with open(path, "rb") as file:
        old = pa.ipc.open_file(file).read_all()
    if labels is not None:
        table = old.set_column(1, old.schema.field("label"), pa.array(labels, pa.int64()))
        with pa.ipc.new_file(str(path), old.schema) as writer:
            writer.write_batch(table.combine_chunks().to_batches()[0])
    index = shards.index_of(path)
    if change:
        data = bytearray(path.read_bytes())
        change(data)
        path.write_bytes(data)
        whole = bytes(data)
        digest = hashlib.sha256(whole[: index.first] + whole[index.end :]).hexdigest()
        index = shards.Index(index.first, index.end, digest)

    def enter(description: dict[str, Any]) -> None:
        entry = description["splits"]["train"]["shards"][0]
        entry |= {
            "bytes": path.stat().st_size,
            "sha256": sha256_of(path),
            "images_at": [index.first, index.end],
            "index_sha256": index.sha256,
        }

    edit(copy, enter)


@pytest.mark.parametrize("label", [-1, 3, 2**62])
def test_labels_outside_the_classes_are_refused_and_the_shard_named(copy: Path, label: int) -> None:
    forged(copy, labels=[0, 1, 2, 0, 1, 2, 0, label])
    with pytest.raises(DataError, match=rf"has labels .*{label}.*; there are 3 classes") as error:
        PreparedDataset.open(copy)
    assert error.value.where == str(first_shard(copy))


def test_offsets_that_lead_outside_a_file_are_refused_though_their_hash_is_right(
    copy: Path,
) -> None:
    keys = PreparedDataset.open(copy).split("train").shards[0].keys
    lengths = [len(key.as_py()) for key in keys]
    offsets = np.cumsum([0, *lengths]).astype(np.int32)

    def lead_astray(data: bytearray) -> None:
        at = data.index(offsets.tobytes())
        data[at + 4 * 3 : at + 4 * 4] = np.int32(2**30).tobytes()

    forged(copy, change=lead_astray)
    with pytest.raises(DataError, match="Not a readable shard"):
        PreparedDataset.open(copy)


def test_statistics_that_are_not_finite_are_refused(copy: Path) -> None:
    path = copy / "statistics.safetensors"
    found = Statistics.load(path, 256)
    found.mean_HWC[7, 7, 1] = np.nan
    found.save(path)
    edit(copy, lambda d: d["statistics"].update(sha256=sha256_of(path)))
    with pytest.raises(DataError, match="not finite: mean") as error:
        PreparedDataset.open(copy)
    assert error.value.where == str(path)


def test_a_stored_jpeg_of_another_size_is_refused() -> None:
    room = np.empty((256, 256, 3), np.uint8)
    for shape in [(128, 200, 3), (512, 512, 3), (255, 256, 3)]:
        with pytest.raises(ValueError):
            shards.decode_jpeg(shards.encode_jpeg(np.zeros(shape, np.uint8)), room)


def every_place(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Of each part of a description, however deep, the keys that lead to it; of lists the first."""
    items: list[tuple[Any, Any]] = []
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))[:1]
    for key, part in items:
        yield (*path, key)
        yield from every_place(part, (*path, key))


def test_a_description_without_a_key_or_with_an_absurd_one_is_one_plain_error(copy: Path) -> None:
    """Every key at every depth, taken away or replaced by five values, with the hash made right."""
    path = copy / "dataset.json"
    whole = json.loads(path.read_text())
    refused = 0
    for place in every_place(whole):
        for absurd in ("take away", None, -1, 10**30, "../../x", [[]], {"x": 1.5}):
            changed = json.loads(path.read_text())
            *way, last = place
            part = changed
            for key in way:
                part = part[key]
            if absurd == "take away":
                del part[last]
            else:
                part[last] = absurd
            changed.pop("sha256", None)
            sealed.write_sealed(copy / "dataset.json", changed)
            try:
                dataset = PreparedDataset.open(copy)
                assert len(dataset.split("train")) == whole["splits"]["train"]["images"]
            except (DataError, IncompatibleError) as error:
                refused += 1
                assert "dataset.json" in str(error) or str(copy) in str(error)
            sealed.write_sealed(path, {key: part for key, part in whole.items() if key != "sha256"})
    assert refused > 300


def test_class_names_are_bound_to_their_labels(copy: Path) -> None:
    edit(copy, lambda d: d["classes"].reverse())
    with pytest.raises(DataError, match="class names are not those"):
        PreparedDataset.open(copy)

    def relabel(description: dict[str, Any]) -> None:
        description["classes"].sort()
        for split in description["splits"].values():
            split["per_class"].reverse()

    edit(copy, relabel)
    with pytest.raises(DataError, match=r"labels of '\w+' are not those"):
        PreparedDataset.open(copy)


def test_other_versions_and_other_files_are_refused(copy: Path, tmp_path: Path) -> None:
    edit(copy, lambda d: d.update(version=99))
    with pytest.raises(IncompatibleError, match="format version 99") as error:
        PreparedDataset.open(copy)
    assert error.value.exit_code == 6
    for text in (
        "[]",
        "{}",
        "not json",
        '{"format": "alexnet-prepared", "version": 3}',
        "[" * 10**5,
    ):
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
