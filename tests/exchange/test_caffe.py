"""Caffe's files: OpenCV computes from ours what we do, and ours are read in every encoding there was."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import pytest
from exchange.conftest import card_of, narrow, network_of, probabilities

from alexnet.base.errors import DataError, IncompatibleError, UsageError
from alexnet.conventions import CONVENTIONS
from alexnet.exchange import Imported, caffe, read_foreign
from alexnet.exchange.caffe_schema import array_of
from alexnet.exchange.caffe_writer import write_caffe
from alexnet.exchange.mean import mean_image
from alexnet.formats import protobuf
from alexnet.formats.protobuf import Message
from alexnet.models.arrays import parameters_of
from alexnet.network import AlexNet


def known(name: str) -> dict[str, Any]:
    return {**CONVENTIONS, name: narrow(name)}


def read(path: Path, name: str = "caffe", **options: Any) -> Imported:
    return read_foreign(path, known=known(name), **options)


@pytest.fixture(scope="module", params=caffe.NAMES)
def written(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """(network, folder) of a narrow network that was written for Caffe."""
    net, folder = network_of(narrow(request.param)), tmp_path_factory.mktemp("caffe") / "out"
    assert [path.name for path in write_caffe(net, card_of(), folder)] == [
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
    weights, deploy, *_ = write_caffe(net, card, tmp_path / "out")
    middle = slice((about.side - about.crop) // 2, (about.side + about.crop) // 2)
    x_NHWC = np.ascontiguousarray((pixels(about.side) - card.mean_HWC)[:, middle, middle])
    theirs = cv2.dnn.readNetFromCaffe(str(deploy), str(weights))
    theirs.setInput(np.ascontiguousarray(x_NHWC[..., ::-1].transpose(0, 3, 1, 2)))
    expected = theirs.forward()
    ours = probabilities(net, x_NHWC)
    assert 0.1 < ours.max() < 0.99 and np.ptp(ours, axis=0).max() > 0.01  # it tells images apart
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
    weights, deploy, *_ = write_caffe(net, card_of(1000), tmp_path / "out")
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
    assert not any("trust" in note for note in found.notes)
    with pytest.raises(IncompatibleError, match=f"order of {name}"):
        read(folder / "model.caffemodel", name, source={"caffe": "caffenet"}.get(name, "caffe"))


def test_written_again_it_is_the_same(written: tuple[AlexNet, Path]) -> None:
    net, folder = written
    before = {path: path.read_bytes() for path in folder.iterdir()}
    write_caffe(net, card_of(), folder)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize(
    ("name", "why"),
    [("paper", "two sides"), ("onetower", "no agreed form"), ("cifar11", "locally connected"),
     ("original2012", "two sides")],
)  # fmt: skip
def test_other_networks_are_not_written_for_caffe(name: str, why: str, tmp_path: Path) -> None:
    with pytest.raises(IncompatibleError, match=why):
        write_caffe(AlexNet(2, narrow(name)), card_of(2), tmp_path / "out")
    assert not (tmp_path / "out").exists()


# --- Encodings ------------------------------------------------------------------------------------

V1 = {"Convolution": 4, "InnerProduct": 14, "LRN": 15, "Pooling": 17, "Data": 5, "Split": 22,
      "ReLU": 18, "TanH": 23, "Dropout": 6, "Softmax": 20, "Sigmoid": 19, "AbsVal": 35, "BNLL": 2,
      "Power": 26, "Eltwise": 25, "MVN": 34, "Exp": 38, "Concat": 3, "Slice": 33}  # fmt: skip
V0 = {"Convolution": "conv", "InnerProduct": "innerproduct", "LRN": "lrn", "Pooling": "pool"}
MESSAGES = {"Convolution": (10, 106), "InnerProduct": (17, 117), "LRN": (18, 118),
            "Pooling": (19, 121), "ReLU": (30, 123)}  # fmt: skip
FIELDS = {
    "Convolution": {"pad": 3, "kernel_size": 4, "group": 5, "stride": 6, "pad_h": 9, "kernel_h": 11,
                    "kernel_w": 12, "stride_w": 14, "dilation": 18},
    "InnerProduct": {"axis": 5, "transpose": 6},
    "LRN": {"local_size": 1, "alpha": 2, "beta": 3, "norm_region": 4, "k": 5},
    "Pooling": {"pool": 1, "kernel_size": 2, "stride": 3, "pad": 4, "global_pooling": 12},
    "ReLU": {"negative_slope": 1},
}  # fmt: skip
V0_FIELDS = {"pad": 7, "kernel_size": 8, "group": 9, "stride": 10, "pool": 11, "local_size": 13,
             "alpha": 14, "beta": 15, "k": 22}  # fmt: skip
# What Caffe's own descriptions of its two AlexNets say; what they leave out is the schema's default.
NUMBERS: dict[str, dict[str, float]] = {
    "conv1": {"kernel_size": 11, "stride": 4},
    "conv2": {"kernel_size": 5, "pad": 2, "group": 2},
    "conv3": {"kernel_size": 3, "pad": 1},
    "conv4": {"kernel_size": 3, "pad": 1, "group": 2},
    "conv5": {"kernel_size": 3, "pad": 1, "group": 2},
    **{f"norm{n}": {"local_size": 5, "alpha": 0.0001, "beta": 0.75} for n in (1, 2)},
    **{f"pool{n}": {"pool": 0, "kernel_size": 3, "stride": 2} for n in (1, 2, 5)},
}
Layer = tuple[str, str, list[np.ndarray]]  # name, type, blobs


def numbers(values: dict[str, float], fields: dict[str, int]) -> Any:
    """Fields of a layer's message, whole numbers and others."""
    content = []
    for name, value in values.items():
        if name in ("alpha", "beta", "k", "negative_slope"):
            content += [protobuf.tag(fields[name], 5) + np.float32(value).tobytes()]
        else:
            content += protobuf.integer(fields[name], int(value))
    return content


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


def encoded(
    layers: list[Layer],
    version: int,
    told: dict[str, dict[str, float]] | None = None,
    links: dict[str, str] | None = None,
    **how: bool,
) -> bytes:
    """A network whose layers read the one before them, or what `links` says, with numbers by name."""
    content, last = protobuf.text(1, "a network"), "data"
    for name, kind, arrays in layers:
        before = (links or {}).get(name, last)
        blobs = [blob(array, old=version < 2, **how) for array in arrays]
        linked = (
            protobuf.text(3 if version == 2 else 2, before),
            protobuf.text(4 if version == 2 else 3, name),
        )
        last = last if kind in ("Accuracy", "Silence", "Split") else name
        mine = (told or {}).get(name)
        within: list[Any] = []
        if mine is not None and version:
            number = MESSAGES[kind][version - 1]
            within = [protobuf.message(number, numbers(mine, FIELDS[kind]))]
        if version == 2:
            parts = [protobuf.text(1, name), protobuf.text(2, kind), *linked, *within]
            content += protobuf.message(100, *parts, *(protobuf.message(7, b) for b in blobs))
        elif version == 1:
            parts = [
                protobuf.text(4, name),
                protobuf.integer(5, V1.get(kind, 99)),
                *linked,
                *within,
            ]
            content += protobuf.message(2, *parts, *(protobuf.message(6, b) for b in blobs))
        else:
            inside = [protobuf.text(1, name), protobuf.text(2, V0.get(kind, kind.lower()))]
            inside += [protobuf.message(50, b) for b in blobs]
            inside += [numbers(mine or {}, V0_FIELDS)]
            content += protobuf.message(2, protobuf.message(1, *inside), *linked)
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
                kinds = {"norm": "LRN", "pool": "Pooling", "relu": "ReLU", "tanh": "TanH"}
                kind = kinds.get(one, one.capitalize())
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
    path = saved(tmp_path, encoded(layers_of(net), version, NUMBERS, **how))
    found = read(path, net.convention.name)
    assert not any("trust" in note for note in found.notes)
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
    assert "What follows its layers is taken on trust." in found.notes
    trusted = "does not tell: the numbers of conv1, conv2, conv3, conv4, conv5."
    assert any(note.endswith(trusted) for note in found.notes)
    wrong = encoded(layers_of(net, between=False), 2, {"conv2": {"kernel_size": 5}})
    with pytest.raises(IncompatibleError, match="conv2 has pad 0, not 2; conv2 has group 1, not 2"):
        read(saved(tmp_path, wrong))
    saved(tmp_path, encoded(layers_of(net, between=False), 2))
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
        "twice": ([*layers, layers[-2]], IncompatibleError, "twice"),
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
                             "conv1 is followed by relu, pool, not relu, norm, pool"),
        "one normalization": ([one for one in layers if one[0] != "norm2"], IncompatibleError,
                              "conv2 is followed by relu, pool, not relu, norm, pool"),
        "another order": ([*layers[:6], layers[7], layers[6], *layers[8:]], IncompatibleError,
                          "conv2 is followed by norm, relu, pool, not relu, norm, pool"),
        "no ReLU": ([one for one in layers if one[0] != "relu3"], IncompatibleError,
                    "conv3 is followed by nothing, not relu"),
        "one TanH": ([(n, "TanH" if n == "relu3" else kind, b) for n, kind, b in layers],
                     IncompatibleError, "conv3 is followed by tanh, not relu"),
        "layers exchanged": ([*layers[:-2], ("fc9", "InnerProduct", []), *layers[-2:]],
                             IncompatibleError, "fc7 is followed by relu, InnerProduct, not relu"),
        "before all": ([("scale", "Power", []), *layers], IncompatibleError,
                       "scale .Power. comes before any weights"),
        "transposed": ([(n, "Deconvolution" if n == "conv3" else kind, b) for n, kind, b in layers],
                       IncompatibleError, "conv3 is of type Deconvolution, not Convolution"),
        "softmax twice": ([*layers, layers[-1]], IncompatibleError,
                          "fc8 is followed by softmax, not nothing"),
        "no outputs": (changed(layers, "fc8", zeros[:0], zeros[0, :0]), IncompatibleError,
                       "fc8.weight is 0 x 3"),
        "tanh": ([*layers, ("tanh6", "TanH", [])], IncompatibleError,
                 "fc8 is followed by softmax, tanh, not nothing"),
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
    rest = encoded(LAYERS[:-2], 2)  # without fc8, whose place the wrong layer takes
    with pytest.raises(DataError, match="fc9, weight: 6 numbers for 2 x 4"):
        read(saved(tmp_path, rest + b"".join(layer)))


def test_shapes_of_many_dimensions_are_refused_at_once(tmp_path: Path) -> None:
    shape = protobuf.message(7, protobuf.packed_integers(1, [1] * 100_000))
    wrong = protobuf.message(7, shape, protobuf.packed_floats(5, np.zeros(1)))
    layer = protobuf.message(100, protobuf.text(1, "fc9"), protobuf.text(2, "InnerProduct"), wrong)
    start = time.process_time()
    with pytest.raises(DataError, match="fc9, weight: numbers in 100,000 dimensions"):
        read(saved(tmp_path, encoded(LAYERS[:-2], 2) + b"".join(layer)))
    assert time.process_time() - start < 2


OTHERS: list[tuple[str, dict[str, float], str]] = [
    ("conv1", {"kernel_size": 11, "stride": 2}, "conv1 has stride 2, not 4"),
    ("conv1", {"kernel_size": 11}, "conv1 has stride 1, not 4"),  # the schema's default
    ("conv1", {"kernel_size": 11, "stride": 4, "stride_w": 3}, "conv1 has stride 3, not 4"),
    ("conv1", {"kernel_h": 11, "kernel_w": 7, "stride": 4}, "conv1 has kernel_size 7, not 11"),
    ("conv3", {"kernel_size": 3}, "conv3 has pad 0, not 1"),
    ("conv3", {"kernel_size": 3, "pad": 1, "pad_h": 2}, "conv3 has pad 2, not 1"),
    ("conv4", {"kernel_size": 3, "pad": 1}, "conv4 has group 1, not 2"),
    (
        "conv5",
        {"kernel_size": 3, "pad": 1, "group": 2, "dilation": 2},
        "conv5 has dilation 2, not 1",
    ),
    ("fc7", {"transpose": 1}, "fc7 has transpose 1, not 0"),
    ("norm2", {"local_size": 5, "alpha": 0.5}, r"norm2 has alpha 0\.5, not 0\.0001"),
    ("norm2", {"local_size": 3, "alpha": 0.0001}, "norm2 has local_size 3, not 5"),
    ("norm1", {"alpha": 0.0001, "norm_region": 1}, "norm1 has norm_region 1, not 0"),
    ("norm1", {}, r"norm1 has alpha 1, not 0\.0001"),
    ("pool2", {"kernel_size": 2, "stride": 2}, "pool2 has kernel_size 2, not 3"),
    ("pool2", {"kernel_size": 3}, "pool2 has stride 1, not 2"),
    ("pool5", {"pool": 1, "kernel_size": 3, "stride": 2}, "pool5 has pool 1, not 0"),
    ("pool5", {"kernel_size": 3, "stride": 2, "pad": 1}, "pool5 has pad 1, not 0"),
    ("pool5", {"global_pooling": 1}, "pool5 has global_pooling 1, not 0"),
    ("relu6", {"negative_slope": 0.1}, r"relu6 has negative_slope 0\.1, not 0"),
]


@pytest.mark.parametrize(("name", "given", "message"), OTHERS)
def test_other_numbers_are_refused(
    name: str, given: dict[str, float], message: str, tmp_path: Path
) -> None:
    for version in (0, 1, 2):
        if version == 0 and (not given or not set(given) <= set(V0_FIELDS)):
            continue
        data = encoded(LAYERS, version, NUMBERS | {name: given})
        with pytest.raises(IncompatibleError, match=message):
            read(saved(tmp_path, data))


def test_numbers_that_are_there_and_empty_are_the_schemas(tmp_path: Path) -> None:
    packed = protobuf.message(118, protobuf.message(2, []), protobuf.message(1, []))
    norm = protobuf.message(100, protobuf.text(1, "norm9"), protobuf.text(2, "LRN"), packed)
    with pytest.raises(IncompatibleError, match=r"norm9 has alpha 1, not 0\.0001"):
        read(saved(tmp_path, encoded(LAYERS, 2) + b"".join(norm)))


@pytest.mark.parametrize("version", [0, 1, 2])
@pytest.mark.parametrize("kind", ["Sigmoid", "BNLL", "AbsVal", "Power", "Eltwise", "MVN", "Exp",
                                  "Concat", "Slice", "Blur"])  # fmt: skip
def test_layers_that_compute_something_else_are_refused(
    kind: str, version: int, tmp_path: Path
) -> None:
    layers = [(name, kind if name == "relu3" else old, blobs) for name, old, blobs in LAYERS]
    with pytest.raises(IncompatibleError, match=r"conv3 is followed by \w+, not relu"):
        read(saved(tmp_path, encoded(layers, version)))


def test_tanh_is_told_by_its_layers(tmp_path: Path) -> None:
    about = narrow("caffe").varied("tanh")
    net = network_of(about)
    for version in (0, 1, 2):
        found = read(saved(tmp_path, encoded(layers_of(net), version)))
        assert found.convention == net.convention
    weights = write_caffe(net, card_of(), tmp_path / "out")[0]
    assert read(weights).convention == net.convention


def test_layers_have_to_read_what_is_before_them(tmp_path: Path) -> None:
    layers = [*LAYERS[:5], ("split", "Split", []), *LAYERS[5:]]
    read(saved(tmp_path, encoded(layers, 2, links={"conv2": "split", "relu2": "conv2"})))
    with pytest.raises(IncompatibleError, match="conv2 reads norm1, not pool1"):
        read(saved(tmp_path, encoded(LAYERS, 2, links={"conv2": "norm1"})))
    exchanged = [*LAYERS[:9], *LAYERS[11:13], *LAYERS[9:11], *LAYERS[13:]]
    assert [one[0] for one in exchanged[9:13]] == ["conv4", "relu4", "conv3", "relu3"]
    with pytest.raises(IncompatibleError, match="in the order conv1, conv2, conv4, conv3"):
        read(saved(tmp_path, encoded(exchanged, 2)))


def test_layers_of_padding_are_part_of_the_next_convolution(tmp_path: Path) -> None:
    """As the first version had it: convolutions themselves had no padding."""
    layers: list[Layer] = []
    told = {name: dict(values) for name, values in NUMBERS.items()}
    for name, kind, blobs in LAYERS:
        if pad := told.get(name, {}).pop("pad", 0):
            layers.append((f"pad{name}", "Padding", []))
            told[f"pad{name}"] = {"pad": pad}
        layers.append((name, kind, blobs))
    read(saved(tmp_path, encoded(layers, 0, told)))
    told["padconv3"] = {"pad": 2}
    with pytest.raises(IncompatibleError, match="conv3 has pad 2, not 1"):
        read(saved(tmp_path, encoded(layers, 0, told)))


def test_interrupted_writing_leaves_the_old_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    write_caffe(network_of(narrow("caffe")), card_of(), out)
    before = {path: path.read_bytes() for path in out.iterdir()}

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(
        "alexnet.exchange.caffe_writer._net",
        lambda _: (b"new" if n < 2 else interrupt() for n in range(3)),
    )
    with pytest.raises(KeyboardInterrupt):
        write_caffe(network_of(narrow("caffenet")), card_of(), out)
    assert {path: path.read_bytes() for path in out.iterdir()} == before


def test_truncated_anywhere_it_is_refused(written: tuple[AlexNet, Path], tmp_path: Path) -> None:
    net, folder = written
    data = (folder / "model.caffemodel").read_bytes()
    for size in range(0, len(data), len(data) // 50):
        with pytest.raises((DataError, IncompatibleError)):
            read(saved(tmp_path, data[:size]), net.convention.name)


# --- Numbers as bytes -----------------------------------------------------------------------------

RAW = {"<f8": 0, "<f4": 1, "<f2": 2}


def raw_blob(
    array: np.ndarray, dtype: str, kind: int | None = None, cut: int = 0
) -> protobuf.Chunks:
    """A blob as NVIDIA's Caffe writes it, with gradients that are no weights."""
    kind = RAW[dtype] if kind is None else kind
    content = array.astype(dtype).tobytes()
    shape = protobuf.message(7, protobuf.packed_integers(1, array.shape))
    types = [*protobuf.integer(10, kind), *protobuf.integer(11, 1)]
    gradients = protobuf.message(13, [np.ones(array.size, "<f4").tobytes()])
    return [*gradients, *shape, *types, *protobuf.message(12, [content[: len(content) - cut]])]


@pytest.mark.parametrize("dtypes", [["<f8"], ["<f4"], ["<f2"], ["<f2", "<f4", "<f8"]])
def test_numbers_as_bytes_are_read_in_the_type_of_each_blob(dtypes: list[str]) -> None:
    kinds = itertools.cycle(dtypes)
    for shape in ((4, 3, 5, 5), (7,), (6, 8)):
        array = np.round(np.random.default_rng(0).normal(size=shape) * 64) / 64  # float16 has them
        data = b"".join(raw_blob(array, kind := next(kinds)))
        found = array_of(Message(memoryview(data), "file"), len(shape), "conv1")
        assert found.dtype == np.dtype(kind)
        np.testing.assert_array_equal(found, array)


@pytest.mark.parametrize(
    ("kind", "cut", "what"),
    [
        (1, 4, "11 numbers for 3 x 4"),
        (1, 3, "45 bytes of numbers of 4"),
        (0, 0, "6 numbers for 3 x 4"),  # float32 that is called DOUBLE
        (3, 0, "stored as INT"),
        (4, 0, "stored as UINT"),
        (5, 0, "stored as BOOL"),
        (6, 0, "unknown type 6"),
    ],
)
def test_bytes_that_are_not_the_numbers_are_refused(kind: int, cut: int, what: str) -> None:
    data = b"".join(raw_blob(np.ones((3, 4)), "<f4", kind, cut))
    with pytest.raises(DataError, match=what):
        array_of(Message(memoryview(data), "file"), 2, "conv1")


def test_two_fields_have_the_same_numbers_or_are_refused() -> None:
    array = np.array([1, 2, 3], np.float32)
    both = [*raw_blob(array, "<f2"), *protobuf.packed_floats(5, array)]
    np.testing.assert_array_equal(array_of(Message(memoryview(b"".join(both)), "f"), 1, "b"), array)
    both = [*raw_blob(array, "<f2"), *protobuf.packed_floats(5, array + 1)]
    with pytest.raises(DataError, match="different numbers"):
        array_of(Message(memoryview(b"".join(both)), "f"), 1, "b")


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


@pytest.mark.parametrize("dtype", ["<f2", "<f4", ">f4", "<f8", ">f8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_numpy_arrays_are_mean_images(dtype: str, order: Literal["C", "F"], tmp_path: Path) -> None:
    about = CONVENTIONS["caffe"]
    y, x = np.mgrid[: about.side, : about.side]
    mean_CHW = np.stack([100 + x % 7, 113 + y % 5, 120 + (x + y) % 3]).astype(dtype)
    mean_CHW = np.asarray(mean_CHW, order=order)
    expected = mean_CHW.astype(np.float32)[::-1].transpose(1, 2, 0)  # blue first
    path = tmp_path / "mean.npy"
    for array in (mean_CHW, mean_CHW[None]):
        np.save(path, array)
        np.testing.assert_array_equal(mean_image(str(path), about)[0], expected)
    for shape in ((3,), (3, 1, 1), (1, 3)):
        np.save(path, np.array([104, 117, 123], dtype).reshape(shape))
        assert mean_image(str(path), about)[0][5, 6].tolist() == [123, 117, 104]


@pytest.mark.parametrize(
    ("array", "kind", "message"),
    [
        (np.zeros((3, 227, 227)), IncompatibleError, "3 x 227 x 227; the network needs 3 x 256"),
        (np.zeros((3, 128, 512)), IncompatibleError, "3 x 128 x 512"),
        (np.zeros((256, 256, 3)), DataError, "256 x 256 x 3, not three maps"),
        (np.array([1, None, "x"], object), DataError, "Python objects"),
        (np.array([1, 2, 3j]), DataError, "no numbers, but complex"),
        (np.array([1, np.nan, 2]), UsageError, "too large"),
        (np.array([0.406, 0.456, 0.485]), UsageError, "from 0 to 1"),
    ],
)
def test_other_numpy_arrays_are_refused(
    array: np.ndarray, kind: type[Exception], message: str, tmp_path: Path
) -> None:
    np.save(tmp_path / "mean.npy", array, allow_pickle=True)
    with pytest.raises(kind, match=message):
        mean_image(str(tmp_path / "mean.npy"), CONVENTIONS["caffe"])


def test_an_archive_of_arrays_is_named_as_one(tmp_path: Path) -> None:
    np.savez(tmp_path / "mean.npz", mean=np.zeros((3, 256, 256)))
    with pytest.raises(DataError, match="an archive, maybe of several arrays"):
        mean_image(str(tmp_path / "mean.npz"), CONVENTIONS["caffe"])


def test_means_of_images_from_0_to_1_are_questioned() -> None:
    about, meant = CONVENTIONS["onetower"], "--mean 103.53,116.28,123.675"
    for given in ("0.406,0.456,0.485", "0.485,0.456,0.406"):  # blue first, and torchvision's order
        with pytest.raises(UsageError, match="from 0 to 1") as refused:
            mean_image(given, about)
        assert meant in refused.value.remedy
    with pytest.raises(UsageError, match="from 0 to 1") as refused:
        mean_image("0.5,0.4,1", about)
    assert "--mean 127.5,102,255" in refused.value.remedy
    assert mean_image("0,0,0", about)[0].max() == 0, "nothing is subtracted"
