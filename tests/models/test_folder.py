"""Model folders: what is written is what is read; what does not fit is refused by name."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import safetensors
import torch
import yaml

from alexnet.base.errors import DataError, IncompatibleError, UsageError
from alexnet.conventions import CIFAR18
from alexnet.evaluation import Classifier, load
from alexnet.models import ModelCard, load_model, save_model
from alexnet.models.arrays import parameters_of, set_parameters
from alexnet.models.card import ModelResult, labels
from alexnet.models.folder import weights_sha256, write_results
from alexnet.models.sparsity import is_sparse, sparsity
from alexnet.network import AlexNet

CIFAR_MEAN = {"mean": np.full((32, 32, 3), 117, np.float32)}
HOSTILE = (
    *("yes", "no", "1.0", "~", "- a: b", "{a: b}", "a # b", "'\"", "---", "| a |"),
    *("<script>", "`code`", "[x](y)", "a\x85b", "!!python/none", "\u2028", "ü 猫", "*", "&a", "%"),
)


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
    assert not any(module.training for module in network.modules()), "it is the test network"
    assert not AlexNet.from_pretrained(saved).training and AlexNet(2).training
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
    with pytest.raises(IncompatibleError, match=r"fc8.bias is 3, not 2"):
        set_parameters(network, parameters_of(AlexNet(3)), "here")
    assert torch.equal(network.fc8.bias, before)


def test_sparsity_counts_zeros_and_values_of_weights() -> None:
    rng = np.random.default_rng(0)
    dense = rng.standard_normal((300, 400)).astype(np.float32)
    pruned = np.where(rng.random(dense.shape) < 0.9, 0, dense)
    few = rng.choice(rng.standard_normal(256), (3000, 1000)).astype(np.float32)
    many = few.copy()
    many[-1, -1] = 7  # one value more than 256, at the very end
    found = sparsity(
        {
            **{"conv1.weight": dense, "conv2.weight": pruned, "fc6.weight": few},
            **{"fc7.weight": many, "fc8.weight": np.ones((2, 2), np.float32)},
            **{"fc9.weight": np.arange(4.0), "conv1.bias": np.zeros(300)},
        }
    )
    assert list(found) == ["conv1", "conv2", "fc6", "fc7", "fc8", "fc9"]
    assert found["conv1"] == (0, None) and found["fc6"] == (0, 256) and found["fc7"] == (0, None)
    assert found["conv2"].zero == pytest.approx(0.9, abs=0.01) and found["conv2"].values is None
    assert found["fc8"] == (0, 1) and found["fc9"].values is None  # no fewer than there are weights
    assert is_sparse(found) and not is_sparse({"conv1": found["conv1"]})


def front_matter(folder: Path) -> dict:  # type: ignore[type-arg]
    text = (folder / "README.md").read_text(encoding="utf-8")
    found = re.match(r"---\n(.*?)\n---\n", text, re.DOTALL)
    assert found
    return yaml.safe_load(found[1])  # type: ignore[no-any-return]


def card_of(titles: tuple[str, ...], **about: object) -> ModelCard:
    classes = tuple(f"n{k:02}" for k in range(len(titles)))
    return ModelCard(classes, titles, CIFAR_MEAN, {"filter": "bicubic"}, about)


def test_weights_are_the_same_bytes_and_name_their_network(tmp_path: Path) -> None:
    network = AlexNet(2, CIFAR18)
    for name in "abcd":  # the library's own order is one of chance
        save_model(tmp_path / name, network, card_of(("cat", "dog")))
    hashes = {
        json.loads((tmp_path / n / "config.json").read_text())["weights_sha256"] for n in "abcd"
    }
    assert hashes == {weights_sha256(network)}
    with safetensors.safe_open(tmp_path / "a" / "model.safetensors", framework="pt") as file:
        assert file.metadata() == {
            "format": "pt",
            "convention": "cifar18",
            "variant": "",
        }
        assert torch.equal(file.get_tensor("fc4.weight"), network.fc4.weight)


def test_a_model_folder_is_what_hugging_faces_tools_expect(tmp_path: Path) -> None:
    network, titles = AlexNet(3, CIFAR18), ("crane", "crane", "cat")
    card = card_of(titles, run="birds", recipe="small", epochs=13, seed=5, dataset="/tmp/x/birds")
    network.save_pretrained(tmp_path, card)
    config = json.loads((tmp_path / "config.json").read_text())
    assert (config["architectures"], config["model_type"]) == (["AlexNet"], "alexnet")
    assert config["id2label"] == {"0": "crane (n00)", "1": "crane (n01)", "2": "cat"}
    assert config["label2id"] == {"crane (n00)": 0, "crane (n01)": 1, "cat": 2}
    assert config["titles"] == [*titles]
    head = front_matter(tmp_path)
    assert head["library_name"] == "alexnet" and head["pipeline_tag"] == "image-classification"
    assert head["license"] == "unknown" and "model-index" not in head
    text = (tmp_path / "README.md").read_text()
    for part in ("`cifar18`", "| epochs | 13 |", "| data | birds |", "not been evaluated", "2012"):
        assert part in text
    assert "/tmp" not in text, "where the data lay is of no use elsewhere"
    assert AlexNet.from_pretrained(tmp_path).fc4.weight.equal(network.fc4.weight)


def test_what_was_measured_is_in_the_card(tmp_path: Path) -> None:
    results = [ModelResult("pets", "0123456789ab", "val", 3925, n, 0.225, 0.0244) for n in (1, 10)]
    save_model(tmp_path, AlexNet(10, CIFAR18), card_of(tuple("abcdefghij"), run="pets"), results)
    (entry,) = front_matter(tmp_path)["model-index"]
    assert entry["name"] == "pets" and len(entry["results"]) == 2
    one, ten = entry["results"]
    assert one["dataset"] == {"name": "pets", "type": "pets", "split": "val"}
    assert one["metrics"] == [
        {"type": "accuracy", "value": 0.775, "name": "Top-1 accuracy, centre view"},
        {"type": "accuracy", "value": 0.9756, "name": "Top-5 accuracy, centre view"},
    ]
    assert ten["metrics"][0]["name"] == "Top-1 accuracy, 10 views"
    text = (tmp_path / "README.md").read_text()
    assert "| pets (01234567) | val | 3,925 | 10 | 22.50 % | 21.2-23.8 % | 2.44 % |" in text
    assert "Chance error is 90.00 %" in text


def test_names_of_any_text_do_not_break_the_card(tmp_path: Path) -> None:
    network = AlexNet(len(HOSTILE), CIFAR18)
    for k, title in enumerate(HOSTILE):
        card = card_of(HOSTILE, run=title, recipe=title, dataset=title, note="a\n---\nb")
        results = [ModelResult(title, "0" * 8, title, 1, 1, 0.5, 0.5)]
        save_model(tmp_path / str(k), network, card, results)
        (entry,) = front_matter(tmp_path / str(k))["model-index"]
        shown = title if title.isprintable() else title.encode("unicode_escape").decode()
        assert entry["name"] == entry["results"][0]["dataset"]["name"] == shown
        assert entry["results"][0]["dataset"]["split"] == shown
        text = (tmp_path / str(k) / "README.md").read_text(encoding="utf-8")
        assert text.count("\n---\n") == 1
        body = text.partition("\n---\n")[2]
        assert "<script>" not in body and "\x85" not in body and r"\<script\>" in body


@pytest.mark.parametrize(
    ("titles", "expected"),
    [
        (("a", "b"), ["a", "b"]),
        (("a", "a"), ["a (n00)", "a (n01)"]),
        (("a", "a", "a (n01)"), ["a (n00)", "a (n01) #1", "a (n01) #2"]),
    ],
)
def test_no_two_labels_are_the_same(titles: tuple[str, ...], expected: list[str]) -> None:
    assert labels(card_of(titles)) == expected


def test_nothing_is_downloaded_and_nothing_replaced_unasked(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"'owner/name', and nothing is downloaded") as error:
        AlexNet.from_pretrained("owner/name")
    assert "config.json, model.safetensors, statistics.safetensors" in error.value.remedy
    save_model(tmp_path / "first", AlexNet(2, CIFAR18), card_of(("cat", "dog")))
    classifier = load(tmp_path / "first")
    classifier.save_pretrained(tmp_path / "copy")
    again = load(tmp_path / "copy")
    assert isinstance(again, Classifier) and again.classes == classifier.classes
    with pytest.raises(UsageError, match="a model already"):
        classifier.save_pretrained(tmp_path / "copy")
    classifier.save_pretrained(tmp_path / "copy", force=True)


def test_as_many_classes_as_outputs_or_nothing_is_written(tmp_path: Path) -> None:
    card = ModelCard(("a", "b"), ("a", "b"), CIFAR_MEAN)
    with pytest.raises(IncompatibleError, match="3 outputs, and its card 2 classes"):
        save_model(tmp_path / "model", AlexNet(3, CIFAR18), card)
    assert not (tmp_path / "model").exists()


def test_results_are_written_into_a_card_that_people_have_changed(tmp_path: Path) -> None:
    card = ModelCard(("a", "b"), ("a", "b"), CIFAR_MEAN, provenance={"run": "pets"})
    save_model(tmp_path, AlexNet(2, CIFAR18), card)
    path = tmp_path / "README.md"
    text = path.read_text()
    assert "not been evaluated" in text
    path.write_text(text.replace("license: unknown", "license: mit") + "\n## Thanks\n\nto all\n")
    result = ModelResult("pets", "ab" * 32, "val", 40, 10, 0.25, None)
    for _ in range(2):  # the second time nothing changes
        write_results(tmp_path, [result])
        new = path.read_text()
        assert "not been evaluated" not in new and new.count("25.00 %") == 1
        assert new.count("## ") == text.count("## ") + 1 and new.endswith("## Thanks\n\nto all\n")
        head = yaml.safe_load(new.split("---\n")[1])
        assert head["license"] == "mit" and head["model-index"][0]["name"] == "pets"
    path.write_text("my own words")
    write_results(tmp_path, [result])
    assert path.read_text() == "my own words"
