"""`alexnet import`: what it says, writes and refuses; `summary` of weights that were pruned."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from alexnet import exchange
from alexnet.base import files
from alexnet.cli import main
from alexnet.exchange import read_foreign
from alexnet.formats import protobuf
from alexnet.models import load_model
from alexnet.models.arrays import parameters_of
from alexnet.network import AlexNet


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with the weights of a CIFAR net, half of one layer zero, another of sixteen values."""
    arrays = {name: array.copy() for name, array in parameters_of(AlexNet(3, "cifar13")).items()}
    arrays["conv2.weight"][::2] = 0
    arrays["local3.weight"] = np.round(arrays["local3.weight"] * 50).clip(-8, 7)
    path = tmp_path_factory.mktemp("weights") / "net.safetensors"
    safetensors.numpy.save_file(arrays, path)
    return path


def cifar_file(folder: Path) -> Path:
    safetensors.numpy.save_file(parameters_of(AlexNet(3, "cifar18")), folder / "net.safetensors")
    return folder / "net.safetensors"


def test_import_says_what_it_does_and_writes_a_model(
    weights: Path, tmp_path: Path, photo_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "classes.txt").write_text("n00000001 tabby\nn00000002 dahlia\nn00000003\n")
    out = tmp_path / "model"
    options = ["--mean", "1,2,3", "--classes", str(tmp_path / "classes.txt")]
    assert main.run(["import", str(weights), "-o", str(out), *options]) == 0
    said = capsys.readouterr().out
    count = sum(value.numel() for value in AlexNet(3, "cifar13").parameters())
    for line in (
        "net.safetensors: weights of this package.",
        "Network: cifar13, told by its shapes.",
        "Mean: blue 1, green 2, red 3 at every pixel.",
        "Classes: classes.txt.",
        f"{count:,} parameters, 3 classes.",
        "Pruned or quantized: conv2 50.0 % zero; local3 ",
        "values",
        f"Written: {out}",
    ):
        assert line in said
    network, card = load_model(out)
    assert card.titles == ("tabby", "dahlia", "n00000003") and network.convention.name == "cifar13"
    assert card.mean_HWC[0, 0].tolist() == [3, 2, 1]
    assert card.provenance["imported_from"] == "net.safetensors"
    image = next(photo_folder.glob("val/cat/*.png"))
    assert main.run(["predict", str(out), str(image), "--json"]) == 0
    assert "tabby" in capsys.readouterr().out
    before = {path: path.read_bytes() for path in out.iterdir() if path.is_file()}
    assert main.run(["import", str(weights), "-o", str(out)]) == 2
    error = capsys.readouterr().err.splitlines()
    assert error[0].endswith("nothing is overwritten.") and error[1] == str(out)
    assert {path: path.read_bytes() for path in before} == before


def test_summary_tells_of_zeros_and_few_values(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "model")
    assert main.run(["import", str(weights), "-o", out]) == 0
    capsys.readouterr()
    assert main.run(["summary", out]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("mult-adds  zero %  values")
    assert lines[2].split()[-1] == "50.0" and lines[3].split()[-1].isdigit()
    assert main.run(["summary", out, "--json"]) == 0
    layers = {one["name"]: one for one in json.loads(capsys.readouterr().out)["layers"]}
    assert layers["conv2"]["zero"] == 0.5 and layers["conv2"]["values"] is None
    assert 2 < layers["local3"]["values"] <= 16 and layers["conv1"]["values"] is None


def test_summary_of_dense_weights_has_no_such_columns(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "model")
    assert main.run(["import", str(cifar_file(tmp_path)), "-o", out]) == 0
    assert "No layer is pruned or quantized." in capsys.readouterr().out
    assert main.run(["summary", out]) == 0
    assert "zero %" not in capsys.readouterr().out
    assert main.run(["summary", out, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["layers"][0]["zero"] < 0.01
    assert main.run(["summary", "cifar18", "--json"]) == 0
    assert "zero" not in json.loads(capsys.readouterr().out)["layers"][0]


def test_float16_is_told_and_converted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arrays = parameters_of(AlexNet(2, "cifar11"))
    halves = {name: array.astype(np.float16) for name, array in arrays.items()}
    safetensors.numpy.save_file(halves, tmp_path / "net.safetensors")
    command = ["import", str(tmp_path / "net.safetensors"), "-o", str(tmp_path / "model")]
    assert main.run(command) == 0
    assert "Stored as float16; converted to float32." in capsys.readouterr().out
    found = load_model(tmp_path / "model")[0].conv2.weight.detach().numpy()
    np.testing.assert_array_equal(found, halves["conv2.weight"].astype(np.float32))


@pytest.mark.parametrize(
    ("command", "code", "what"),
    [
        (["nothing.caffemodel"], 2, "There is no such file."),
        (["page"], 3, "Its first bytes are not those of weights that can be read."),
        (["page", "--from", "cafe"], 2, "There is no format 'cafe'."),
        (
            ["cut.caffemodel"],
            3,
            "The file is damaged, or no file of Caffe's: field 1 is of 100 bytes",
        ),
        (["other.caffemodel"], 6, "The weights are not of caffe (Caffe's bvlc_alexnet): ip1 "),
    ],
)
def test_refusals_are_three_lines_and_write_nothing(
    command: list[str],
    code: int,
    what: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("page").write_text("<html>")
    Path("cut.caffemodel").write_bytes(b"\x0a" + protobuf.varint(100) + b"name")
    shape = protobuf.message(7, protobuf.packed_integers(1, [1]))
    blob = protobuf.message(7, shape, protobuf.packed_floats(5, np.ones(1)))
    layer = protobuf.message(100, protobuf.text(1, "ip1"), protobuf.text(2, "InnerProduct"), blob)
    two = protobuf.message(100, protobuf.text(1, "ip2"), protobuf.text(2, "InnerProduct"), blob)
    Path("other.caffemodel").write_bytes(b"".join(layer + two))
    assert main.run(["import", *command, "-o", "model"]) == code
    error = capsys.readouterr().err
    assert error.startswith(what) and (code == 2 or command[0] in error)
    assert len(error.splitlines()) <= 3 and not Path("model").exists()


def test_an_interrupted_import_leaves_nothing_and_can_be_repeated(
    weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "models" / "net"
    killed = out.with_name(f".{out.name}.tmp.{2**22 + 1}")  # more than the system gives a process
    killed.mkdir(parents=True)
    (killed / "model.safetensors").write_bytes(b"half")

    def interrupted(operation: str, path: Path) -> None:
        if path.name.startswith(".config.json"):
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(files, "step", interrupted)
        assert main.run(["import", str(weights), "-o", str(out)]) == main.INTERRUPTED
    assert not list(out.parent.iterdir())
    assert main.run(["import", str(weights), "-o", str(out)]) == 0
    assert [path.name for path in out.parent.iterdir()] == [out.name]
    assert load_model(out)[0].convention.name == "cifar13"


def test_names_in_a_file_neither_steer_the_terminal_nor_fill_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ("\x1b[2J\n\r\ud800 cleared", "x" * 10**5)
    found = read_foreign(cifar_file(tmp_path))
    monkeypatch.setattr(
        exchange, "read_foreign", lambda *_: replace(found, notes=(*names, "a whole note."))
    )
    out = tmp_path / "model"
    assert main.run(["import", str(tmp_path / "net.safetensors"), "-o", str(out)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "\\x1b[2J\\n\\r\\ud800 cleared"
    assert lines[1] == "x" * 196 + " ..." and lines[2] == "a whole note."
