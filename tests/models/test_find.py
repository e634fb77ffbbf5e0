"""What a MODEL argument finds."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from alexnet.base.errors import UsageError
from alexnet.models import ModelCard, checkpoint, save_model
from alexnet.models.arrays import parameters_of
from alexnet.models.checkpoint import Checkpoint
from alexnet.models.find import find_model, require_model
from alexnet.models.folder import plan_model, weights_sha256
from alexnet.network import AlexNet
from alexnet.runs import Run


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


def test_names_with_spaces_are_typed_as_a_shell_takes_them(run: Path) -> None:
    run.rename(run.with_name("two words"))
    (run.with_name("two words") / "model" / "model.safetensors").unlink()
    for find in (find_model, require_model):
        with pytest.raises(UsageError, match="alexnet resume 'two words'"):
            find("two words")


def test_a_run_that_has_not_ended_is_its_newest_whole_checkpoint(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(run / "model")
    net = AlexNet(3, "cifar18")
    mean = np.full((32, 32, 3), 7, np.float32)
    card = ModelCard(("a", "b", "c"), ("a", "b", "c"), {"mean": mean}, provenance={"run": "photos"})
    plan_model(run / "model", net.convention, card)
    saved = Run(run)
    for step in (4, 8):
        saved.record(saved.metrics_path, {"kind": "step", "step": step, "epoch": step / 3})
        arrays = {n: one + step for n, one in parameters_of(net).items()}
        arrays |= {f"velocity/{n}": one for n, one in parameters_of(net).items()}
        path = checkpoint.save(run / "checkpoints", Checkpoint(step, arrays, {}), keep=2)
    for step, epoch in ((8, "2.67"), (4, "1.33")):
        found = find_model("photos")
        told = capsys.readouterr().err
        assert f"epoch {epoch}, step {step}" in told
        network, loaded = found.load()
        assert torch.equal(network.fc4.bias, net.fc4.bias + step) and not network.training
        assert loaded.provenance["step"] == step and (loaded.mean_HWC == 7).all()
        assert found.config()["weights_sha256"] == weights_sha256(network)
        path.write_bytes(path.read_bytes()[:-1])  # the newest is damaged, for the next time
    with pytest.raises(UsageError, match="no model yet"):
        require_model("photos")
    save_model(run / "model", net, card)
    assert torch.equal(find_model("photos").load()[0].fc4.bias, net.fc4.bias)
    assert not capsys.readouterr().err and not (run / "model" / "planned.json").exists()


def test_weights_without_their_configuration_are_not_guessed_at(run: Path) -> None:
    (run / "model" / "config.json").unlink()
    with pytest.raises(UsageError, match=r"beside their config\.json"):
        find_model("runs/photos/model/model.safetensors")
