"""Caffe's files: OpenCV computes from ours what we do, and ours are read in every encoding there was."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from network.exchange.conftest import card_of, narrow, network_of, probabilities

from alexnet.conventions import CONVENTIONS
from alexnet.errors import DataError, IncompatibleError, UsageError
from alexnet.network import AlexNet
from alexnet.network.exchange import Imported, caffe, protobuf, read_foreign
from alexnet.network.weights import parameters_of


def known(name: str) -> dict[str, Any]:
    return {**CONVENTIONS, name: narrow(name)}


def read(path: Path, name: str = "caffe", **options: Any) -> Imported:
    return read_foreign(path, known=known(name), **options)


@pytest.fixture(scope="module", params=caffe.NAMES)
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """(network, folder) of a narrow network that was written for Caffe."""
    net, folder = network_of(narrow(request.param)), tmp_path_factory.mktemp("caffe") / "out"
    assert [path.name for path in caffe.write(net, card_of(), folder)] == [
        *("model.caffemodel", "deploy.prototxt", "mean.binaryproto", "classes.txt")
    ]
    return net, folder


# --- Against OpenCV's reader of Caffe's files -----------------------------------------------------


@pytest.mark.parametrize("name", caffe.NAMES)
def test_opencv_computes_what_we_do(
    name: str, tmp_path: Path, pixels: Callable[[int], np.ndarray]
) -> None:
    about = narrow(name, fc6=64, fc7=48)  # the convolutions at full width
    net, card = network_of(about, gain=0.75), card_of()
    weights, deploy, *_ = caffe.write(net, card, tmp_path / "out")
    middle = slice((about.side - about.crop) // 2, (about.side + about.crop) // 2)
    x_NHWC = np.ascontiguousarray((pixels(about.side) - card.mean_HWC)[:, middle, middle])
    theirs = cv2.dnn.readNetFromCaffe(str(deploy), str(weights))
    theirs.setInput(np.ascontiguousarray(x_NHWC[..., ::-1].transpose(0, 3, 1, 2)))
    expected = theirs.forward()
    ours = probabilities(net, x_NHWC)
    assert 0.1 < ours.max() < 0.99 and np.ptp(ours, axis=0).max() > 0.01  # it tells pictures apart
    np.testing.assert_allclose(ours, expected, atol=1e-4)
    wrong = probabilities(net, np.ascontiguousarray(x_NHWC[..., ::-1]))
    assert np.abs(wrong - expected).max() > 1e-2  # so the order of colours is seen
    read = read_foreign(weights, known={**CONVENTIONS, name: about}).network()
    np.testing.assert_array_equal(probabilities(read, x_NHWC), ours)


@pytest.mark.slow
@pytest.mark.parametrize("name", caffe.NAMES)
def test_opencv_computes_what_we_do_at_full_size(
    name: str, tmp_path: Path, pixels: Callable[[int], np.ndarray]
) -> None:
    net = network_of(CONVENTIONS[name], gain=0.8, classes=1000)
    weights, deploy, *_ = caffe.write(net, card_of(1000), tmp_path / "out")
    x_NHWC = pixels(227) - 117
    theirs = cv2.dnn.readNetFromCaffe(str(deploy), str(weights))
    theirs.setInput(np.ascontiguousarray(x_NHWC[..., ::-1].transpose(0, 3, 1, 2)))
    read = read_foreign(weights)
    assert sum(array.size for array in read.arrays.values()) == 60_965_224
    np.testing.assert_allclose(probabilities(read.network(), x_NHWC), theirs.forward(), atol=1e-4)


# --- There and back -------------------------------------------------------------------------------


def test_what_is_written_is_what_is_read(written: tuple[AlexNet, Path]) -> None:
    net, folder = written
    name = net.convention.name
    found = read(
        folder / "model.caffemodel",
        name,
        mean=str(folder / "mean.binaryproto"),
        classes=folder / "classes.txt",
    )
    for key, array in parameters_of(net).items():
        np.testing.assert_array_equal(found.arrays[key], array)
    assert found.convention == net.convention
    card = card_of()
    np.testing.assert_array_equal(found.statistics["mean"], card.mean_HWC)
    assert (found.classes, found.titles) == (card.classes, card.titles)
    assert any(f"Network: {name}, told by its layers" in note for note in found.notes)
    with pytest.raises(IncompatibleError, match=f"order of {name}"):
        read(folder / "model.caffemodel", name, source={"caffe": "caffenet"}.get(name, "caffe"))


def test_written_again_it_is_the_same(written: tuple[AlexNet, Path]) -> None:
    net, folder = written
    before = {path: path.read_bytes() for path in folder.iterdir()}
    caffe.write(net, card_of(), folder)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize(
    ("name", "why"),
    [("paper", "two sides"), ("onetower", "no agreed form"), ("cifar11", "locally connected"),
     ("original2012", "two sides")],
)  # fmt: skip
def test_other_networks_are_not_written_for_caffe(name: str, why: str, tmp_path: Path) -> None:
    with pytest.raises(IncompatibleError, match=why):
        caffe.write(AlexNet(2, narrow(name)), card_of(2), tmp_path / "out")
    assert not (tmp_path / "out").exists()


# --- Encodings ------------------------------------------------------------------------------------

V1 = {"Convolution": 4, "InnerProduct": 14, "LRN": 15, "Pooling": 17, "Data": 5, "Split": 22}
V0 = {"Convolution": "conv", "InnerProduct": "innerproduct", "LRN": "lrn", "Pooling": "pool"}
Layer = tuple[str, str, list[np.ndarray]]  # name, type, blobs


def blob(array: np.ndarray, old: bool, doubles: bool = False, single: bool = False) -> Any:
    """A blob in the encoding of its time, its numbers packed or one by one."""
    shape = (1,) * (4 - array.ndim) + array.shape
    sides = [part for n, side in enumerate(shape, 1) for part in protobuf.integer(n, side)]
    about = sides if old else protobuf.message(7, protobuf.packed_integers(1, array.shape))
    if doubles:
        return about + protobuf.message(8, [array.astype("<f8").tobytes()])
    if single:
        tag = protobuf.tag(5, 5)
        return [*about, b"".join(tag + one.tobytes() for one in array.astype("<f4").reshape(-1))]
    return about + protobuf.packed_floats(5, np.ascontiguousarray(array))


def encoded(layers: list[Layer], version: int, **how: bool) -> bytes:
    """A network whose layers read the one before them."""
    content, before = protobuf.text(1, "a network"), "data"
    for name, kind, arrays in layers:
        blobs = [blob(array, old=version < 2, **how) for array in arrays]
        links = (
            protobuf.text(3 if version == 2 else 2, before),
            protobuf.text(4 if version == 2 else 3, name),
        )
        before = name
        if version == 2:
            parts = [protobuf.text(1, name), protobuf.text(2, kind), *links]
            content += protobuf.message(100, *parts, *(protobuf.message(7, b) for b in blobs))
        elif version == 1:
            parts = [protobuf.text(4, name), protobuf.integer(5, V1.get(kind, 99)), *links]
            content += protobuf.message(2, *parts, *(protobuf.message(6, b) for b in blobs))
        else:
            inside = [protobuf.text(1, name), protobuf.text(2, V0.get(kind, kind.lower()))]
            inside += [protobuf.message(50, b) for b in blobs]
            content += protobuf.message(2, protobuf.message(1, *inside), *links)
    return b"".join(content)


def layers_of(net: AlexNet, between: bool = True) -> list[Layer]:
    """The network as Caffe would have it: weights in its order of colours, layers between them."""
    found: list[Layer] = [("data", "Data", [])] if between else []
    for row in net.layers:
        weight, bias = (value.detach().numpy() for value in net.weight_and_bias(row.name))
        weight = weight[:, ::-1] if row.name == "conv1" else weight
        kind = "InnerProduct" if row.name.startswith("fc") else "Convolution"
        found.append((row.name, kind, [weight, bias]))
        if between:
            for one in row.followed_by:
                if one in ("norm", "pool"):
                    kind = {"norm": "LRN", "pool": "Pooling"}[one]
                    found.append((f"{one}{row.name[-1]}", kind, []))
    return found


@pytest.fixture(scope="module", params=caffe.NAMES)
def net(request: pytest.FixtureRequest) -> AlexNet:
    return network_of(narrow(request.param))


def saved(tmp_path: Path, data: bytes) -> Path:
    (tmp_path / "net.caffemodel").write_bytes(data)
    return tmp_path / "net.caffemodel"


@pytest.mark.parametrize("version", [0, 1, 2])
@pytest.mark.parametrize("how", [{}, {"doubles": True}, {"single": True}])
def test_all_encodings_are_read(
    net: AlexNet, version: int, how: dict[str, bool], tmp_path: Path
) -> None:
    path = saved(tmp_path, encoded(layers_of(net), version, **how))
    found = read(path, net.convention.name)
    assert found.convention == net.convention
    for key, array in parameters_of(net).items():
        np.testing.assert_array_equal(found.arrays[key], array)
    assert any("Left out" in note and "data (" in note for note in found.notes)
    assert any("float64; converted" in note for note in found.notes) == ("doubles" in how)


def test_weighted_layers_alone_are_caffes_unless_said_otherwise(tmp_path: Path) -> None:
    net = network_of(narrow("caffe"))
    path = saved(tmp_path, encoded(layers_of(net, between=False), 2))
    found = read(path)
    assert found.convention.name == "caffe" and any("--from" in note for note in found.notes)
    both = {**known("caffe"), "caffenet": narrow("caffenet")}
    assert read_foreign(path, "caffenet", known=both).convention.name == "caffenet"


def test_the_last_layer_may_have_another_name_and_any_number_of_outputs(tmp_path: Path) -> None:
    layers = layers_of(network_of(narrow("caffe"), classes=7))
    layers = [("fc8_flickr" if name == "fc8" else name, *rest) for name, *rest in layers]
    layers += [("accuracy", "Accuracy", []), ("silence", "Silence", [])]
    found = read(saved(tmp_path, encoded(layers, 2)))
    assert len(found.classes) == 7 and found.classes[6] == "class 6"
    assert any("'fc8_flickr'" in note for note in found.notes)
    assert any("accuracy (Accuracy), silence (Silence)" in note for note in found.notes)


def changed(layers: list[Layer], name: str, *arrays: np.ndarray) -> list[Layer]:
    return [(n, kind, list(arrays) if n == name else old) for n, kind, old in layers]


def _wrong(layers: list[Layer]) -> dict[str, tuple[list[Layer], type[Exception], str]]:
    by = {name: arrays for name, _, arrays in layers}
    bad = by["fc7"][0].copy()
    bad[3, 3] = np.nan
    huge = by["conv5"][1].astype("<f8") * 1e300
    zeros = np.zeros((3, 3), np.float32)
    norm = "LRN"
    return {
        "missing": ([one for one in layers if one[0] != "conv4"], IncompatibleError,
                    "conv4 is missing"),
        "unknown": ([*layers, ("fc9", "InnerProduct", [zeros, zeros[0]])], IncompatibleError,
                    "fc9 .* has weights and is unknown"),
        "twice": ([*layers, layers[-1]], IncompatibleError, "twice"),
        "shape": (changed(layers, "conv3", by["conv3"][0][:, :4], by["conv3"][1]),
                  IncompatibleError, "conv3.weight is 12 x 4 x 3 x 3, not 12 x 8 x 3 x 3"),
        "kernel": (changed(layers, "conv1", by["conv1"][0][..., :7], by["conv1"][1]),
                   IncompatibleError, "conv1.weight is 8 x 3 x 11 x 7"),
        "no bias": (changed(layers, "fc6", by["fc6"][0]), IncompatibleError, "fc6 has 1 blobs"),
        "three blobs": (changed(layers, "fc6", *by["fc6"], by["fc6"][1]), IncompatibleError,
                        "fc6 has 3 blobs"),
        "not a number": (changed(layers, "fc7", bad, by["fc7"][1]), DataError,
                         "fc7.weight has numbers that are not finite"),
        "no normalization": ([one for one in layers if one[1] != norm], IncompatibleError,
                             "no normalization"),
        "no outputs": (changed(layers, "fc8", zeros[:0], zeros[0, :0]), IncompatibleError,
                       "fc8.weight is 0 x 3"),
        "tanh": ([*layers, ("tanh6", "TanH", [])], IncompatibleError, "tanh6 is of type TanH"),
        "no weights": ([(name, kind, []) for name, kind, _ in layers], DataError, "no weights"),
        "too large": (changed(layers, "conv5", by["conv5"][0], huge), DataError, "not finite"),
    }  # fmt: skip


LAYERS = layers_of(network_of(narrow("caffe")))


@pytest.mark.parametrize("name", _wrong(LAYERS))
def test_what_does_not_fit_is_refused_with_the_differences(name: str, tmp_path: Path) -> None:
    layers, kind, message = _wrong(LAYERS)[name]
    path = saved(tmp_path, encoded(layers, 2, doubles=name == "too large"))
    with pytest.raises(kind, match=message) as refused:
        read(path)
    assert str(path) in refused.value.where  # type: ignore[attr-defined]


def test_wrong_numbers_of_elements_are_refused(tmp_path: Path) -> None:
    array = np.zeros((2, 3), np.float32)
    about = protobuf.message(7, protobuf.packed_integers(1, [2, 4]))
    wrong = protobuf.message(7, about, protobuf.packed_floats(5, array))
    layer = protobuf.message(100, protobuf.text(1, "fc9"), protobuf.text(2, "InnerProduct"), wrong)
    rest = encoded(LAYERS[:-1], 2)  # without fc8, whose place the wrong layer takes
    with pytest.raises(DataError, match="fc9, weight: 6 numbers for 2 x 4"):
        read(saved(tmp_path, rest + b"".join(layer)))


def test_another_normalization_is_refused(written: tuple[AlexNet, Path], tmp_path: Path) -> None:
    net, folder = written
    lrn = protobuf.message(118, [protobuf.tag(2, 5) + np.float32(0.5).tobytes()])
    parts = [protobuf.text(1, "norm9"), protobuf.text(2, "LRN"), lrn]
    data = (folder / "model.caffemodel").read_bytes() + b"".join(protobuf.message(100, *parts))
    with pytest.raises(IncompatibleError, match=r"norm9 has alpha 0\.5, not 0\.0001"):
        read(saved(tmp_path, data), net.convention.name)


def test_truncated_anywhere_it_is_refused(written: tuple[AlexNet, Path], tmp_path: Path) -> None:
    net, folder = written
    data = (folder / "model.caffemodel").read_bytes()
    for size in range(0, len(data), len(data) // 50):
        with pytest.raises((DataError, IncompatibleError)):
            read(saved(tmp_path, data[:size]), net.convention.name)


# --- Mean images ----------------------------------------------------------------------------------


def test_mean_images_of_all_kinds(written: tuple[AlexNet, Path], tmp_path: Path) -> None:
    net, folder = written
    model, name = folder / "model.caffemodel", net.convention.name
    usual = read(model, name).statistics["mean"]
    np.testing.assert_array_equal(
        usual, np.broadcast_to(np.float32([123, 117, 104]), (256, 256, 3))
    )
    given = read(model, name, mean="1.5,2,-3").statistics["mean"]
    assert given[9, 9].tolist() == [-3, 2, 1.5] and given.dtype == np.float32
    for mean, kind, message in (
        ("mean.npy", UsageError, "no such mean"),
        ("1,2", UsageError, "no such mean"),
        ("1,2,-+", UsageError, "no mean"),
        (str(folder / "classes.txt"), DataError, "damaged"),
        (str(model), DataError, "damaged"),
    ):
        with pytest.raises(kind, match=message):
            read(model, name, mean=mean)
    small = tmp_path / "small.binaryproto"
    small.write_bytes(b"".join(blob(np.zeros((3, 227, 227), np.float32), old=True)))
    with pytest.raises(IncompatibleError, match="3 x 227 x 227; the network needs 3 x 256 x 256"):
        read(model, name, mean=str(small))
    small.write_bytes(b"".join(blob(np.float32([1, 2, 3]).reshape(3, 1, 1), old=True)))
    assert read(model, name, mean=str(small)).statistics["mean"][0, 0].tolist() == [3, 2, 1]
