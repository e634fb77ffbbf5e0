"""`summary` counts as the paper does; `doctor` measures this machine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from alexnet.cli import main
from alexnet.cli.tables import table
from alexnet.models import ModelCard, save_model
from alexnet.network import AlexNet


def test_summary_shows_the_papers_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["summary"]) == 0
    out = capsys.readouterr().out
    assert "conv2  128+128    5×5×48 own" in out
    assert "conv3  192+192    3×3×256 both" in out
    for number in ("60,965,224", "659,272", "724,406,816", "37,752,832"):
        assert number in out


def test_summary_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["summary", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    conv1 = found["layers"][0]
    assert (conv1["name"], conv1["outputs"], conv1["pooled"]) == (
        "conv1",
        [96, 55, 55],
        [96, 27, 27],
    )
    assert conv1["padding"] == [0, 3]
    assert found["totals"]["parameters"] == 60_965_224
    # 105.4 + 223.9 + 149.5 + 112.1 + 74.8 + 37.7 + 16.8 + 4.1 million multiply-adds
    millions = [round(layer["multiply_adds"] / 1e6, 1) for layer in found["layers"]]
    assert millions == [105.4, 223.9, 149.5, 112.1, 74.8, 37.7, 16.8, 4.1]


def test_summary_of_a_model_has_its_classes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_model(tmp_path / "model", AlexNet(2), ModelCard(("cat", "dog"), ("cat", "dog"), {}))
    (tmp_path / "config.yaml").touch()  # a run
    for model in (tmp_path, tmp_path / "model"):
        assert main.run(["summary", str(model), "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert found["layers"][-1]["parameters"] == 2 * 4096 + 2
        assert found["totals"]["parameters"] == 60_965_224 - 998 * 4097


def test_doctor_measures(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {"python", "torch", "cores", "memory", "devices"} <= found.keys()
    for rate in (found["decoding"], found["training"]):
        assert int(rate.split(" img/s")[0].replace(",", "")) > 0


def test_tables_align_numbers_to_the_right() -> None:
    assert (
        table([("a", 1234), ("bcd", 5)], ("name", "n")) == "name      n\na     1,234\nbcd       5"
    )


def test_summary_compares_two_networks_row_by_row(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["summary", "caffe", "--compare", "alexnet.caffenet"]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert rows[0].split() == ["caffe", "alexnet.caffenet"]
    row = next(row for row in rows if row.startswith("conv1 then"))
    assert row.endswith("ReLU, pool, LRN")
    assert main.run(["summary", "onetower", "--compare", "onetower"]) == 0
    assert "the same network" in capsys.readouterr().out
    assert main.run(["summary", "onetwer"]) == 2
    capsys.readouterr()
    assert main.run(["summary", "paper", "--compare", "onetower", "--json"]) == 0
    found = {row["what"]: row for row in json.loads(capsys.readouterr().out)}
    assert found["parameters"]["second"] == "61,100,840"


def test_costs_are_told_for_each_layer_and_column(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["summary", "--json"]) == 0
    layers = json.loads(capsys.readouterr().out)["layers"]
    conv2 = layers[1]
    assert [column["kernels"] for column in conv2["columns"]] == [128, 128]
    assert conv2["weight_bytes"] == 4 * 307_456 and conv2["activation_bytes"] == 4 * 186_624
    for key in ("neurons", "parameters", "multiply_adds", "weight_bytes"):
        assert sum(column[key] for column in conv2["columns"]) == conv2[key]
