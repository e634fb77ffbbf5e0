"""The programs in `examples/`, on real photographs."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from alexnet.config import StartConfig
from alexnet.evaluation import Classifier, predict_split
from alexnet.evaluation.scores import score
from alexnet.models import ModelCard, save_model
from alexnet.network import AlexNet
from alexnet.prepared import PreparedDataset

EXAMPLES = Path(__file__).parents[2] / "examples"


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def classifier(narrow: AlexNet, card: ModelCard) -> Classifier:
    return Classifier(narrow, card)


def test_areas_of_a_folder_of_stimuli_beside_a_given_matrix(
    classifier: Classifier, photo_folder: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    neuroscience = example("neuroscience")
    monkeypatch.setattr(neuroscience.alexnet, "load", lambda model: classifier, raising=False)
    stimuli = str(photo_folder / "val")
    rdms, keys = neuroscience.matrices("a model", stimuli, tmp_path)
    assert keys[0] == "cat/4.png" and rdms["fc7"].shape == (12, 12)
    assert (tmp_path / "layers.png").stat().st_size > 10_000
    order = np.random.default_rng(0).permutation(12)
    given = rdms["conv3"][np.ix_(order, order)]
    lines = [f"{keys[n]}," + ",".join(map(str, row)) for n, row in zip(order, given, strict=True)]
    header = "key," + ",".join(keys[n] for n in order)
    (tmp_path / "theirs.csv").write_text("\n".join([header, *lines, ""]))
    monkeypatch.setattr(neuroscience, "matrices", lambda *typed: (dict(rdms), keys))
    neuroscience.main("a model", stimuli, str(tmp_path), str(tmp_path / "theirs.csv"))
    table = capsys.readouterr().out.splitlines()
    assert table[1].split() == ["pool1", "pool2", "conv3", "fc7", "measured"]
    assert [row.split()[:2] for row in table[2:4]] == [["pool1", "(V1)"], ["pool2", "(V2)"]]
    measured = table[6].split()
    assert measured[0] == "measured" and measured[3] == "1.000" and float(measured[1]) < 1


def test_a_given_matrix_is_of_the_same_stimuli_or_without_keys(tmp_path: Path) -> None:
    measured, keys = example("neuroscience").measured, ("cat/1.png", "cat/2.png", "dog/1.png")
    given = np.arange(9.0).reshape(3, 3)
    np.save(tmp_path / "plain.npy", given)
    assert (measured(tmp_path / "plain.npy", keys) == given).all()

    def table(*theirs: str) -> Path:
        lines = [f"{key},{n},{n},{n}" for n, key in enumerate(theirs)]
        (tmp_path / "theirs.csv").write_text("\n".join(["key,a,b,c", *lines, ""]))
        return tmp_path / "theirs.csv"

    assert measured(table("dog/1.png", *keys[:2]), keys)[:, 0].tolist() == [1, 2, 0]
    with pytest.raises(SystemExit) as caught:
        measured(table("cat/1.png", "cat/2.png", "dog/7.png"), keys)
    assert str(caught.value).splitlines()[1:] == [
        "Only there: dog/7.png",
        "Only among the stimuli: dog/1.png",
    ]
    assert str(tmp_path / "theirs.csv") in str(caught.value)


def test_what_brain_score_is_given_is_what_the_model_makes_of_images(
    classifier: Classifier, photo_folder: Path
) -> None:
    brain_score = example("brain_score")
    files = sorted((photo_folder / "val").rglob("*.png"))[:3]
    images = brain_score.preprocess(classifier, [str(file) for file in files])
    assert images.shape == (3, 3, 224, 224) and images.dtype == np.float32
    layers = [*brain_score.LAYERS, "logits"]
    found = brain_score.activations_of(classifier, list(images), layers)
    assert list(found) == layers and found["pool1"].shape == (3, 8, 27, 27)
    probs_NK = torch.softmax(torch.from_numpy(found["logits"]).double(), dim=1).numpy()
    assert probs_NK == pytest.approx(classifier.probabilities(files, views=1), rel=1e-3)
    assert found["fc7"] == pytest.approx(classifier.features(files, "fc7"), rel=1e-3, abs=1e-3)
    assert set(brain_score.REGIONS) == {"V1", "V2", "V4", "IT"}
    assert set(brain_score.REGIONS.values()) <= set(brain_score.LAYERS)


@pytest.mark.parametrize("variant", ["", "tanh"])
def test_the_same_weights_read_as_other_networks_answer_otherwise(
    variant: str, narrow: AlexNet, card: ModelCard, photo_set: PreparedDataset,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    convention = narrow.convention.varied(variant)
    network = AlexNet(6, convention, StartConfig(rule="he", bias=0.0), seed=2)
    save_model(tmp_path / "model", network, card)
    which = example("which_alexnet")
    found = which.errors(str(tmp_path / "model"), photo_set)
    own = predict_split(network, card, photo_set, "val", views=1)
    assert found["paper"] == score(own.probs_NK, own.labels_N).top1_error
    monkeypatch.setattr(which, "errors", lambda *typed: found)
    which.main(str(tmp_path / "model"), str(photo_set.folder))
    rows = capsys.readouterr().out.splitlines()
    assert [row.split()[0] for row in rows] == ["paper", "original2012", "caffe", "caffenet"]
    assert rows[0].endswith("(trained as this)")
