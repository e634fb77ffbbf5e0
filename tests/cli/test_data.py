"""`alexnet data`: what it prints, writes and refuses."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from alexnet.base.errors import AlexNetError, DataError, IncompatibleError, UsageError
from alexnet.cli import data
from alexnet.prepared import PreparedDataset
from alexnet.prepared.preparation import DEFAULT_ALLOWED_REJECTED
from alexnet.sources import DEFAULT_VALIDATION_SHARE


def run(*arguments: object) -> Result:
    return CliRunner().invoke(data.app, [str(argument) for argument in arguments])


def refused(kind: type[AlexNetError], *arguments: object) -> AlexNetError:
    error = run(*arguments).exception
    assert isinstance(error, kind), error
    return error


def test_prepare_then_info(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = run("prepare", "synthetic:40x4", "--val", 0.25, "--workers", 1)
    assert done.exit_code == 0, done.exception
    dataset = PreparedDataset.open(tmp_path / "prepared" / "synthetic-40x4")
    counts = {name: len(dataset.split(name)) for name in dataset.splits}
    assert sum(counts.values()) == 40 and counts["val"] > 2
    assert f"prepared     {Path('prepared/synthetic-40x4')}" in done.stdout
    assert "prepare synthetic-40x4  40/40 images" in done.stderr

    shown = run("info", "prepared/synthetic-40x4").stdout
    for word in ("class3", "fingerprint", "bicubic", "standard deviations"):
        assert word in shown
    found = json.loads(run("info", "prepared/synthetic-40x4", "--json").stdout)
    assert found["fingerprint"] == dataset.fingerprint
    assert found["accounting"]["train"]["accepted"] == counts["train"]

    error = refused(IncompatibleError, "prepare", "synthetic:40x4", "--storage", "jpeg")
    assert "-o" in error.remedy


def test_verify_says_that_a_set_is_whole_or_names_what_is_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run("prepare", "synthetic:9x3", "--storage", "jpeg", "--workers", 1, "-o", "small")
    done = run("verify", "small")
    assert done.exit_code == 0 and done.stdout.startswith("whole        small  ")
    assert done.stdout.count("\n") == 1 and "verify small  9/9 images" in done.stderr
    shard = next(Path("small").glob("train-*.arrow"))
    Path("small/train-00001-of-00002.arrow").write_bytes(shard.read_bytes())
    assert (
        "train-00001-of-00002.arrow is a shard that does not belong"
        in run("verify", "small").stdout
    )
    shard.write_bytes(shard.read_bytes()[:-1])
    error = refused(DataError, "verify", "small")
    assert error.exit_code == 3 and shard.name in error.where


def test_check_names_every_problem_and_writes_nothing(tmp_path: Path) -> None:
    for path, content in {
        "cat/1.jpg": b"<html>",
        "cat/2.jpg": b"",
        "dog/.DS_Store": b"x",
        "dog/3.jpg": b"",
    }.items():
        (tmp_path / "photos" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "photos" / path).write_bytes(content)
    before = sorted(tmp_path.rglob("*"))
    shown = run("check", tmp_path / "photos", "--val", 0).stdout
    assert "train/cat/1.jpg: not an image (it begins like a page of HTML or XML)" in shown
    assert "train/cat/2.jpg: empty" in shown and "train/dog/3.jpg: empty" in shown
    assert "ignored      1 hidden" in shown
    found = json.loads(run("check", tmp_path / "photos", "--val", 0, "--json").stdout)
    assert found["accounting"]["train"]["rejected"] == len(found["refused"]) == 3
    assert sorted(tmp_path.rglob("*")) == before


def test_list_says_where_named_sets_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALEXNET_DATA", str(tmp_path))
    (tmp_path / "imagenette2-320.tgz").touch()
    found = {row["name"]: row["found"] for row in json.loads(run("list", "--json").stdout)}
    assert found["imagenette"] == str(tmp_path / "imagenette2-320.tgz")
    assert found["cifar10"] == f"not in {tmp_path}"
    assert found["builtin:photos"] == "installed"
    assert "CIFAR-10" in run("list").stdout


def test_what_cannot_be_prepared(tmp_path: Path) -> None:
    (tmp_path / "flat").mkdir()
    (tmp_path / "flat" / "1.jpg").touch()
    assert "class folders" in refused(DataError, "prepare", tmp_path / "flat").what
    assert "builtin:photos" in refused(UsageError, "prepare", "builtin:photo").remedy
    assert "raw, jpeg" in refused(UsageError, "prepare", "synthetic:4x2", "--storage", "png").remedy
    assert "no dataset.json" in refused(DataError, "info", tmp_path).what
    assert run("prepare", "synthetic:4x2", "--workers", 0).exit_code == 2


def test_the_defaults_shown_in_help_are_those_of_the_stages() -> None:
    defaults = inspect.signature(data.prepare).parameters
    assert defaults["val"].default == DEFAULT_VALIDATION_SHARE
    assert defaults["allowed_rejected"].default == DEFAULT_ALLOWED_REJECTED
