"""Runs whose project, data or prepared set has moved or changed, and the verb that lists them."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from alexnet.cli.main import run
from alexnet.runs import Run

TRAIN = [
    *("--recipe", "small", "--batch", "4", "--set", "network.convention=cifar18"),
    *("--set", "schedule.warmup=0"),
]


def picture(number: int, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(number).integers(0, 256, (32, 32, 3), np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with images, prepared, and one finished run of one epoch."""
    project = tmp_path_factory.mktemp("made") / "project"
    for n in range(16):
        split = "train" if n < 12 else "val"
        picture(n, project / "photos" / split / ("cat", "dog")[n % 2] / f"{n}.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        assert run(["train", "photos", *TRAIN, "--epochs", "1", "--name", "first"]) == 0
    return project


@pytest.fixture
def project(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project after it was moved here as a whole."""
    shutil.copytree(made, tmp_path / "project", copy_function=shutil.copy2)
    made.rename(made.with_name("gone"))
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path / "project"


@pytest.fixture(autouse=True)
def back(made: Path) -> object:
    yield
    if made.with_name("gone").exists():
        made.with_name("gone").rename(made)


def said(capsys: pytest.CaptureFixture[str], arguments: list[str], code: int = 0) -> str:
    capsys.readouterr()
    found = run(arguments)
    out, err = capsys.readouterr()
    assert found == code, err
    return out + err


def remedy(message: str) -> list[str]:
    """The command that an error ends with."""
    return shlex.split(message.strip().splitlines()[-1].partition("alexnet ")[2])


def test_a_moved_project_works_as_it_is(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said(capsys, ["resume", "first", "--epochs", "2"])
    assert Run.open("first").data["folder"] == str(project / "prepared" / "photos-32")
    log = Path("runs/first/log.txt").read_text()
    assert "data have changed" not in log and "other data" not in log
    assert len(list(Path("prepared").iterdir())) == 1


def test_of_a_copied_project_the_copys_data_are_used(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(made, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    assert Run.open("first").data_folder == tmp_path / "copy" / "prepared" / "photos-32"


def test_a_renamed_set_is_named_by_the_error_and_then_goes_on(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("prepared/photos-32").rename("prepared/new name")
    message = said(capsys, ["resume", "first", "--epochs", "2"], code=3)
    command = remedy(message)
    assert command[:3] == ["resume", "first", "--data"] and command[3].endswith("new name")
    said(capsys, [*command, "--epochs", "2"])
    said(capsys, ["resume", "first", "--epochs", "3"])
    more = ["train", "prepared/new name", *TRAIN, "--epochs", "4", "--name", "first", "--go-on"]
    said(capsys, more)
    Path("prepared/new name").rename(project.parent / "far away")
    message = said(capsys, ["resume", "first", "--epochs", "5"], code=3)
    assert "alexnet resume first --data NEWPLACE" in message
    said(capsys, ["resume", "first", "--epochs", "5", "--data", str(project.parent / "far away")])
    Path("photos").rename("pictures")  # and what it was made from, prepared anew
    said(capsys, ["resume", "first", "--epochs", "6", "--data", "pictures"])
    assert Run.open("first").metrics()[-1]["epoch"] == 6


def test_changed_data_are_told_and_gone_on_with_by_name_only(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture(50, Path("photos/train/cat/50.png"))
    Path("photos/val/dog/15.png").rename("photos/val/cat/15.png")
    go_on = ["train", "photos", *TRAIN, "--epochs", "2", "--name", "first", "--go-on"]
    message = said(capsys, go_on, code=6)
    assert "The data have changed since the run was started: 1 added, 1 relabelled." in message
    command = remedy(message)
    assert command == ["resume", "first", "--override", "data"]
    assert "1 added" in said(capsys, ["resume", "first", "--epochs", "2"], code=6)
    said(capsys, [*command, "--epochs", "2"])
    log = Path("runs/first/log.txt").read_text()
    assert "going on with other data than before: 1 added, 1 relabelled" in log


def test_runs_are_listed_shown_and_compared(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture(50, Path("photos/train/cat/50.png"))
    other = ["train", "photos", *TRAIN, "--epochs", "1", "--seed", "3", "--name", "second run"]
    said(capsys, other)
    head, first, second = said(capsys, ["runs"]).splitlines()
    assert re.split(r" {2,}", head) == [
        "run",
        "date",
        "data",
        "state",
        "epochs",
        "of",
        "val top-1 error %",
    ]
    assert re.match(r"first +20\d\d-\d\d-\d\d \d\d:\d\d +photos-32 +finished +1 +1 +\d", first)
    assert second.startswith("second run")
    listed = json.loads(said(capsys, ["runs", "--json"]))
    assert [one["state"] for one in listed] == ["finished", "finished"]

    shown = said(capsys, ["runs", "first"])
    assert shown == said(capsys, ["runs", "show", "first"])
    assert f"data: {project}/prepared/photos-32\n" in shown and "run: runs/first\n" in shown
    assert json.loads(said(capsys, ["runs", "show", "first", "--json"]))["course"][0]["epoch"] == 1

    compared = said(capsys, ["runs", "compare", "first", "second run", "first"])
    assert re.search(r"^seed +0 +3 +0$", compared, re.MULTILINE)
    errors = next(line for line in compared.splitlines() if line.startswith("val top-1"))
    assert [word.endswith("*") for word in re.split(r" {2,}", errors)[1:]] == [False, True, False]
    assert "* of other data than first" in compared
    same = said(capsys, ["runs", "compare", "first", "first"])
    assert "*" not in same
    assert "runs compare RUN RUN" in said(capsys, ["runs", "compare", "first"], code=2)
    assert "Did you mean 'first'?" in said(capsys, ["runs", "frist"], code=2)


@pytest.mark.parametrize("name", ["../escaped", "bad/name", ".hidden", "a\\b", " ", "..", "a\nb"])
def test_names_are_looked_at_before_images_are(
    project: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    Path("photos/train/cat/0.png").unlink()
    before = sorted(project.rglob("*"))
    message = said(capsys, ["train", "photos", *TRAIN, "--name", name], code=2)
    assert "is no name for a run" in message and sorted(project.rglob("*")) == before


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("data.json", None),
        *(("data.json", {key: None}) for key in ("beside", "folder", "fingerprint", "classes")),
        ("data.json", {"classes": [3]}),
        ("environment.json", None),
        *(("environment.json", {key: 3}) for key in ("device", "precision", "versions")),
    ],
)
def test_a_damaged_record_of_a_run_is_named_and_hides_no_other_run(
    project: Path, capsys: pytest.CaptureFixture[str], file: str, change: dict[str, object] | None
) -> None:
    """None stands for a file of another shape, or of a part that is missing."""
    path = project / "runs" / "first" / file
    record = {} if change is None else json.loads(path.read_text()) | change
    path.write_text(json.dumps({key: one for key, one in record.items() if one is not None}))
    verbs = [["resume", "first", "--epochs", "2"], ["report", "first"]]
    for arguments in verbs + [["runs", "first"]] * (file == "data.json"):
        message = said(capsys, arguments, code=3)
        assert str(path.relative_to(project)) in message and "Restore the file" in message
        assert change is None or f"{next(iter(change))!r}" in message
    assert "first" in said(capsys, ["runs"])


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff\xfe", b"length: 3 moons"])
def test_a_run_without_a_readable_configuration_hides_no_other(
    project: Path, capsys: pytest.CaptureFixture[str], content: bytes
) -> None:
    shutil.copytree("runs/first", "runs/second")
    Path("runs/second/config.yaml").write_bytes(content)
    listed = {line.split()[0]: line for line in said(capsys, ["runs"]).splitlines()}
    assert "finished" in listed["first"]
    if content:
        assert "damaged" in listed["second"]
        message = said(capsys, ["runs", "second"], code=2)
        assert "runs/second/config.yaml" in message
