"""Activations and dissimilarities, as typed."""

from __future__ import annotations

import json
from collections import namedtuple
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image
from torture.narrow_run import KERNELS

from alexnet import activations
from alexnet.activations import mat
from alexnet.base import files
from alexnet.cli.main import run
from alexnet.config import StartConfig
from alexnet.conventions import PAPER
from alexnet.models import ModelCard, save_model
from alexnet.network import AlexNet
from alexnet.prepared import PreparedDataset


@pytest.fixture(scope="module")
def model(photo_set: PreparedDataset, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of an untrained model with a handful of kernels."""
    folder = tmp_path_factory.mktemp("models") / "narrow"
    start = StartConfig(rule="he", bias=0.0)
    network = AlexNet(6, PAPER.with_kernels(KERNELS), start, seed=1)
    statistics = {"mean": photo_set.statistics.mean_HWC}
    save_model(folder, network, ModelCard(photo_set.classes, photo_set.titles, statistics))
    return str(folder)


@pytest.fixture
def stimuli(photo_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Six photographs of two classes, one file that is none, in the folder where commands run."""
    for name in ("cat", "rocket"):
        (tmp_path / "stimuli" / name).mkdir(parents=True)
        for n in range(3):
            image = photo_folder / "train" / name / f"{n}.png"
            (tmp_path / "stimuli" / name / f"{n}.png").write_bytes(image.read_bytes())
    (tmp_path / "stimuli" / "cat" / "2b.jpg").write_bytes(b"no image")
    (tmp_path / "stimuli" / "film.mov").write_bytes(b"no image either")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_features_of_a_folder_and_their_dissimilarities(
    model: str, stimuli: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = ["features", model, "stimuli", "-o", "f.npy"]
    assert run([*typed, "--layer", "conv3,fc7", "--layer", "fc7.pre"]) == 0
    out, err = capsys.readouterr()
    assert "Images: 7 = 6 used + 1 skipped." in out
    assert "conv3    6 × 12 × 13 × 13" in out
    assert "skipped cat/2b.jpg: The image cannot be used: not an image" in err
    assert np.load("f.fc7.npy", mmap_mode="r").shape == (6, 32)
    about = json.loads(Path("f.json").read_text())
    assert [one["image"] for one in about["skipped"]] == ["cat/2b.jpg"]
    ignored = "ignored, no images by their names: .mov 1"
    assert ignored in err
    assert about["source"] == {"files": ["stimuli"], "ignored": ignored}
    assert len(about["model"]["weights_sha256"]) == 64

    assert run(["rdm", "f.npy"]) == 0
    out = capsys.readouterr().out
    assert "6 images, 1 - Pearson correlation" in out
    assert [line.split()[0] for line in out.splitlines() if " 1.000" in line] == [
        *("conv3", "fc7", "fc7.pre")
    ]
    x_NU = np.load("f.conv3.npy").reshape(6, -1).astype(float)
    assert np.load("f.rdm.conv3.npy") == pytest.approx(1 - np.corrcoef(x_NU), abs=1e-9)
    with Image.open("f.rdm.png") as image:
        assert image.width > 1000
    written = ["rdm", "f.npy", "--layer", "fc7", "--metric", "cosine", "-o", "c.csv", "--json"]
    assert run(written) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["layers"] == ["fc7"] and found["written"] == ["c.csv", "c.csv.json", "c.png"]
    assert Path("c.csv").read_text().splitlines()[0] == (
        "key,cat/0.png,cat/1.png,cat/2.png,rocket/0.png,rocket/1.png,rocket/2.png"
    )

    assert run(["rdm", "f.npy"]) == 2
    assert "f.rdm.keys.csv exists" in capsys.readouterr().err
    assert run(["rdm", "f.npy", "--layer", "fc6", "-o", "g.npy"]) == 2
    assert "Did you mean 'fc7'?" in capsys.readouterr().err


def test_features_of_a_prepared_set_are_those_of_its_split(
    model: str, photo_set: PreparedDataset, stimuli: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["features", model, str(photo_set.folder), "-o", "f.h5", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["images"] == 12 and found["layers"] == {"fc7": [12, 32]}
    with h5py.File("f.h5") as file:
        assert file["fc7"].shape == (12, 32)
        assert file["keys"].asstr()[0] == photo_set.split("val").key(0)
    assert run(["features", model, str(photo_set.folder), "-o", "f.h5"]) == 2
    assert "add --force" in capsys.readouterr().err


def test_what_is_mistyped_is_told(
    model: str, stimuli: Path, photo_set: PreparedDataset, capsys: pytest.CaptureFixture[str]
) -> None:
    def said(*typed: str) -> tuple[int, str]:
        return run(["features", model, *typed]), capsys.readouterr().err

    code, err = said("stimuli", "-o", "f.npy", "--layer", "fc7.per")
    assert code == 2 and "Did you mean 'fc7.pre'?" in err
    code, err = said("stimuli", "-o", "f.hdf")
    assert code == 2 and "Did you mean 'f.h5'?" in err
    code, err = said("stimuli", str(photo_set.folder), "-o", "f.npy")
    assert code == 2 and "taken by itself" in err
    assert list(Path().glob("f*")) == []


def test_dissimilarities_are_planned_before_they_are_computed(
    stimuli: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    np.save("f.npy", np.random.default_rng(0).random((5, 8)))
    twice = ["rdm", "f.npy", "--layer", "f,f", "-o", "r.npy"]
    assert run(twice) == 0 and Path("r.npy").exists()
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("rdm f  10/10 pairs")
    assert run(twice) == 2
    assert "r.keys.csv exists" in capsys.readouterr().err
    Path("r.keys.csv").unlink()
    assert run(twice) == 2
    assert "r.npy exists" in capsys.readouterr().err

    def never(*about: object) -> np.ndarray:
        raise AssertionError

    monkeypatch.setattr(activations, "dissimilarities", never)
    monkeypatch.setattr(mat, "LARGEST", 100)
    assert run(["rdm", "f.npy", "-o", "r.mat"]) == 2
    assert "a .mat file ends at" in capsys.readouterr().err
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(files.shutil, "disk_usage", lambda folder: usage(10**9, 10**9, 100))
    assert run(["rdm", "f.npy", "-o", "s.npy"]) == 5
    assert "GB are free" in capsys.readouterr().err


def test_one_image_has_no_dissimilarities(
    stimuli: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save("one.npy", np.ones((1, 8)))
    assert run(["rdm", "one.npy"]) == 2
    assert "the file has 1" in capsys.readouterr().err
    assert run(["rdm", "none.npy"]) == 3
    assert "There is no such file." in capsys.readouterr().err
