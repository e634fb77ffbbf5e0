"""Activations of many images against those of each one; what is left out; what is not finite."""

from __future__ import annotations

import csv
import errno
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow.parquet as pq
import pytest
import scipy.io
import torch

from alexnet.activations import Stimuli, extract, of_files, of_split, stored
from alexnet.activations.stimuli import Inputs
from alexnet.base.errors import DataError, NumericsError, UsageError
from alexnet.loading import files as image_files
from alexnet.loading import views as loading_views
from alexnet.loading.crops import cut_views
from alexnet.models import ModelCard
from alexnet.network import AlexNet
from alexnet.network.alexnet import as_batch
from alexnet.prepared import PreparedDataset, prepare_image

LAYERS = ["conv3", "fc7.pre", "fc7"]


def expected(
    network: AlexNet, card: ModelCard, pixels_HWC: np.ndarray, views: int = 1
) -> dict[str, np.ndarray]:
    """The activations of one image, each view by itself."""
    sums = {name: np.zeros(()) for name in LAYERS}
    with torch.no_grad():
        for view_HWC in cut_views(pixels_HWC, card.mean_HWC, views):
            found = network.activations(as_batch(view_HWC[None].copy()), LAYERS)
            sums = {name: sums[name] + found[name][0].double().numpy() for name in LAYERS}
    return {name: total / views for name, total in sums.items()}


@pytest.fixture
def with_bad(photo_folder: Path, tmp_path: Path) -> Path:
    """Nine photographs in folders, and three files among them that are no images."""
    folder = tmp_path / "stimuli"
    good = sorted((photo_folder / "train").rglob("*.png"))[:9]
    for n, path in enumerate(good):
        place = folder / ("seen" if n < 5 else "unseen")
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{n}.png").write_bytes(path.read_bytes())
    (folder / "seen" / "1b.jpg").write_bytes(good[0].read_bytes()[:3000])
    (folder / "unseen" / "5b.jpg").write_bytes(b"")
    (folder / "a page.png").write_bytes(b"<html>")
    return folder


def test_rows_are_those_of_each_image_and_keys_say_which(
    narrow: AlexNet, card: ModelCard, with_bad: Path, tmp_path: Path
) -> None:
    found = extract(narrow, card, of_files([str(with_bad)]), LAYERS, tmp_path / "f.npy")
    assert found.keys == (
        *(f"seen/{n}.png" for n in range(5)),
        *(f"unseen/{n}.png" for n in range(5, 9)),
    )
    assert [(one.image, one.reason.partition("(")[0]) for one in found.skipped] == [
        ("a page.png", "The image cannot be used: not an image "),
        ("seen/1b.jpg", "The image cannot be used: truncated "),
        ("unseen/5b.jpg", "The image cannot be used: empty "),
    ]
    for n, key in enumerate(found.keys):
        pixels_HWC = prepare_image((with_bad / key).read_bytes())
        for name, values in expected(narrow, card, pixels_HWC).items():
            rows = np.load(tmp_path / f"f.{name}.npy", mmap_mode="r")
            assert rows.dtype == np.float32 and rows.shape == (9, *values.shape)
            assert rows[n] == pytest.approx(values, rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("ending", ["npy", "npz", "csv", "h5", "parquet", "mat"])
def test_every_format_has_the_rows_of_the_images_that_can_be_used(
    narrow: AlexNet, card: ModelCard, with_bad: Path, tmp_path: Path, ending: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(loading_views, "VIEWS_AT_ONCE", 4)  # three batches
    out = tmp_path / f"f.{ending}"
    found = extract(narrow, card, of_files([str(with_bad)]), ["fc6", "fc7"], out)
    assert found.shapes == {"fc6": (9, 32), "fc7": (9, 32)}
    with stored(out) as read:
        assert read.keys == found.keys and len(read.keys) == 9
        assert read.about["images"] == 9 and len(read.about["skipped"]) == 3
        assert [layer["shape"] for layer in read.about["layers"]] == [[9, 32], [9, 32]]
        for n, key in ((0, "seen/0.png"), (8, "unseen/8.png")):
            pixels_HWC = prepare_image((with_bad / key).read_bytes())
            values = expected(narrow, card, pixels_HWC)["fc7"]
            assert read.layers["fc7"][n : n + 1][0] == pytest.approx(values, rel=1e-4, abs=1e-4)


def test_each_image_is_read_once(
    narrow: AlexNet, card: ModelCard, with_bad: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    read: list[object] = []
    pixels_of = image_files.pixels_of

    def counted(image: Any, side: int) -> np.ndarray:
        read.append(image)
        return pixels_of(image, side)

    monkeypatch.setattr(image_files, "pixels_of", counted)
    extract(narrow, card, of_files([str(with_bad)]), ["fc7"], tmp_path / "f.npy")
    assert len(read) == len(set(read)) == 12


def test_a_network_in_training_mode_gives_the_activations_of_the_test_network(
    narrow: AlexNet, card: ModelCard, photo_set: PreparedDataset, tmp_path: Path
) -> None:
    stimuli, layers = of_split(photo_set, "val"), ["fc7", "fc8"]
    narrow.eval()
    extract(narrow, card, stimuli, layers, tmp_path / "eval.npy")
    narrow.train()
    extract(narrow, card, stimuli, layers, tmp_path / "train.npy")
    assert narrow.training
    for name in layers:
        tested = np.load(tmp_path / f"eval.{name}.npy")
        assert (np.load(tmp_path / f"train.{name}.npy") == tested).all()


def test_the_order_is_that_of_the_paths_and_links_to_folders_are_followed(
    narrow: AlexNet, card: ModelCard, with_bad: Path, tmp_path: Path
) -> None:
    image = (with_bad / "seen" / "0.png").read_bytes()
    (with_bad / "z.png").write_bytes(image)
    (with_bad / "seen" / "inner").mkdir()
    (with_bad / "seen" / "inner" / "0.png").write_bytes(image)
    (with_bad / "seen-too.png").symlink_to(with_bad / "z.png")
    (with_bad / "later").symlink_to(with_bad / "seen")
    found = extract(narrow, card, of_files([str(with_bad)]), ["fc7"], tmp_path / "f.npy")
    assert found.keys == (
        *(f"later/{n}.png" for n in range(5)),
        "later/inner/0.png",
        *(f"seen/{n}.png" for n in range(5)),
        *("seen/inner/0.png", "seen-too.png"),
        *(f"unseen/{n}.png" for n in range(5, 9)),
        "z.png",
    )
    (tmp_path / "link").symlink_to(with_bad)
    same = of_files([str(tmp_path / "link")])  # named itself, it is followed
    assert same.keys == of_files([str(with_bad)]).keys


def test_a_folder_that_cannot_be_read_is_named(
    with_bad: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scandir = os.scandir

    def refusing(folder: str) -> Any:
        if folder.endswith("unseen"):
            raise PermissionError(errno.EACCES, "Permission denied", folder)
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(DataError, match="Cannot read the folder: Permission denied") as caught:
        of_files([str(with_bad)])
    assert caught.value.where == str(with_bad / "unseen")


def test_ten_views_are_averaged_and_a_split_keeps_its_order(
    narrow: AlexNet, card: ModelCard, photo_set: PreparedDataset, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(loading_views, "VIEWS_AT_ONCE", 50)  # three batches, the last one shorter
    stimuli = of_split(photo_set, "val")
    extract(narrow, card, stimuli, LAYERS, tmp_path / "f.h5", views=10)
    split = photo_set.split("val")
    with h5py.File(tmp_path / "f.h5") as file:
        assert list(file["keys"].asstr()) == [split.key(i) for i in range(12)]
        assert file.attrs["views"] == 10 and file.attrs["source_split"] == "val"
        for i in (4, 5, 11):
            for name, values in expected(narrow, card, split.pixels(i), 10).items():
                assert file[name][i] == pytest.approx(values, rel=1e-4, abs=1e-4)


def test_all_formats_hold_the_same(
    narrow: AlexNet, card: ModelCard, photo_set: PreparedDataset, tmp_path: Path
) -> None:
    stimuli = of_split(photo_set, "val")
    labels = [photo_set.classes[k] for k in photo_set.split("val").labels]
    for ending in ("npy", "npz", "csv", "h5", "parquet", "mat"):
        model = {"name": "narrow", "weights_sha256": "5e"}
        extract(narrow, card, stimuli, LAYERS, tmp_path / f"f.{ending}", model=model)
    arrays = {name: np.load(tmp_path / f"f.{name}.npy") for name in LAYERS}
    with open(tmp_path / "f.keys.csv") as file:
        rows = list(csv.DictReader(file))
    assert [row["key"] for row in rows] == list(stimuli.keys)
    assert [row["label"] for row in rows] == labels
    with np.load(tmp_path / "f.npz") as file:
        assert file["keys"].tolist() == list(stimuli.keys) and file["labels"].tolist() == labels
        assert all((file[name] == arrays[name]).all() for name in LAYERS)
    table = pq.read_table(tmp_path / "f.parquet")
    assert table["key"].to_pylist() == list(stimuli.keys) and table["label"].to_pylist() == labels
    assert table["fc7"].to_pylist() == arrays["fc7"].tolist()
    with h5py.File(tmp_path / "f.h5") as file:
        assert list(file["keys"].asstr()) == list(stimuli.keys)
        assert file.attrs["model_name"] == "narrow"
        assert all((file[name][:] == arrays[name]).all() for name in LAYERS)
    found = scipy.io.loadmat(tmp_path / "f.mat")
    assert [str(one[0]) for one in found["keys"][:, 0]] == list(stimuli.keys)
    assert (found["fc7_pre"] == arrays["fc7.pre"]).all() and found["fc7"].dtype == np.float32
    assert (found["conv3"] == arrays["conv3"]).all()
    with open(tmp_path / "f.conv3.csv") as file:
        key, *columns = file.readline().strip().replace('"', "").split(",conv3")
        assert key == "key,label" and columns[0] == "[0,0,0]" and columns[-1] == "[11,12,12]"
    with open(tmp_path / "f.fc7.csv") as file:
        assert file.readline().startswith("key,label,fc7[0],fc7[1],")
    values = np.loadtxt(tmp_path / "f.fc7.csv", delimiter=",", skiprows=1, usecols=range(2, 34))
    assert (values.astype(np.float32) == arrays["fc7"]).all()
    about = json.loads((tmp_path / "f.json").read_text())
    assert about["model"]["weights_sha256"] == "5e" and about["source"]["split"] == "val"
    assert about["layers"][0]["shape"] == [12, 12, 13, 13]


@pytest.mark.parametrize("ending", ["npy", "npz", "csv", "h5", "parquet", "mat"])
def test_what_is_written_is_read_back(
    narrow: AlexNet, card: ModelCard, photo_set: PreparedDataset, tmp_path: Path, ending: str
) -> None:
    keys = tuple(f"a,b/ü{n}" for n in range(12))
    stimuli = replace(of_split(photo_set, "val"), keys=keys, labels={})
    extract(narrow, card, stimuli, LAYERS, tmp_path / f"f.{ending}")
    extract(narrow, card, stimuli, ["fc7"], tmp_path / f"one.{ending}")
    with stored(tmp_path / f"f.{ending}") as found, stored(tmp_path / f"one.{ending}") as one:
        assert list(found.layers) == LAYERS and list(one.layers) == ["fc7"]
        assert found.keys == one.keys == stimuli.keys
        assert (found.layers["fc7"][2:5] == one.layers["fc7"][2:5]).all()
        assert found.layers["conv3"][:].size == 12 * 12 * 13 * 13
        assert found.about["views"] == 1
    if ending in ("npy", "csv"):
        with stored(tmp_path / f"f.fc7.pre.{ending}") as found:
            assert list(found.layers) == ["fc7.pre"] and found.keys == stimuli.keys


def test_the_output_layers_numbers_have_the_names_of_the_classes(
    narrow: AlexNet, card: ModelCard, photo_folder: Path, tmp_path: Path
) -> None:
    extract(narrow, card, of_files([str(photo_folder / "val")]), ["fc8"], tmp_path / "f.csv")
    with open(tmp_path / "f.csv") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["key", "label", *card.classes]
    assert [row["label"] for row in rows] == [row["key"].split("/")[0] for row in rows]
    pixels_HWC = prepare_image((photo_folder / "val" / rows[3]["key"]).read_bytes())
    logits = narrow.eval()(as_batch(cut_views(pixels_HWC, card.mean_HWC, 1)))[0].tolist()
    assert [float(rows[3][name]) for name in card.classes] == pytest.approx(logits, rel=1e-4)
    about = json.loads((tmp_path / "f.csv.json").read_text())
    assert about["classes"] == list(card.classes)
    flat = of_files(sorted(map(str, (photo_folder / "val" / "cat").iterdir())))
    assert flat.labels == of_files([str(photo_folder / "val" / "cat")]).labels == {}


def test_a_number_that_is_not_finite_names_its_image(
    narrow: AlexNet, card: ModelCard, photo_set: PreparedDataset, tmp_path: Path
) -> None:
    stimuli = of_split(photo_set, "val")

    def broken(*about: Any) -> Iterator[Inputs]:
        for faults, x_NCHW in stimuli.batches(*about):
            x_NCHW = x_NCHW.clone()
            x_NCHW[7, 0, 100, 100] = np.inf
            yield Inputs(faults, x_NCHW)

    spoilt = Stimuli(stimuli.keys, broken, stimuli.source)
    with pytest.raises(NumericsError, match="conv3 are not finite") as caught:
        extract(narrow, card, spoilt, LAYERS, tmp_path / "f.npy")
    assert caught.value.where == f"image {stimuli.keys[7]}"
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_written_is_refused_before_any_image_is_seen(
    narrow: AlexNet, card: ModelCard, photo_set: PreparedDataset, tmp_path: Path
) -> None:
    def never(*about: object) -> Iterator[Inputs]:
        raise AssertionError

    stimuli = replace(of_split(photo_set, "val"), batches=never)

    def refused(name: str, layers: Sequence[str] = ("fc7",), **more: int) -> UsageError:
        with pytest.raises(UsageError) as caught:
            extract(narrow, card, stimuli, layers, tmp_path / name, **more)  # type: ignore[arg-type]
        return caught.value

    assert "'conv3'" in refused("f.npy", ["fc7", "con3"]).remedy
    assert "'f.npy'" in refused("f.npyy").remedy
    assert "views is 3" in refused("f.npy", views=3).what
    many = tuple(map(str, range(600_000)))
    stimuli = replace(stimuli, keys=many)
    assert "f.h5" in refused("f.mat", ["fc7", "conv3"]).remedy
    (tmp_path / "g.fc7.csv").touch()
    assert "g.fc7.csv exists" in refused("g.csv", ["fc6", "fc7"]).what


@pytest.mark.parametrize("ending", ["npy", "npz", "csv", "h5", "parquet", "mat"])
def test_none_usable_is_a_data_error(
    narrow: AlexNet, card: ModelCard, tmp_path: Path, ending: str
) -> None:
    images = tmp_path / "images"
    images.mkdir()
    (images / "a.png").write_bytes(b"nothing")
    with pytest.raises(DataError, match="None of the images") as caught:
        extract(narrow, card, of_files([str(images)]), ["fc7"], tmp_path / f"f.{ending}")
    assert list(tmp_path.iterdir()) == [images]
    with pytest.raises(DataError, match="None of the images") as empty:
        (images / "a.png").rename(images / ".a.png")
        extract(narrow, card, of_files([str(images)]), ["fc7"], tmp_path / f"f.{ending}")
    assert empty.value.where == str(images)
    assert "a.png: The image cannot be used: not an image" in caught.value.where


def test_a_turn_without_images_gives_none(
    narrow: AlexNet, card: ModelCard, photo_set: PreparedDataset, with_bad: Path
) -> None:
    """As the last process has it where the batches do not come out even."""
    for stimuli in (of_split(photo_set, "val"), of_files([str(with_bad)])):
        found = list(stimuli.batches(narrow, card.mean_HWC, 1, [range(1, 3), range(0)]))
        assert [(len(faults), len(x_NCHW)) for faults, x_NCHW in found] == [(2, 2), (0, 0)]
