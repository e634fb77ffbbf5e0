"""`alexnet data`: what it prints, writes and refuses."""

from __future__ import annotations

import inspect
import json
import re
import shlex
import shutil
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from alexnet import api
from alexnet.base.errors import AlexNetError, DataError, IncompatibleError, UsageError
from alexnet.cli import data
from alexnet.prepared import PreparedDataset
from alexnet.prepared.preparation import DEFAULT_ALLOWED_REJECTED
from alexnet.sources import DEFAULT_VALIDATION_SHARE
from alexnet.training.plan import make_plan


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


def test_photos_of_a_phone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Turned in EXIF, with films and notes beside them, and one in a format that is not read."""
    monkeypatch.chdir(tmp_path)
    for name in ("cat", "dog"):
        folder = Path("photos") / name
        folder.mkdir(parents=True)
        for n, orientation in enumerate((1, 6, 8)):
            exif = Image.Exif()
            exif[0x0112] = orientation
            shade = (40 * n, 90, 200 * (name == "dog"))
            Image.new("RGB", (40, 30), shade).save(folder / f"{n}.jpg", exif=exif)
        (folder / "0.MOV").write_bytes(b"\0\0\0\x14ftypqt  \0\0\0\0qt  ")
        (folder / "notes.txt").write_text("a phone's photos")
    Path("photos/dog/3.jpg").write_bytes(b"\0\0\0\x1cftypavif\0\0\0\0avifmif1")
    for arguments in (("check", "photos"), ("prepare", "photos", "--allowed-rejected", 0.2)):
        shown = run(*arguments).stdout
        assert "rotation     4 with an EXIF rotation, which is not applied" in shown
        assert "2 .mov, 2 .txt" in shown and "converted" not in shown
    assert "an AVIF image; ImageMagick converts it" in run("check", "photos").stdout
    about = json.loads(run("check", "photos", "--json").stdout)
    assert about["converted"] == {"EXIF rotation, not applied": 4}
    assert sum(part["inputs"] for part in about["accounting"].values()) == 7


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
    assert defaults["allowed_rejected"].default == DEFAULT_ALLOWED_REJECTED
    (option,) = get_args(data.Val)[1:]
    assert f"else {DEFAULT_VALIDATION_SHARE}" in option.help


def images(folder: Path, paths: str) -> Path:
    """A folder with a small image of its own at each of the paths."""
    for number, path in enumerate(paths.split()):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        colours = np.random.default_rng(number).integers(0, 256, (24, 24, 3), np.uint8)
        Image.fromarray(colours).save(folder / path)
    return folder


@pytest.mark.parametrize(
    ("paths", "options", "says"),
    [
        ("val/a/1.png val/b/2.png", "", "The split 'train' is missing: there is val only."),
        ("a/1.png a/2.png a/3.png", "--val 0.5", "There is one class only: a."),
        ("a/1.png b/2.png", "--val 0", "The split 'val' has no images."),
        ("train/a/1.png train/b/2.png val/3.png", "", "Their images have no classes"),
    ],
)
def test_check_fails_where_train_would(tmp_path: Path, paths: str, options: str, says: str) -> None:
    folder = images(tmp_path / "photos", paths)
    error = refused(DataError, "check", folder, "--workers", 1, *options.split())
    assert says in str(error) and error.exit_code == 3 and error.remedy
    with pytest.raises(DataError, match=re.escape(error.what)):
        if options:
            share = float(options.split()[1])
            api.train(
                api.prepare(folder, tmp_path / "set", validation_share=share, side=32),
                recipe="cifar11",
            )
        else:
            api.train(folder)


def test_check_fails_where_nothing_or_too_little_can_be_used(tmp_path: Path) -> None:
    folder = images(tmp_path / "photos", "train/a/1.png train/b/2.png val/a/3.png val/b/4.png")
    assert run("check", folder, "--workers", 1).exit_code == 0
    (folder / "val" / "a" / "5.png").write_bytes(b"x")
    assert "1 of 5" in refused(DataError, "check", folder, "--workers", 1).what
    assert run("check", folder, "--workers", 1, "--allowed-rejected", 0.3).exit_code == 0
    for path in folder.rglob("*.png"):
        path.write_bytes(b"x")
    assert "None of the 5 images" in refused(DataError, "check", folder, "--workers", 1).what


def test_images_in_two_classes_and_classes_without_validation_are_told(tmp_path: Path) -> None:
    folder = images(tmp_path / "photos", "train/a/1.png train/b/2.png train/c/3.png val/a/4.png")
    shutil.copy(folder / "train" / "a" / "1.png", folder / "train" / "c" / "again.png")
    shutil.copy(folder / "train" / "b" / "2.png", folder / "val" / "a" / "too.png")
    shown = run("check", folder, "--workers", 1).stdout
    assert "contradictions" in shown
    assert "2 images in two classes" in shown
    assert "train/c/again.png = train/a/1.png, val/a/too.png = train/b/2.png" in shown
    assert "warning      'val' has no images of: b, c." in shown
    done = run("prepare", folder, "--workers", 1, "--side", 32, "-o", tmp_path / "set")
    assert "2 images in two classes" in done.stdout and "no images of: b, c." in done.stdout
    dataset = PreparedDataset.open(tmp_path / "set")
    assert dataset.description["accounting"]["train"]["contradictions"] == 1
    noted = make_plan(str(tmp_path / "set"), "cifar11").warnings
    assert any("images in two classes: 2" in one for one in noted)


def test_a_split_that_cannot_be_read_is_left_out_where_that_is_asked_for(tmp_path: Path) -> None:
    paths = " ".join(f"train/{name}/{n}.png" for name in "ab" for n in range(12))
    folder = images(tmp_path / "photos", f"{paths} val/1.png")
    error = refused(DataError, "prepare", folder)
    assert error.where == "val/: 1 image"
    typed = shlex.split(error.remedy.partition("alexnet data ")[2])[:4]
    assert typed == ["prepare", str(folder), "--val", "0.1"]
    done = run(*typed[:3], 0.3, "--workers", 1, "--side", 32, "-o", tmp_path / "set")
    assert done.exit_code == 0 and "warning      Left out: val/: 1 image." in done.stdout
    description = PreparedDataset.open(tmp_path / "set").description
    assert sum(split["images"] for split in description["splits"].values()) == 24
    assert description["warnings"] == ["Left out: val/: 1 image."]
