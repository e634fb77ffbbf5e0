"""Model folders: what is written is what is read; what does not fit is refused by name."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from alexnet.errors import DataError, IncompatibleError
from alexnet.network import AlexNet, ModelCard, load_model, save_model
from alexnet.network.weights import parameters_of, set_parameters


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    statistics = {"mean": np.full((256, 256, 3), 117, np.float32)}
    card = ModelCard(("n1", "n2"), ("cat", "dog"), statistics, {"filter": "bicubic"}, {"seed": 3})
    save_model(folder, AlexNet(2, seed=3), card)
    return folder


def damaged(saved: Path, tmp_path: Path, name: str, change) -> Path:  # type: ignore[no-untyped-def]
    for path in saved.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / name).write_bytes(change((tmp_path / name).read_bytes()))
    return tmp_path


def test_round_trip(saved: Path) -> None:
    network, card = load_model(saved)
    for name, value in AlexNet(2, seed=3).named_parameters():
        assert torch.equal(value, network.get_parameter(name))
    assert card.classes == ("n1", "n2") and card.titles == ("cat", "dog")
    assert card.mean_HWC.shape == (256, 256, 3) and card.provenance == {"seed": 3}
    assert AlexNet.from_pretrained(saved).fc8.weight.equal(network.fc8.weight)


def test_a_flipped_bit_in_the_weights_is_found(saved: Path, tmp_path: Path) -> None:
    def flip(data: bytes) -> bytes:
        place = len(data) // 2
        return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]

    with pytest.raises(DataError, match="damaged"):
        load_model(damaged(saved, tmp_path, "model.safetensors", flip))


def test_changed_classes_are_found(saved: Path, tmp_path: Path) -> None:
    def swap(data: bytes) -> bytes:
        config = json.loads(data)
        config["classes"].reverse()
        return json.dumps(config).encode()

    with pytest.raises(DataError, match="classes"):
        load_model(damaged(saved, tmp_path, "config.json", swap))


def test_weights_of_another_network_are_refused_with_the_differences() -> None:
    network = AlexNet(2)
    before = network.fc8.bias.clone()
    with pytest.raises(IncompatibleError, match=r"fc8.bias is \[3\], not \[2\]"):
        set_parameters(network, parameters_of(AlexNet(3)), "here")
    assert torch.equal(network.fc8.bias, before)
