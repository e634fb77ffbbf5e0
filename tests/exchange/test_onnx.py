"""An ONNX file computes what the network computes, and has all that is needed to come back."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from elsewhere import CASES, CLASSES, TITLES, narrow, photographs

from alexnet.base.errors import DataError, EnvironmentProblem, IncompatibleError, UsageError
from alexnet.conventions import CAFFE, CIFAR18
from alexnet.exchange import onnx as exchange
from alexnet.exchange import read_foreign
from alexnet.exchange.check import outputs
from alexnet.models import ModelCard
from alexnet.models.arrays import parameters_of, set_parameters
from alexnet.models.folder import weights_sha256
from alexnet.network import AlexNet


def nodes(data: bytes, kind: str) -> list[onnx.NodeProto]:
    return [one for one in onnx.load_from_string(data).graph.node if one.op_type == kind]


def followers(network: AlexNet, kind: str) -> int:
    return sum(layer.followed_by.count(kind) for layer in network.layers)


@pytest.fixture(scope="module")
def small(photo_folder: Path) -> tuple[AlexNet, ModelCard, np.ndarray]:
    return narrow("cifar11", "", photo_folder)


@pytest.mark.parametrize(("name", "variant"), CASES)
def test_onnxruntime_computes_what_every_network_computes(
    name: str, variant: str, photo_folder: Path
) -> None:
    network, card, images = narrow(name, variant, photo_folder)
    data = exchange.build(network, card)
    ours = outputs(network, card, images)
    assert ours.logits_NK.std(axis=0).min() > 0.1 and ours.probs_NK.max() > 0.5, "they differ"
    for count in (1, 3):
        theirs = exchange.run(data, images[:count])
        np.testing.assert_allclose(theirs.logits_NK, ours.logits_NK[:count], atol=1e-4, rtol=1e-4)
        np.testing.assert_allclose(theirs.probs_NK, ours.probs_NK[:count], atol=1e-4, rtol=1e-4)

    # One node for each normalization across maps, and nothing written out beside it.
    within = followers(network, "norm within")
    assert len(nodes(data, "LRN")) == followers(network, "norm")
    assert len(nodes(data, "Pow")) == len(nodes(data, "Div")) - (name == "onetower") == within
    assert len(nodes(data, "AveragePool")) == within + followers(network, "average pool")
    about = network.convention
    for node in nodes(data, "LRN"):
        found = {one.name: one.i or one.f for one in node.attribute}
        assert found["size"] == about.norm.n and found["bias"] == about.norm.k
        assert found["alpha"] / found["size"] == pytest.approx(about.norm.alpha)


def test_weights_and_values_have_our_names(small: tuple[AlexNet, ModelCard, np.ndarray]) -> None:
    network, card, _ = small
    graph = onnx.load_from_string(exchange.build(network, card)).graph
    arrays = {one.name: onnx.numpy_helper.to_array(one) for one in graph.initializer}
    for name, value in parameters_of(network).items():
        assert np.array_equal(arrays[name], value)
    computed = {name for node in graph.node for name in node.output}
    assert {*network.activation_names} - {"fc5"} <= computed, "the last are the logits"
    assert [one.name for one in graph.input] == ["image"]
    assert [one.name for one in graph.output] == ["logits", "probabilities"]


def test_the_input_is_the_image_itself(small: tuple[AlexNet, ModelCard, np.ndarray]) -> None:
    network, card, _ = small
    model = onnx.load_from_string(exchange.build(network, card))
    texts = {one.key: one.value for one in model.metadata_props}
    assert json.loads(texts["classes"]) == [*CLASSES] and json.loads(texts["titles"]) == [*TITLES]
    assert texts["convention"] == "cifar11" and texts["weights_sha256"] == weights_sha256(network)
    about = json.loads(texts["preprocessing"])
    assert (about["side"], about["crop"], about["crop_offset"]) == (32, 24, 4)
    assert (about["colours"], about["axes"], about["range"]) == ("RGB", "NCHW", [0, 255])
    assert about["filter"] == "bicubic"
    assert "from 0 to 255" in texts["preprocessing_in_words"] == model.graph.doc_string


def test_ten_classes_come_back_with_their_names(
    small: tuple[AlexNet, ModelCard, np.ndarray], tmp_path: Path
) -> None:
    network, card, _ = small
    apart = exchange.export_onnx(network, card, tmp_path / "x.onnx")
    assert apart.probability < 1e-4 and apart.logit < 1e-5
    assert [path.name for path in tmp_path.iterdir()] == ["x.onnx"]
    about, arrays, classes, titles, statistics = exchange.read_onnx(tmp_path / "x.onnx")
    assert about == network.convention and (classes, titles) == (CLASSES, TITLES)
    assert statistics.keys() == card.statistics.keys()
    for name, array in card.statistics.items():
        assert statistics[name].dtype == array.dtype and np.array_equal(statistics[name], array)
    again = AlexNet(10, about, seed=1)
    set_parameters(again, arrays, "x.onnx")
    assert weights_sha256(again) == weights_sha256(network)


def test_the_same_network_is_the_same_bytes(
    small: tuple[AlexNet, ModelCard, np.ndarray],
) -> None:
    network, card, _ = small
    assert exchange.build(network, card) == exchange.build(network, card)


@pytest.mark.parametrize("wrong", ["weights", "mean image", "alpha", "column"])
def test_a_file_that_computes_something_else_is_not_kept(
    wrong: str, photo_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, card, _ = narrow("paper", "", photo_folder)
    model = onnx.load_from_string(exchange.build(network, card))
    arrays = {one.name: one for one in model.graph.initializer}
    (first, *_) = (one for one in model.graph.node if one.op_type == "LRN")
    match wrong:
        case "weights" | "mean image":
            tensor = arrays["conv3.weight" if wrong == "weights" else "mean"]
            changed = onnx.numpy_helper.to_array(tensor)[:, ::-1]
            tensor.CopyFrom(onnx.numpy_helper.from_array(changed.copy(), tensor.name))
        case "alpha":  # the formula's, where ONNX's is n times that
            (alpha,) = (one for one in first.attribute if one.name == "alpha")
            alpha.f /= 5
        case "column":  # normalization over all maps
            first.input[0] = "conv1"
    monkeypatch.setattr(exchange, "build", lambda *_: model.SerializeToString())
    (tmp_path / "x.onnx").write_bytes(b"the old one")
    with pytest.raises(IncompatibleError, match="onnxruntime does not compute"):
        exchange.export_onnx(network, card, tmp_path / "x.onnx")
    assert (tmp_path / "x.onnx").read_bytes() == b"the old one"


def test_weights_that_are_no_numbers_are_not_called_a_difference(
    photo_folder: Path, tmp_path: Path
) -> None:
    network, card, _ = narrow("cifar18", "", photo_folder)
    network.fc4.bias.data[3] = np.nan
    with pytest.raises(ArithmeticError, match="not finite"):
        exchange.export_onnx(network, card, tmp_path / "x.onnx")


def test_cards_and_networks_that_do_not_fit_are_refused(
    small: tuple[AlexNet, ModelCard, np.ndarray],
) -> None:
    network, card, _ = small
    with pytest.raises(IncompatibleError, match="9 are named"):
        exchange.build(network, ModelCard(CLASSES[1:], TITLES[1:], card.statistics))
    large = {"mean": np.zeros((256, 256, 3), np.float32)}
    with pytest.raises(IncompatibleError, match=r"\[256, 256, 3\].*32 x 32"):
        exchange.build(network, ModelCard(CLASSES, TITLES, large))
    with pytest.raises(UsageError, match="float32"):
        exchange.build(AlexNet(10, CIFAR18).double(), card)


def test_files_of_others_and_damaged_ones_are_refused(
    small: tuple[AlexNet, ModelCard, np.ndarray], tmp_path: Path
) -> None:
    network, card, _ = small
    path, data = tmp_path / "x.onnx", exchange.build(network, card)

    def reading(model: onnx.ModelProto) -> Path:
        path.write_bytes(model.SerializeToString())
        return path

    with pytest.raises(DataError, match="missing"):
        exchange.read_onnx(path)
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(DataError, match="Not a readable"):
        exchange.read_onnx(path)
    model = onnx.load_from_string(data)
    weights = next(one for one in model.graph.initializer if one.name == "fc5.weight")
    weights.dims[0] = 9
    with pytest.raises(DataError, match="Not a readable"):
        exchange.read_onnx(reading(model))
    weights.CopyFrom(onnx.numpy_helper.from_array(np.ones((9, 288), np.float32), "fc5.weight"))
    with pytest.raises(IncompatibleError, match=r"fc5.bias is 10, not 9"):
        exchange.read_onnx(reading(model))
    weights.data_location = onnx.TensorProto.EXTERNAL
    with pytest.raises(DataError, match="in another file"):
        exchange.read_onnx(reading(model))
    model = onnx.load_from_string(data)
    (named,) = (one for one in model.metadata_props if one.key == "classes")
    named.value = '["a\\u001b[31m"]'
    with pytest.raises(DataError, match="classes and titles"):
        exchange.read_onnx(reading(model))
    del model.metadata_props[:]
    with pytest.raises(IncompatibleError, match="format None"):
        exchange.read_onnx(reading(model))


@pytest.mark.parametrize("values", ["[1e400]", f"[{10**20}]", "[Infinity]", "[NaN]", '["x"]'])
def test_statistics_that_are_no_numbers_of_their_kind_are_refused(
    values: str, small: tuple[AlexNet, ModelCard, np.ndarray], tmp_path: Path
) -> None:
    model = onnx.load_from_string(exchange.build(*small[:2]))
    (stated,) = (one for one in model.metadata_props if one.key == "statistics")
    stated.value = f'{{"pixels": {{"dtype": "int64", "values": {values}}}}}'
    (tmp_path / "x.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(DataError, match="Its statistics are damaged"):
        exchange.read_onnx(tmp_path / "x.onnx")


def test_a_mean_image_that_is_not_finite_is_refused_unless_it_is_replaced(
    small: tuple[AlexNet, ModelCard, np.ndarray], tmp_path: Path
) -> None:
    network, card, _ = small
    mean_HWC = card.mean_HWC.copy()
    mean_HWC[3, 3, 1] = np.inf
    broken = ModelCard(card.classes, card.titles, {"mean": mean_HWC})
    (tmp_path / "x.onnx").write_bytes(exchange.build(network, broken))
    with pytest.raises(
        DataError, match="Its mean image has numbers that are not finite"
    ) as refused:
        read_foreign(tmp_path / "x.onnx")
    assert refused.value.where == str(tmp_path / "x.onnx") and "--mean" in refused.value.remedy
    found = read_foreign(tmp_path / "x.onnx", mean="1,2,3")
    assert found.statistics["mean"][3, 3].tolist() == [3, 2, 1]


def test_without_the_packages_it_says_how_to_get_them(
    small: tuple[AlexNet, ModelCard, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    with pytest.raises(EnvironmentProblem, match="-m pip install onnx onnxruntime"):
        exchange.build(*small[:2])


@pytest.mark.slow
def test_the_whole_network(photo_folder: Path, tmp_path: Path) -> None:
    network = AlexNet(1000)
    names = tuple(f"n{k:08}" for k in range(1000))
    card = ModelCard(names, names, {"mean": np.full((256, 256, 3), 117, np.float32)})
    assert exchange.export_onnx(network, card, tmp_path / "x.onnx").logit < 1e-5
    assert 243e6 < (tmp_path / "x.onnx").stat().st_size < 246e6
    assert exchange.read_onnx(tmp_path / "x.onnx").classes == names
    images = photographs(photo_folder, CAFFE)[:, :, :224, :224].copy()
    theirs = exchange.run((tmp_path / "x.onnx").read_bytes(), images)
    np.testing.assert_allclose(theirs.probs_NK, outputs(network, card, images).probs_NK, atol=1e-6)
