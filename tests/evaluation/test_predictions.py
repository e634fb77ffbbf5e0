"""Predictions of a split: ten views, averages, files, classes by name."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from sklearn.metrics import log_loss

from alexnet.base.errors import DataError, IncompatibleError, NumericsError, UsageError
from alexnet.evaluation.predictions import Predictions, predict_split, validation_errors
from alexnet.evaluation.probabilities import average_over_views
from alexnet.evaluation.scores import score
from alexnet.models import ModelCard
from alexnet.network import AlexNet
from alexnet.network.alexnet import as_batch
from alexnet.prepared import PreparedDataset


class ColourIsLogit(torch.nn.Module):
    """A network whose three logits are the image's mean colours."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(()))

    def forward(self, x_NCHW: torch.Tensor) -> torch.Tensor:
        return self.scale * x_NCHW.mean(dim=(2, 3))


def test_probabilities_are_averaged_not_logits() -> None:
    sure, unsure = np.array([0.998, 0.001, 0.001]), np.array([0.0001, 0.6, 0.3999])
    logits_VC = np.log(np.stack([sure, unsure]))
    x_VHWC = np.broadcast_to(logits_VC[:, None, None], (2, 224, 224, 3)).astype(np.float32)
    (probs_K,) = average_over_views(ColourIsLogit(), as_batch(x_VHWC.copy()), views=2)
    assert probs_K == pytest.approx((sure + unsure) / 2, rel=1e-4)
    assert probs_K.argmax() == 0
    assert logits_VC.mean(axis=0).argmax() == 1  # averaged logits would name another class


def test_a_network_in_training_mode_is_evaluated_as_the_test_network_and_goes_on_training(
    network: AlexNet, photo_set: PreparedDataset
) -> None:
    network.eval()
    tested = validation_errors(network, photo_set)
    network.train()
    assert validation_errors(network, photo_set) == tested
    assert network.training and all(module.training for module in network.modules())


def test_ten_views_agree_with_crops_written_out_one_by_one(
    found: Predictions, network: AlexNet, photo_set: PreparedDataset
) -> None:
    split, mean = photo_set.split("val"), photo_set.statistics.mean_HWC.astype(np.float64)
    for n in (0, 5, 11):
        centred = split.pixels(n) - mean
        crops = [
            centred[:224, :224],
            centred[:224, -224:],
            centred[-224:, :224],
            centred[-224:, -224:],
            centred[16:240, 16:240],
        ]
        crops += [np.flip(crop, axis=1) for crop in crops]
        x_NCHW = torch.tensor(np.stack(crops), dtype=torch.float32).permute(0, 3, 1, 2)
        with torch.no_grad():
            logits = network.activations(x_NCHW, ["fc8"])["fc8"].double().numpy()
        exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
        expected = (exponentials / exponentials.sum(axis=1, keepdims=True)).mean(axis=0)
        assert found.probs_NK[n] == pytest.approx(expected, rel=1e-4)
        assert found.keys[n] == split.key(n)
    assert (found.labels_N == split.labels).all()


def test_a_split_larger_than_one_batch_keeps_its_order(
    network: AlexNet, card: ModelCard, photo_set: PreparedDataset, found: Predictions
) -> None:
    assert len(found.keys) * 10 > 80  # views: more than one batch
    alone = predict_split(network, card, photo_set, "val", 1)
    assert alone.probs_NK.shape == found.probs_NK.shape
    assert len({row.tobytes() for row in alone.probs_NK}) == len(alone.keys)
    assert alone.probs_NK.sum(axis=1) == pytest.approx(1, abs=1e-5)


def test_outputs_are_matched_with_classes_by_name(
    found: Predictions, network: AlexNet, card: ModelCard, photo_set: PreparedDataset
) -> None:
    order = [3, 0, 5, 1, 4, 2]
    other = AlexNet(len(order), seed=2)
    other.load_state_dict(network.state_dict())
    with torch.no_grad():
        other.fc8.weight.copy_(network.fc8.weight[order])
        other.fc8.bias.copy_(network.fc8.bias[order])
    classes = tuple(card.classes[k] for k in order)
    shuffled = dataclasses.replace(card, classes=classes, titles=classes)
    again = predict_split(other, shuffled, photo_set, "val", 10)
    assert again.classes == found.classes
    assert again.probs_NK == pytest.approx(found.probs_NK, abs=1e-6)


def test_other_classes_are_refused_with_both_lists(
    network: AlexNet, card: ModelCard, photo_set: PreparedDataset
) -> None:
    classes = ("tiger", *card.classes[1:])
    with pytest.raises(IncompatibleError) as caught:
        predict_split(network, dataclasses.replace(card, classes=classes), photo_set, "val", 1)
    assert "only in the model: tiger; only in the data: cat" in str(caught.value)
    assert caught.value.exit_code == 6


def test_an_unknown_split_is_refused_by_name(
    network: AlexNet, card: ModelCard, photo_set: PreparedDataset
) -> None:
    with pytest.raises(UsageError, match="no split 'vall'"):
        predict_split(network, card, photo_set, "vall", 1)


def test_validation_errors_are_those_of_the_centre_view(
    network: AlexNet, card: ModelCard, photo_set: PreparedDataset
) -> None:
    errors = validation_errors(network, photo_set)
    alone = predict_split(network, card, photo_set, "val", 1)
    assert (errors["top1_error"], errors["top5_error"]) == score(alone.probs_NK, alone.labels_N)
    probs_NK = alone.probs_NK.astype(np.float64)
    probs_NK /= probs_NK.sum(axis=1, keepdims=True)
    expected = log_loss(alone.labels_N, probs_NK, labels=np.arange(6))
    assert errors["loss"] == pytest.approx(expected, rel=1e-5)


def test_the_loss_of_certain_answers_is_printed_without_a_sign(
    network: AlexNet, photo_set: PreparedDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    certain_NK = np.eye(6)[photo_set.split("val").labels]
    monkeypatch.setattr(
        "alexnet.evaluation.predictions._probabilities", lambda *_, **__: certain_NK
    )
    assert f"{validation_errors(network, photo_set)['loss']:.3f}" == "0.000"


def test_outputs_that_are_not_numbers_name_the_first_image(
    network: AlexNet, card: ModelCard, photo_set: PreparedDataset
) -> None:
    broken = AlexNet(6, seed=1)
    with torch.no_grad():
        broken.fc8.bias[2] = torch.nan
    with pytest.raises(NumericsError) as caught:
        predict_split(broken, card, photo_set, "val", 1)
    assert photo_set.split("val").key(0) in str(caught.value)


def test_a_prediction_file_comes_back_whole(found: Predictions, tmp_path: Path) -> None:
    path = tmp_path / "10-views.arrow"
    found.save(path)
    back = Predictions.load(path)
    assert (back.keys, back.classes, back.titles) == (found.keys, found.classes, found.titles)
    assert (back.labels_N == found.labels_N).all()
    assert back.probs_NK.dtype == np.float32
    assert (back.probs_NK == found.probs_NK).all()
    assert back.provenance == found.provenance
    assert back.provenance["model"] == {"name": "untrained"}
    assert (back.provenance["split"], back.provenance["views"]) == ("val", 10)


def test_a_prediction_file_is_plain_arrow(found: Predictions, tmp_path: Path) -> None:
    found.save(tmp_path / "file.arrow")
    table = pa.ipc.open_file(pa.memory_map(str(tmp_path / "file.arrow"))).read_all()
    assert table.column_names == ["key", "label", "probabilities"]
    row = table.slice(3, 1).to_pylist()[0]
    assert row["key"] == found.keys[3]
    assert row["label"] == found.labels_N[3]
    assert row["probabilities"] == found.probs_NK[3].tolist()


@pytest.mark.parametrize("keep", [0, 100, -200])
def test_a_cut_prediction_file_is_named(found: Predictions, tmp_path: Path, keep: int) -> None:
    path = tmp_path / "cut.arrow"
    found.save(path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError) as caught:
        Predictions.load(path)
    assert str(path) in str(caught.value)


def test_another_arrow_file_is_no_prediction_file(tmp_path: Path) -> None:
    table = pa.table({"key": ["a"]})
    with pa.ipc.new_file(str(tmp_path / "other.arrow"), table.schema) as writer:
        writer.write_table(table)
    with pytest.raises(DataError, match="Not a readable prediction file"):
        Predictions.load(tmp_path / "other.arrow")
    with pytest.raises(DataError, match="missing"):
        Predictions.load(tmp_path / "nothing.arrow")
