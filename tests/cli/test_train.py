"""The verbs that train, with the full network on a handful of pictures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from alexnet.cli.main import run

DATA = "synthetic:16x2"
SMALL = [
    *("--recipe", "small", "--set", "optimizer.batch=4", "--set", "length=1"),
    *("--set", "schedule.warmup=0", "--set", "checkpoint.every=2"),
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one finished run, `runs/it`."""
    folder = tmp_path_factory.mktemp("place")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert run(["train", DATA, *SMALL, "--name", "it"]) == 0
    return folder


@pytest.fixture(autouse=True)
def inside(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)


def said(capsys: pytest.CaptureFixture[str], arguments: list[str], code: int = 0) -> str:
    capsys.readouterr()
    found = run(arguments)
    out, err = capsys.readouterr()
    assert found == code, err
    return err if code else out


def test_a_run_is_a_folder_with_everything_in_it(place: Path) -> None:
    it = place / "runs" / "it"
    for name in ("config.yaml", "command.txt", "environment.json", "data.json", "log.txt"):
        assert (it / name).stat().st_size > 0
    kinds = [json.loads(line)["kind"] for line in (it / "metrics.jsonl").read_text().splitlines()]
    assert kinds.count("epoch") == 1 and kinds[-1] == "epoch" and kinds.count("step") >= 3
    assert {path.name for path in (it / "model").iterdir()} == {
        *("model.safetensors", "config.json", "statistics.safetensors", "README.md")
    }
    assert not list(it.rglob(".*")), "nothing temporary is left"


def test_the_model_answers(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import numpy as np

    import alexnet

    model = alexnet.load("runs/it")
    picture = np.full((300, 260, 3), 90, np.uint8)
    answers = model.predict(picture)
    assert len(answers) == 2 and sum(one.probability for one in answers) == pytest.approx(1)
    assert model.features([picture], "fc7").shape == (1, 4096)
    table = said(capsys, ["evaluate", "it", f"prepared/{DATA.replace(':', '-')}"])
    assert "top-1 error" in table and "chance" in table


def test_runs_lists_shows_and_compares(capsys: pytest.CaptureFixture[str]) -> None:
    assert "it" in said(capsys, ["runs"]).split()
    assert "optimizer" in said(capsys, ["runs", "show", "it"])
    assert "data" in said(capsys, ["runs", "compare", "it", "it"])
    assert "runs show RUN" in said(capsys, ["runs", "shwo"], code=2)


def test_print_config_says_where_each_value_comes_from(capsys: pytest.CaptureFixture[str]) -> None:
    settings = ["--recipe", "small", "--set", "optimizer.learning_rate=0.02", "--print-config"]
    lines = said(capsys, ["train", DATA, *settings]).splitlines()
    rows = {line.split()[0]: line for line in lines}
    assert rows["optimizer.learning_rate"].split()[1:] == ["0.02", "--set"]
    assert rows["optimizer.momentum"].split()[1:] == ["0.9", "paper"]
    assert rows["network.start.rule"].split()[1:] == ["he", "recipe", "small"]


def test_a_dry_run_leaves_no_run(capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, ["train", DATA, *SMALL, "--name", "dry", "--dry-run"])
    assert "forward and back" in text and not Path("runs/dry").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["train", DATA, *SMALL, "--name", "it"], 2, "never overwritten"),
        (["train", DATA, "--recipe", "smal"], 2, "'small'"),
        (["train", DATA, "--set", "optimizer.bach=3"], 2, "'optimizer.batch'"),
        (["train", DATA, "--device", "cuda:9"], 5, "--device cpu"),
        (["train", "nowhere/photos"], 2, "nowhere/photos"),
        (["resume", "ti"], 2, "'it'"),
        (["resume", "it"], 2, "--epochs 2"),
    ],
)
def test_what_is_refused(
    capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, words: str
) -> None:
    message = said(capsys, arguments, code)
    assert words in message and "Traceback" not in message
    assert len(message.strip().splitlines()) <= 3


def test_no_space_and_no_folder_are_found_before_work_starts(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = ["train", str(Path("prepared", "synthetic-16x2").resolve()), *SMALL]
    monkeypatch.chdir(tmp_path)
    keep = ["--set", "checkpoint.keep=1000000"]  # more than any disk holds
    message = said(capsys, [*train, *keep, "--name", "large"], code=5)
    assert "GB are free" in message and "checkpoint.keep" in message
    assert not Path("runs").exists()
    Path("runs").write_text("a file where the folder should be")
    message = said(capsys, [*train, "--name", "it"], code=5)
    assert "a file where a folder should be" in message and "\nruns\n" in message


def test_a_folder_without_classes_says_what_training_needs(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "a.jpg").write_bytes(b"x")
    message = said(capsys, ["train", str(tmp_path)], code=3)
    assert "<class>" in message and "predict" in message


def test_changed_data_are_refused_and_can_be_overridden_by_name(
    capsys: pytest.CaptureFixture[str], place: Path
) -> None:
    path = place / "runs" / "it" / "data.json"
    before = path.read_text()
    path.write_text(before.replace(json.loads(before)["fingerprint"], "0" * 64))
    try:
        message = said(capsys, ["resume", "it", "--epochs", "2"], code=6)
        assert "0" * 64 in message and "--override" in message
    finally:
        path.write_text(before)


def test_a_changed_configuration_is_refused_with_the_difference(
    capsys: pytest.CaptureFixture[str], place: Path
) -> None:
    path = place / "runs" / "it" / "config.yaml"
    before = path.read_text()
    path.write_text(before.replace("momentum: 0.9", "momentum: 0.8"))
    try:
        message = said(capsys, ["resume", "it", "--epochs", "2"], code=6)
        assert "optimizer.momentum: 0.9 then, 0.8 now" in message
    finally:
        path.write_text(before)


def test_a_finished_run_goes_on_for_longer(capsys: pytest.CaptureFixture[str], place: Path) -> None:
    said(capsys, ["resume", "it", "--epochs", "2"])
    rows = [json.loads(line) for line in Path("runs/it/metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows if row["kind"] == "epoch"] == [1, 2]
    steps = [row["step"] for row in rows if row["kind"] == "step"]
    assert steps == list(range(1, steps[-1] + 1))
