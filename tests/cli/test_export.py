"""`export` writes every format, says what it wrote, and replaces nothing unasked."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from alexnet.base import files
from alexnet.base.files import write_json
from alexnet.cli import main
from alexnet.config import StartConfig
from alexnet.conventions import CONVENTIONS
from alexnet.exchange import onnx as onnx_files
from alexnet.exchange import program
from alexnet.models import ModelCard, load_model, save_model
from alexnet.network import AlexNet

CLASSES = tuple(f"n{k}" for k in range(10))
TITLES = tuple(f"animal {k}" for k in range(10))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run with a small network of ten classes and an evaluation, and its model folder."""
    network = AlexNet(10, "cifar18", StartConfig(rule="he"), seed=4)
    card = ModelCard(
        CLASSES,
        TITLES,
        {"mean": np.full((32, 32, 3), 117, np.float32)},
        {},
        {"run": "pets", "dataset": "/home/me/secret/pets"},
    )
    save_model(tmp_path / "pets" / "model", network, card)
    (tmp_path / "pets" / "config.yaml").touch()
    weights = json.loads((tmp_path / "pets" / "model" / "config.json").read_text())[
        "weights_sha256"
    ]
    for name, made_by in (("this", weights), ("another", "0" * 64)):
        about = {
            "model": {"weights_sha256": made_by},
            "dataset": {"folder": f"prepared/{name}", "fingerprint": "ab" * 32},
            "split": "val",
        }
        errors = {"1": {"top1_error": 0.25, "top5_error": 0.03}}
        scores = {"images": 12, "views": errors, "provenance": about}
        (tmp_path / "pets" / "evaluation" / name).mkdir(parents=True)
        write_json(tmp_path / "pets" / "evaluation" / name / "scores.json", scores)
    return tmp_path / "pets" / "model"


@pytest.mark.parametrize(
    ("kind", "read", "checked_by"),
    [("onnx", onnx_files.read_onnx, "onnxruntime"), ("pt2", program.read_pt2, "PyTorch alone")],
)
def test_files_have_the_weights_and_the_class_names(  # type: ignore[no-untyped-def]
    kind: str,
    read,
    checked_by: str,
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    output = tmp_path / "new" / f"pets.{kind}"
    assert main.run(["export", str(folder.parent), "--format", kind, "-o", str(output)]) == 0
    out = capsys.readouterr().out
    assert f"{checked_by} computes the same: probabilities differ by at most " in out
    assert str(output) in out and f"{output.stat().st_size / 1e6:,.1f} MB" in out
    found = read(output)
    assert (found.classes, found.titles) == (CLASSES, TITLES)
    network, card = load_model(folder)
    assert np.array_equal(found.arrays["fc4.weight"], network.fc4.weight.detach())
    assert np.array_equal(found.statistics["mean"], card.mean_HWC)
    assert [path.name for path in output.parent.iterdir()] == [output.name]
    assert b"/home/me" not in output.read_bytes()


def test_a_model_folder_comes_with_what_was_measured(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights, output = str(folder / "model.safetensors"), tmp_path / "hub"
    arguments = ["export", weights, "--format", "safetensors", "-o", str(output)]
    assert main.run([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    names = ["README.md", "config.json", "model.safetensors", "statistics.safetensors"]
    assert [Path(one["file"]).name for one in found["written"]] == names
    network, card = load_model(output)
    assert card.provenance == {"run": "pets", "dataset": "pets"}
    assert card.titles == TITLES and torch.equal(
        network.fc4.weight, load_model(folder)[0].fc4.weight
    )
    text = (output / "README.md").read_text()
    row = r"\| this \(abababab\) \| val \| 12 \| 1 \| 25\.00 % \| [\d.-]+ % \| 3\.00 % \|"
    assert re.search(row, text)
    assert "another" not in text, "which other weights reached"
    assert len(yaml.safe_load(text.split("---\n")[1])["model-index"][0]["results"]) == 1


def test_what_is_there_is_replaced_only_when_asked(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "pets.onnx"
    output.write_bytes(b"old")
    arguments = ["export", str(folder), "--format", "onnx", "-o", str(output)]
    assert main.run(arguments) == 2
    assert "--force" in capsys.readouterr().err and output.read_bytes() == b"old"
    assert main.run([*arguments, "--force"]) == 0
    assert onnx_files.read_onnx(output).classes == CLASSES

    hub = tmp_path / "hub"
    hub.mkdir()  # an empty one is as good as none
    arguments = ["export", str(folder), "--format", "safetensors", "-o", str(hub)]
    assert main.run(arguments) == 0
    assert main.run(arguments) == 2
    assert main.run([*arguments, "--force"]) == 0
    (hub / "thesis.tex").write_text("years of work")
    assert main.run([*arguments, "--force"]) == 2
    assert "holds other files than a model" in capsys.readouterr().err
    for kind, there in (("onnx", hub), ("safetensors", output)):
        wrong = ["export", str(folder), "--format", kind, "-o", str(there), "--force"]
        assert main.run(wrong) == 2
        assert "which this is not" in capsys.readouterr().err
    assert not [path for path in tmp_path.rglob("*") if ".tmp." in path.name]


def test_mistakes_are_explained(
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def error(kind: str, code: int, model: Path = folder) -> str:
        arguments = ["export", str(model), "--format", kind, "-o", str(tmp_path / "x")]
        assert main.run(arguments) == code
        assert not (tmp_path / "x").exists()
        return capsys.readouterr().err

    assert "Did you mean 'onnx'?" in error("onxx", 2)
    assert "There is no model" in error("onnx", 2, tmp_path / "none")
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "onnxruntime", None)
        assert f"{sys.executable} -m pip install onnx onnxruntime" in error("onnx", 5)
    with monkeypatch.context() as patch:
        usage = namedtuple("usage", "total used free")
        patch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9, 10**6))
        assert "0.0 GB are free" in error("pt2", 5)
    damaged = folder.parent / "evaluation" / "this" / "scores.json"
    damaged.write_text('{"provenance": []}')
    assert "scores.json" in error("safetensors", 3)
    with monkeypatch.context() as patch:
        build = onnx_files.build
        patch.setattr(
            onnx_files, "build", lambda network, card: build(AlexNet(10, network.convention), card)
        )
        assert "does not compute what this network computes" in error("onnx", 6)


def test_caffe_gets_its_four_files_and_force_replaces_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kernels = {"conv1": 4, "conv2": 4, "conv3": 4, "conv4": 4, "conv5": 4, "fc6": 4, "fc7": 4}
    mean = np.full((256, 256, 3), 117, np.float32)
    for name in ("caffe", "caffenet"):
        network = AlexNet(10, CONVENTIONS[name].with_kernels(kernels), StartConfig(rule="he"))
        save_model(tmp_path / name, network, ModelCard(CLASSES, TITLES, {"mean": mean}))
    output = tmp_path / "files"
    arguments = ["--format", "caffe", "-o", str(output)]
    names = ["classes.txt", "deploy.prototxt", "mean.binaryproto", "model.caffemodel"]

    def exported() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in output.iterdir()}

    assert main.run(["export", str(tmp_path / "caffe"), *arguments]) == 0
    out = capsys.readouterr().out
    assert all(str(output / name) in out for name in names)
    first = exported()
    assert sorted(first) == names
    assert first["classes.txt"].decode().splitlines() == list(CLASSES)
    assert b'name: "alexnet caffe"' in first["deploy.prototxt"]

    assert main.run(["export", str(tmp_path / "caffenet"), *arguments]) == 2
    assert "--force" in capsys.readouterr().err and exported() == first
    assert main.run(["export", str(tmp_path / "caffenet"), *arguments, "--force"]) == 0
    second = exported()
    assert sorted(second) == names and b'name: "alexnet caffenet"' in second["deploy.prototxt"]
    assert second["model.caffemodel"] != first["model.caffemodel"]


def test_networks_that_caffe_has_not_are_refused(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "files"
    assert main.run(["export", str(folder), "--format", "caffe", "-o", str(output)]) == 6
    assert "Caffe cannot compute cifar18" in capsys.readouterr().err and not output.exists()


def test_an_interrupted_export_leaves_nothing(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(operation: str, path: Path) -> None:
        if path.name.startswith(".config.json"):
            raise KeyboardInterrupt

    monkeypatch.setattr(files, "step", interrupted)
    output = tmp_path / "new" / "hub"
    arguments = ["export", str(folder), "--format", "safetensors", "-o", str(output)]
    assert main.run(arguments) == main.INTERRUPTED
    assert not list(output.parent.iterdir())


@pytest.mark.parametrize(
    ("kind", "name"), [("safetensors", "out"), ("onnx", "m.onnx"), ("pt2", "m.pt2")]
)
def test_ten_classes_and_their_names_survive_every_format_and_back(
    folder: Path, tmp_path: Path, kind: str, name: str
) -> None:
    out, back = tmp_path / name, tmp_path / "back"
    assert main.run(["export", str(folder), "--format", kind, "-o", str(out)]) == 0
    assert main.run(["import", str(out), "-o", str(back)]) == 0
    network, card = load_model(back)
    original, about = load_model(folder)
    assert (card.classes, card.titles) == (about.classes, about.titles) == (CLASSES, TITLES)
    assert network.convention == original.convention
    np.testing.assert_array_equal(card.mean_HWC, about.mean_HWC)
    for name, w in original.named_parameters():
        assert torch.equal(network.get_parameter(name), w), name
