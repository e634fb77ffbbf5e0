"""What kind of file it is, what is said where that does not decide, and weights of our own."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch
import torch
from exchange.conftest import card_of, narrow, network_of

from alexnet.base.errors import DataError, IncompatibleError, UsageError
from alexnet.conventions import CONVENTIONS
from alexnet.exchange import read_foreign
from alexnet.exchange.classes import class_names
from alexnet.models import save_model
from alexnet.models.arrays import parameters_of

TWINS = ("paper", "original2012", "caffe", "caffenet")


def saved(path: Path, arrays: dict[str, np.ndarray]) -> Path:
    safetensors.numpy.save_file(arrays, path)
    return path


@pytest.mark.parametrize("name", CONVENTIONS)
def test_files_of_ours_are_told_by_their_shapes_as_far_as_these_go(
    name: str, tmp_path: Path
) -> None:
    net = network_of(narrow(name), classes=3)
    path = saved(tmp_path / "w.safetensors", parameters_of(net))
    known = {other: narrow(other) for other in CONVENTIONS}
    if name in TWINS:
        with pytest.raises(UsageError, match="paper, original2012, caffe, caffenet") as unsure:
            read_foreign(path, known=known)
        assert "--from paper" in unsure.value.remedy
    alone = {name: known[name]}
    for found in (read_foreign(path, name, known=known), read_foreign(path, known=alone)):
        assert found.convention == net.convention
        np.testing.assert_array_equal(found.arrays["conv2.weight"], net.conv2.weight.detach())


@pytest.mark.parametrize("variant", ["", "tanh"])
@pytest.mark.parametrize("name", TWINS)
def test_the_metadata_of_our_own_files_tell_the_network(
    name: str, variant: str, tmp_path: Path
) -> None:
    net = network_of(narrow(name).varied(variant), classes=3)
    save_model(tmp_path / "model", net, card_of(3))
    path, known = tmp_path / "model" / "model.safetensors", {n: narrow(n) for n in CONVENTIONS}
    for source in ("", name, "alexnet"):
        assert read_foreign(path, source, known=known).convention == net.convention
    with pytest.raises(IncompatibleError, match=f"it is {name}, not one_column") as refused:
        read_foreign(path, "one_column", known=known)
    assert refused.value.where == str(path) and name in refused.value.remedy


@pytest.mark.parametrize(
    ("metadata", "told"),
    [
        ({"convention": "vgg"}, "'vgg', variant '', which is unknown"),
        ({"convention": "caffe", "variant": "gelu"}, "'caffe', variant 'gelu', which is unknown"),
    ],
)
def test_metadata_of_unknown_networks_are_refused(
    metadata: dict[str, str], told: str, tmp_path: Path
) -> None:
    arrays = parameters_of(network_of(narrow("caffe"), classes=3))
    safetensors.numpy.save_file(arrays, tmp_path / "w.safetensors", metadata)
    with pytest.raises(IncompatibleError, match=told):
        read_foreign(tmp_path / "w.safetensors", known={"caffe": narrow("caffe")})


def test_weights_of_bfloat16_become_float32(tmp_path: Path) -> None:
    net = network_of(narrow("onetower"), classes=3)
    tensors = {name: value.detach().bfloat16() for name, value in net.named_parameters()}
    safetensors.torch.save_file(tensors, tmp_path / "w.safetensors")
    found = read_foreign(tmp_path / "w.safetensors", known={"onetower": narrow("onetower")})
    assert "Stored as bfloat16; converted to float32." in found.notes
    for name, tensor in tensors.items():
        bits = tensor.view(torch.int16).numpy().astype(np.uint32) << 16
        np.testing.assert_array_equal(found.arrays[name], bits.view(np.float32))


@pytest.mark.parametrize("kind", ["int8", "uint8", "int64", "bool"])
def test_whole_numbers_are_no_weights(kind: str, tmp_path: Path) -> None:
    arrays = dict(parameters_of(network_of(narrow("onetower"), classes=3)))
    arrays["conv2.weight"] = arrays["conv2.weight"].astype(kind)
    path = saved(tmp_path / "w.safetensors", arrays)
    with pytest.raises(DataError, match=rf"conv2\.weight is stored as {kind}, without") as refused:
        read_foreign(path, known={"onetower": narrow("onetower")})
    assert refused.value.where == str(path)


@pytest.mark.parametrize("broken", ["mean", "pixels", "weights"])
def test_a_model_folder_with_numbers_that_are_not_finite_is_refused(
    broken: str, tmp_path: Path
) -> None:
    net, card = network_of(CONVENTIONS["cifar13"], classes=4), card_of(4, side=32)
    statistics = {"mean": card.mean_HWC.copy(), "pixels": np.ones(1)}
    if broken == "weights":
        net.fc5.bias.data[1] = torch.nan
    else:
        statistics[broken].flat[0] = np.nan
    save_model(tmp_path / "model", net, replace(card, statistics=statistics))
    with pytest.raises(DataError, match="numbers that are not finite") as refused:
        read_foreign(tmp_path / "model")
    assert refused.value.where == str(tmp_path / "model")


def test_what_the_card_says_of_the_mean_is_of_the_mean_that_was_given(tmp_path: Path) -> None:
    card = replace(card_of(4, side=32), preprocessing={"mean": "the old one", "filter": "area"})
    save_model(tmp_path / "model", network_of(CONVENTIONS["cifar13"], classes=4), card)
    assert read_foreign(tmp_path / "model").preprocessing == card.preprocessing
    found = read_foreign(tmp_path / "model", mean="1,2,3")
    told = "Mean: blue 1, green 2, red 3 at every pixel."
    assert found.preprocessing == {"mean": told, "filter": "area"}


def test_a_model_folder_is_taken_as_it_is(tmp_path: Path) -> None:
    about = CONVENTIONS["cifar13"]
    net, card = network_of(about, classes=4), card_of(4, side=32)
    save_model(tmp_path / "model", net, card)
    found = read_foreign(tmp_path / "model")
    assert (found.classes, found.titles, found.convention) == (
        card.classes,
        card.titles,
        net.convention,
    )
    np.testing.assert_array_equal(found.statistics["mean"], card.mean_HWC)
    (tmp_path / "names").write_text("a\nb\nc\nd\n")
    found = read_foreign(tmp_path / "model", mean="1,2,3", classes=tmp_path / "names")
    assert found.classes == tuple("abcd") and found.statistics["mean"][0, 0].tolist() == [3, 2, 1]
    with pytest.raises(IncompatibleError, match="cifar13, not caffe"):
        read_foreign(tmp_path / "model", "caffe")
    with pytest.raises(UsageError, match="no model folder"):
        read_foreign(tmp_path)


def test_names_and_formats_that_do_not_exist(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no format 'cafe'") as wrong:
        read_foreign(tmp_path / "w", "cafe")
    assert "caffe" in wrong.value.remedy
    with pytest.raises(UsageError, match="no such file"):
        read_foreign(tmp_path / "w")
    (tmp_path / "w").write_bytes(b"<html>")
    with pytest.raises(DataError, match="first bytes"):
        read_foreign(tmp_path / "w")
    path = saved(tmp_path / "w.safetensors", parameters_of(network_of(narrow("caffe"))))
    with pytest.raises(IncompatibleError, match="not a checkpoint of cuda-convnet"):
        read_foreign(path, "cuda-convnet")
    (tmp_path / "w").write_bytes(b"\x89HDF\r\n\x1a\n")
    with pytest.raises(DataError, match="HDF5"):
        read_foreign(tmp_path / "w")


def test_differences_from_the_nearest_network_are_listed(tmp_path: Path) -> None:
    arrays = parameters_of(network_of(narrow("alexnet6")))
    arrays["conv6.weight"] = arrays["conv6.weight"][:, :1].copy()
    path = saved(tmp_path / "w.safetensors", arrays)
    with pytest.raises(IncompatibleError, match=r"alexnet6.*conv6\.weight is 256 x 1 x 3 x 3"):
        read_foreign(path, known={name: narrow(name) for name in CONVENTIONS})


@pytest.mark.parametrize(
    ("text", "names", "titles"),
    [
        ("cat\ndog\nowl\n", "cat dog owl", "cat dog owl"),
        ("n00000001 cat, puss\nn00000002\tdog\nn00000003", "n00000001 n00000002 n00000003",
         "cat, puss;dog;n00000003"),
        ("\ufeffcat\r\ndog\r\nowl", "cat dog owl", "cat dog owl"),
    ],
)  # fmt: skip
def test_lists_of_classes(text: str, names: str, titles: str, tmp_path: Path) -> None:
    net = network_of(narrow("onetower"), classes=3)
    path = saved(tmp_path / "w.safetensors", parameters_of(net))
    (tmp_path / "classes.txt").write_text(text, encoding="utf-8", newline="")
    known = {"onetower": narrow("onetower")}
    found = read_foreign(path, classes=tmp_path / "classes.txt", known=known)
    assert found.classes == tuple(names.split())
    assert found.titles == tuple(titles.split(";") if ";" in titles else titles.split())


@pytest.mark.parametrize(
    "text",
    [
        '["cat", "dog", "crane"]',
        '{"0": "cat", "2": "crane", "1": "dog"}',
        "{0: 'cat',\n 1: 'dog',\n 2: 'crane'}",  # as Python prints it
        '{"crane": 2, "cat": 0, "dog": 1}',
        '{"id2label": {"0": "cat", "1": "dog", "2": "crane"}, "architectures": ["AlexNet"]}',
        '{"classes": ["cat", "dog", "crane"]}',
        "0: cat\n1: dog\n2: crane\n",
        "0 cat\n1 dog\n2 crane\n",
    ],
)
def test_dictionaries_and_json_say_which_output_a_name_is_of(text: str, tmp_path: Path) -> None:
    (tmp_path / "classes").write_text(text)
    names, titles, _ = class_names(tmp_path / "classes", 3)
    assert names == titles == ("cat", "dog", "crane")


def test_synsets_in_json_have_their_words_as_titles(tmp_path: Path) -> None:
    pairs = {"1": ["n01443537", "goldfish"], "0": ["n01440764", "tench"]}
    (tmp_path / "classes.json").write_text(json.dumps(pairs))
    names, titles, _ = class_names(tmp_path / "classes.json", 2)
    assert names == ("n01440764", "n01443537") and titles == ("tench", "goldfish")


def test_names_that_are_digits_are_names(tmp_path: Path) -> None:
    (tmp_path / "classes.json").write_text('{"0": "1", "1": "0"}')
    assert class_names(tmp_path / "classes.json", 2)[0] == ("1", "0")
    (tmp_path / "classes.json").write_text('{"0": 1, "1": 0}')
    assert class_names(tmp_path / "classes.json", 2)[0] == ("1", "0")


def test_classes_of_one_name_get_the_numbers_of_their_outputs(tmp_path: Path) -> None:
    (tmp_path / "names").write_text("crane\ncat\ncrane\n")
    names, titles, told = class_names(tmp_path / "names", 3)
    assert names == titles == ("crane #0", "cat", "crane #2") and "crane #2" in told
    (tmp_path / "names").write_text("n00000001 crane\nn00000002 cat\nn00000003 crane\n")
    names, titles, _ = class_names(tmp_path / "names", 3)
    assert names[2] == "n00000003" and titles == ("crane #0", "cat", "crane #2")


@pytest.mark.parametrize(
    ("data", "kind", "message"),
    [
        (b"a\nb\n", IncompatibleError, "3 outputs, and the list has 2 classes"),
        (b"", IncompatibleError, "has 0 classes"),
        (b"n00000001 a\nb\nn00000001 c\n", DataError, "'n00000001' more than once"),
        (b'{"0": "a", "1": "b", "3": "c"}', DataError, "not one for each output, 0 to 2"),
        (b'{"n00000001": "a", "n00000002": "b", "n00000003": "c"}', DataError, "not one for each"),
        (b"['a', 'b', c]", DataError, "cannot be read as one"),
        (b'["a", "b", 3]', DataError, "something else than names"),
        (b"a\n\nb\n", DataError, "cannot be shown"),
        (b"a\nb\n\x1b[2J\n", DataError, "cannot be shown"),
        (b"a\nb\n\xff\n", DataError, "UTF-8"),
    ],
)
def test_lists_that_do_not_fit(
    data: bytes, kind: type[Exception], message: str, tmp_path: Path
) -> None:
    net = network_of(narrow("onetower"), classes=3)
    path = saved(tmp_path / "w.safetensors", parameters_of(net))
    (tmp_path / "classes.txt").write_bytes(data)
    with pytest.raises(kind, match=message):
        read_foreign(path, classes=tmp_path / "classes.txt", known={"onetower": narrow("onetower")})
