"""Similar images, as typed."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from folders import contents
from PIL import Image
from torture.narrow_run import KERNELS

from alexnet.cli.main import run
from alexnet.config import StartConfig
from alexnet.conventions import PAPER
from alexnet.models import ModelCard, save_model
from alexnet.network import AlexNet
from alexnet.prepared import PreparedDataset
from alexnet.retrieval import autoencoder, build, index
from alexnet.retrieval.codes import METHODS


@pytest.fixture(scope="module")
def indexed(
    photo_set: PreparedDataset, photo_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A folder with a model of a handful of kernels, photographs, and their index."""
    place = tmp_path_factory.mktemp("indexed")
    start = StartConfig(rule="he", bias=0.0)
    network = AlexNet(6, PAPER.with_kernels(KERNELS), start, seed=1)
    statistics = {"mean": photo_set.statistics.mean_HWC}
    save_model(place / "m", network, ModelCard(photo_set.classes, photo_set.titles, statistics))
    shutil.copytree(photo_folder, place / "my photos")
    same = place / "my photos" / "train" / "cat" / "0.png"
    shutil.copy(same, place / "my photos" / "val" / "cat" / "seen before.png")
    (place / "my photos" / "val" / "cat" / "bad.png").write_bytes(b"no image")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        assert run(["index", "m", "my photos", "-o", "i"]) == 0
    return place


@pytest.fixture(autouse=True)
def inside(indexed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(indexed)


def test_indexing_tells_what_became_of_every_image(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["index", "m", "my photos", "-o", "i"]) == 0
    out, err = capsys.readouterr()
    assert "Images: 38 = 0 new + 36 known + 1 copies + 1 skipped." in out
    assert "The index has 36 vectors, 0 of removed images." in out
    assert "skipped val/cat/bad.png: The image cannot be used: not an image" in err
    assert run(["index", "m", "my photos/val", "-o", "of val", "--json"]) == 0
    about = json.loads(capsys.readouterr().out)
    assert (about["new"], about["rows"], len(about["skipped"])) == (13, 13, 1)
    assert about["model"]["layer"] == "fc7"


def test_neighbours_as_a_table_as_json_and_on_a_page(capsys: pytest.CaptureFixture[str]) -> None:
    image = "my photos/val/rocket/5.png"
    typed = ["search", "i", image, "my photos/train/coffee", "my photos/val/cat/bad.png"]
    drawn = ["--html", "found.html", "--figure", "figure4.png"]
    assert run([*typed, "--top", "3", "--pixels", *drawn]) == 0
    out, err = capsys.readouterr()
    assert "skipped my photos/val/cat/bad.png: The image cannot be used" in err
    first = out[out.index(image) :].splitlines()
    assert first[1].split() == ["distance", "label", "split", "image"]
    assert first[2].split(maxsplit=3) == ["0", "rocket", "val", image]
    assert re.fullmatch(r"\d+ of 36 vectors read", first[5]) and first[7] == "by pixels"
    page = Path("found.html").read_text()
    assert page.count('<section class="found">') == 5  # one image, and the four of a folder
    assert page.count("data:image/jpeg;base64,") == 5 * (1 + 3 + 3)
    assert "http" not in page.replace("http-equiv", "")
    assert "1 of 36 by pixels" in page
    with Image.open("figure4.png") as figure:  # five images, in two rows each; four columns
        assert figure.height / figure.width == pytest.approx(10 / 4.25, rel=0.01)
    assert run(["search", "i", image, "--split", "train", "--json"]) == 0
    (answer,) = json.loads(capsys.readouterr().out)["answers"]
    assert answer["image"] == image and len(answer["neighbours"]) == 6
    assert {one["split"] for one in answer["neighbours"]} == {"train"}
    assert answer["rows_read"] <= answer["rows"] == 24


def test_images_that_are_there_twice(capsys: pytest.CaptureFixture[str]) -> None:
    typed = ["search", "i", "--duplicates", "--near", "0"]
    assert run([*typed, "--html", "twice.html"]) == 0
    line = capsys.readouterr().out.splitlines()[1]
    assert re.split(r" {2,}", line) == [
        "same bytes",
        "my photos/train/cat/0.png (train)",
        "my photos/val/cat/seen before.png (val)",
    ]
    page = Path("twice.html").read_text()
    assert "Between splits: 1 pairs" in page and page.count("data:image/jpeg") == 2
    assert run(["search", "i", "--duplicates", "--near", "0.8", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["all"] and len(found["pairs"]) > 1
    kinds = [one["between_splits"] for one in found["pairs"]]
    assert kinds == sorted(kinds, reverse=True)


def test_codes_are_given_and_searched(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stop while they are found leaves the index whole; then 30 of 36 vectors are compared."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    image = "my photos/val/rocket/5.png"
    typed = ["index", "m", "my photos", "-o", "with codes", "--codes", "16"]
    with monkeypatch.context() as patch:
        patch.setattr(autoencoder, "train", interrupt)
        assert run(typed) == 130
    assert "The index has all vectors" in capsys.readouterr().err
    assert run(["search", "with codes", image, "--codes"]) == 2
    assert "alexnet index MODEL SRC -o 'with codes' --add --codes 64" in capsys.readouterr().err
    monkeypatch.setattr(autoencoder, "EPOCHS", 1)
    assert run(typed) == 0
    assert "It has codes of 16 bits, found from 36 vectors." in capsys.readouterr().out
    monkeypatch.setattr(index, "AMONG", 30)
    assert run(["search", "with codes", image, "--codes", "--top", "2"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[2].split(maxsplit=3) == ["0", "rocket", "val", image]
    assert out[4] == "30 of 36 vectors read"
    assert run(["benchmark", "codes", "with codes", "--bits", "8,16", "--queries", "6"]) == 0
    table = capsys.readouterr().out.splitlines()
    assert table[1].split()[:2] == ["features", "vectors"]
    kinds = [line.split()[:3] for line in table[3:-1]]
    assert kinds == [
        [of, method, bits]
        for of, methods in (("features", METHODS), ("pixels", METHODS[:2]))
        for method in methods
        for bits in ("8", "16")
    ]
    assert table[-1] == "6 queries, 24 images searched"


def test_what_cannot_be_done_says_what_can(
    indexed: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def said(*typed: str) -> str:
        assert run(typed) in (2, 3, 6)
        return capsys.readouterr().err

    assert "alexnet index MODEL SRC -o 'no index'" in said("search", "no index", "a.png")
    assert "There is no image to search for." in said("search", "i")
    assert "There is no such file." in said("search", "i", "gone.png")
    assert "layer 'fc7', not 'fc6'" in said("index", "m", "my photos", "-o", "i", "--layer", "fc6")
    assert "Did you mean 'fc7'" in said("index", "m", "my photos", "-o", "x", "--layer", "fc77")
    assert "it is not empty" in said("index", "m", "my photos", "-o", "my photos")

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(build, "_take", interrupt)
    assert run(["index", "m", "my photos", "-o", "stopped"]) == 130
    assert "the same command goes on" in capsys.readouterr().err


@pytest.mark.slow
def test_an_index_of_two_processes_is_that_of_one(indexed: Path) -> None:
    """36 images in ten views, eight at once: five batches."""
    from cli.test_processes import alone, together

    typed = ("index", "m", "my photos", "--views", "10")
    shown = alone(*typed, "-o", "one", cwd=indexed)
    said = together(2, *typed, "-o", "two", cwd=indexed)
    assert shown.replace("one", "two") in said and said.count("skipped val/cat/bad.png") == 1
    one, two = contents(indexed / "one"), contents(indexed / "two")
    assert one.pop("index.lock") != two.pop("index.lock")
    assert one == two
    together(2, *typed, "-o", "two", "--add", cwd=indexed)
    assert contents(indexed / "two").keys() - one.keys() == {"index.lock"}
