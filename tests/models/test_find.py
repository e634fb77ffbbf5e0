"""What a MODEL argument finds."""

from __future__ import annotations

from pathlib import Path

import pytest

from alexnet.base.errors import UsageError
from alexnet.models.find import find_model


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the run runs/photos and its model."""
    monkeypatch.chdir(tmp_path)
    model = tmp_path / "runs" / "photos" / "model"
    model.mkdir(parents=True)
    for file in (model.parent / "config.yaml", model / "config.json", model / "model.safetensors"):
        file.touch()
    return Path("runs/photos")


@pytest.mark.parametrize(
    "name",
    [
        "photos",
        "runs/photos",
        "runs/photos/",
        "runs/photos/model",
        "runs/photos/model/model.safetensors",
    ],
)
def test_every_way_to_name_a_run_finds_its_model(run: Path, name: str) -> None:
    found = find_model(name)
    assert found.folder.resolve() == (run / "model").resolve()
    assert found.evaluation.resolve() == (run / "evaluation").resolve()
    assert found.name == name


def test_a_model_folder_outside_a_run_keeps_its_evaluation(run: Path) -> None:
    (run / "model").rename("given")
    assert find_model("given").evaluation == Path("given/evaluation")


def test_an_unknown_name_is_answered_with_the_nearest_run(run: Path) -> None:
    with pytest.raises(UsageError) as caught:
        find_model("photo")
    assert "no model 'photo'" in str(caught.value)
    assert "Did you mean 'photos'?" in str(caught.value)


def test_where_there_are_no_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="no runs here"):
        find_model("photos")


def test_a_run_that_has_not_ended_says_how_to_go_on(run: Path) -> None:
    (run / "model" / "model.safetensors").unlink()
    with pytest.raises(UsageError) as caught:
        find_model("photos")
    assert "no model yet" in str(caught.value)
    assert "alexnet resume photos" in str(caught.value)


def test_weights_without_their_configuration_are_not_guessed_at(run: Path) -> None:
    (run / "model" / "config.json").unlink()
    with pytest.raises(UsageError, match=r"beside their config\.json"):
        find_model("runs/photos/model/model.safetensors")
