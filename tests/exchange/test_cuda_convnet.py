"""Checkpoints of cuda-convnet against networks that compute straight from what is in them."""

from __future__ import annotations

import bz2
import gzip
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from exchange.checkpoints import (
    Stored,
    checkpoint,
    neuron,
    one_column,
    two_columns,
)
from exchange.conftest import narrow, network_of
from torch import Tensor

from alexnet.base.errors import DataError, IncompatibleError
from alexnet.conventions import CONVENTIONS
from alexnet.exchange import Imported, read_foreign
from alexnet.models.arrays import parameters_of
from alexnet.network import AlexNet

CIFAR = ("cifar13", "cifar11", "cifar18")


def save(tmp_path: Path, layers: Any, protocol: int = 2) -> Path:
    (tmp_path / "93.1999").write_bytes(checkpoint(layers, protocol))
    return tmp_path / "93.1999"


def read(path: Path, name: str = "original2012", **options: Any) -> Imported:
    about = narrow(name)
    if name in CIFAR:
        about = CONVENTIONS[name].with_kernels({"conv1": 8, "conv2": 8, "local3": 6, "local4": 4}
            if name != "cifar18" else {"conv1": 8, "conv2": 8, "conv3": 12})  # fmt: skip
    return read_foreign(path, known={**CONVENTIONS, name: about}, **options)


def net_of(name: str, variant: str = "") -> AlexNet:
    kernels = {"conv1": 8, "conv2": 8, "conv3": 12, "local3": 6, "local4": 4}
    about = CONVENTIONS[name]
    mine = {row.name: kernels[row.name] for row in about.layers if row.name in kernels}
    about = about.with_kernels(mine) if name in CIFAR else narrow(name)
    return network_of(about.varied(variant), 0.6, classes=10)


# --- Against the same networks, computed from the matrices themselves -----------------------------


def patches(x_NCHW: Tensor, size: int, stride: int, padding: int) -> Tensor:
    """N x places x C*S*S: every window, its maps one after another."""
    return F.unfold(x_NCHW, size, padding=padding, stride=stride).transpose(1, 2)


def products(x_NCHW: Tensor, layer: Stored, size: int, stride: int, padding: int, n: int) -> Tensor:
    """A shared convolution by matrix products: of input number n."""
    y_NPK = patches(x_NCHW, size, stride, padding) @ torch.from_numpy(layer["weights"][n])
    side = int(y_NPK.shape[1] ** 0.5)
    return y_NPK.transpose(1, 2).reshape(len(x_NCHW), -1, side, side)


def biased(y_NCHW: Tensor, layer: Stored) -> Tensor:
    return y_NCHW + torch.from_numpy(layer["biases"]).reshape(-1, 1, 1)


def across(x: Tensor, n: int, scale: float, k: float) -> Tensor:
    return F.local_response_norm(x, n, scale * n, 0.75, k)


def within(x: Tensor, n: int, scale: float) -> Tensor:
    squares = F.avg_pool2d(x.square(), n, 1, n // 2, count_include_pad=True) * n * n
    return x / (1 + scale * squares) ** 0.75


def two_columns_computed(layers: dict[str, Stored], x: Tensor) -> Tensor:
    """The program's ImageNet net, each column a network of its own."""
    x = F.pad(x, (0, 3, 0, 3))
    ones, threes, fours = {}, {}, {}
    for c in "ab":
        y = biased(products(x, layers[f"conv1{c}"], 11, 4, 0, 0), layers[f"conv1{c}"])
        y = F.relu(F.max_pool2d(across(y, 5, 2e-5, 2), 3, 2))
        y = F.relu(biased(products(y, layers[f"conv2{c}"], 5, 1, 2, 0), layers[f"conv2{c}"]))
        y = within(across(y, 5, 2e-5, 2), 5, 0.001 / 25)
        ones[c] = F.max_pool2d(y, 3, 2)
    for c in "ab":
        layer = layers[f"conv3{c}"]
        order = [name[-1] for name in layer["inputs"]]
        y = sum(products(ones[of], layer, 3, 1, 1, n) for n, of in enumerate(order))
        threes[c] = F.relu(biased(y, layer))  # type: ignore[arg-type]
    for c in "ab":
        y = F.relu(
            biased(products(threes[c], layers[f"conv4{c}"], 3, 1, 1, 0), layers[f"conv4{c}"])
        )
        y = biased(products(y, layers[f"conv5{c}"], 3, 1, 1, 0), layers[f"conv5{c}"])
        fours[c] = F.relu(F.max_pool2d(y, 3, 2)).flatten(1)
    for stage in ("fc6", "fc7"):
        fours = {c: F.relu(connected(layers[f"{stage}{c}"], fours)) / 2 for c in "ab"}
    return connected(layers["fc8"], fours)


def connected(layer: Stored, columns: dict[str, Tensor]) -> Tensor:
    order = [name[-1] for name in layer["inputs"]]
    sums = [columns[c] @ torch.from_numpy(layer["weights"][n]) for n, c in enumerate(order)]
    return sum(sums) + torch.from_numpy(layer["biases"])  # type: ignore[return-value]


@pytest.mark.parametrize("swapped", [False, True])
def test_two_columns_compute_what_the_checkpoint_does(
    swapped: bool, tmp_path: Path, pixels: Callable[[int], np.ndarray]
) -> None:
    net = net_of("original2012")
    layers = two_columns(net, swapped)
    x_NCHW = torch.from_numpy(pixels(224) - 117).permute(0, 3, 1, 2)
    expected = two_columns_computed(layers, x_NCHW)
    assert expected.std(0).max() > 0.01
    found = read(save(tmp_path, layers))
    assert found.convention.name == "original2012" and len(found.classes) == 10
    with torch.no_grad():
        torch.testing.assert_close(found.network()(x_NCHW), expected, rtol=1e-4, atol=1e-4)
    for key, array in parameters_of(net).items():
        np.testing.assert_array_equal(found.arrays[key], array)
    assert any("conv3a and conv3b: our conv3" in note for note in found.notes)


def cifar_computed(layers: list[Stored], x: Tensor) -> Tensor:
    """A CIFAR net layer by layer as listed, unshared filters by one product at each place."""
    made: list[Any] = [x, None]
    for layer in layers[2:-1]:
        y = made[layer["inputs"][0]]
        match layer["type"]:
            case "conv":
                pad = -layer["padding"][0]
                y = biased(products(y, layer, layer["filterSize"][0], 1, pad, 0), layer)
            case "local":
                rows = patches(y, 3, 1, 1)
                N, P, _ = rows.shape
                filters = torch.from_numpy(layer["weights"][0]).reshape(P, rows.shape[2], -1)
                y = torch.stack([rows[:, p] @ filters[p] for p in range(P)], 2).flatten(1)
                side = int(P**0.5)
                y = (y + torch.from_numpy(layer["biases"]).reshape(-1)).reshape(N, -1, side, side)
            case "fc":
                weights = torch.from_numpy(layer["weights"][0])
                y = y.flatten(1) @ weights + torch.from_numpy(layer["biases"])
            case "pool":
                pool = F.avg_pool2d if layer["pool"] == "avg" else F.max_pool2d
                y = pool(y, 3, 2, ceil_mode=True)
            case "cmrnorm":
                y = across(y, layer["size"], layer["scale"], 1)
            case "rnorm":
                y = within(y, layer["size"], layer["scale"])
            case "neuron":
                y = {"relu": F.relu, "tanh": torch.tanh}[layer["neuron"]["type"]](y)
        made.append(y)
    return made[-1]


@pytest.mark.parametrize("name", CIFAR)
@pytest.mark.parametrize("variant", ["", "tanh"])
def test_cifar_nets_compute_what_the_checkpoint_does(
    name: str, variant: str, tmp_path: Path, pixels: Callable[[int], np.ndarray]
) -> None:
    net = net_of(name, variant)
    layers = one_column(net)
    x_NCHW = torch.from_numpy(pixels(net.convention.crop) - 120).permute(0, 3, 1, 2)
    expected = cifar_computed(layers, x_NCHW)
    found = read(save(tmp_path, layers), name)
    assert found.convention == net.convention and found.statistics["mean"].shape == (32, 32, 3)
    with torch.no_grad():
        torch.testing.assert_close(found.network()(x_NCHW), expected, rtol=1e-4, atol=1e-4)
    for key, array in parameters_of(net).items():
        np.testing.assert_array_equal(found.arrays[key], array)


def test_the_full_cifar_nets_are_told_apart(tmp_path: Path) -> None:
    for name in CIFAR:
        net = network_of(CONVENTIONS[name], classes=10)
        assert read_foreign(save(tmp_path, one_column(net))).convention.name == name


# --- Ways of storing ------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", [0, 1, 2, 4, 5])
def test_every_protocol_is_read(protocol: int, tmp_path: Path) -> None:
    net = net_of("cifar13")
    found = read(save(tmp_path, one_column(net), protocol), "cifar13")
    np.testing.assert_array_equal(
        found.arrays["local3.weight"], parameters_of(net)["local3.weight"]
    )


def test_compressed_checkpoints_are_read(tmp_path: Path) -> None:
    net = net_of("cifar13")
    data = checkpoint(one_column(net))
    (tmp_path / "1.gz").write_bytes(gzip.compress(data))
    (tmp_path / "1.bz2").write_bytes(bz2.compress(data))
    with zipfile.ZipFile(tmp_path / "1.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("data", data)
    for path in tmp_path.iterdir():
        np.testing.assert_array_equal(
            read(path, "cifar13").arrays["fc5.bias"], parameters_of(net)["fc5.bias"]
        )


def python_2(value: Any) -> bytes:
    """A pickle with the operations that Python 2 wrote: texts of bytes, arrays with theirs inside."""

    def text(data: bytes) -> bytes:
        return b"T" + len(data).to_bytes(4, "little") + data

    def one(value: Any) -> bytes:
        match value:
            case str():
                return text(value.encode())
            case bool() | int():
                return b"J" + int(value).to_bytes(4, "little", signed=True)
            case float():
                return b"F%r\n" % value
            case list():
                return b"](" + b"".join(map(one, value)) + b"e"
            case tuple():
                return b"(" + b"".join(map(one, value)) + b"t"
            case dict():
                return b"}(" + b"".join(one(k) + one(v) for k, v in value.items()) + b"u"
            case np.ndarray():
                columns = not value.flags.c_contiguous
                data = value.tobytes("F" if columns else "C")
                made = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\0tU\1btR"
                kind = b"cnumpy\ndtype\n(U\2f4K\0K\1tR(K\3U\1<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb"
                shape = one(value.shape)
                flag = b"\x88" if columns else b"\x89"
                return made + b"(K\1" + shape + kind + flag + text(data) + b"tb"
        raise AssertionError(value)

    return b"\x80\2" + one(value) + b"."


def test_texts_and_arrays_of_python_2_are_read(tmp_path: Path) -> None:
    net = net_of("cifar11")
    path = tmp_path / "350.5"
    path.write_bytes(python_2({"model_state": {"layers": one_column(net)}, "op": 1}))
    found = read(path, "cifar11")
    for key, array in parameters_of(net).items():
        np.testing.assert_array_equal(found.arrays[key], array)


def test_names_of_the_first_versions_are_read(tmp_path: Path) -> None:
    net = net_of("cifar11")
    layers = one_column(net, ("rnorm", "rnorm"))  # with crossMap
    for layer in layers:
        if layer["type"] == "conv":
            layer["weights"] = layer["weights"][0]
    assert read(save(tmp_path, layers), "cifar11").convention.name == "cifar11"


@pytest.mark.parametrize("left_behind", [False, True])
def test_neurons_may_be_named_by_the_layer_itself(left_behind: bool, tmp_path: Path) -> None:
    """As in the first versions; cuda-convnet2 makes a layer of the neuron and leaves the name behind."""
    layers = one_column(net_of("cifar11", "tanh"))
    before = {n: one["inputs"][0] for n, one in enumerate(layers) if one["type"] == "neuron"}
    for own, n in before.items():
        layers[n]["neuron"] = "tanh[1.0, 1.0]" if left_behind else layers[own]["neuron"]
    if not left_behind:
        kept = [n for n in range(len(layers)) if n not in before]
        layers = [dict(layers[n]) for n in kept]
        for layer in layers[2:]:
            layer["inputs"] = [kept.index(before.get(n, n)) for n in layer["inputs"]]
    found = read(save(tmp_path, layers), "cifar11").convention
    assert (found.name, found.nonlinearity) == ("cifar11", "tanh")


def test_a_neuron_may_stand_behind_max_pooling(tmp_path: Path) -> None:
    layers = one_column(net_of("cifar18"))  # as the program's own description of this net has it
    relu, pool = layers[3], layers[4]
    relu["type"], relu["neuron"], pool["neuron"] = "neuron", neuron("ident"), neuron("relu")
    assert read(save(tmp_path, layers), "cifar18").convention.name == "cifar18"
    layers[8]["pool"], layers[8]["neuron"] = "avg", neuron("relu")  # of an average it is another
    layers[7]["neuron"] = neuron("ident")
    with pytest.raises(IncompatibleError, match="conv2 is followed by average pool, relu"):
        read(save(tmp_path, layers), "cifar18")


def test_dropout_that_the_file_does_not_tell_is_noted(tmp_path: Path) -> None:
    layers = two_columns(net_of("original2012"))
    trusted = "Taken on trust, for the file does not tell: the dropout of original2012."
    assert trusted not in read(save(tmp_path, layers)).notes
    for name in [name for name in layers if name.startswith("dropout")]:
        layers[name] |= {"type": "neuron", "neuron": neuron("ident")}
    assert trusted in read(save(tmp_path, layers)).notes


def test_a_network_that_is_named_may_have_neurons_elsewhere_which_is_noted(tmp_path: Path) -> None:
    layers = two_columns(net_of("original2012"))
    _neuron_first(layers)
    found = read(save(tmp_path, layers), source="original2012")
    assert any("differs: conv1b is followed by relu, norm, pool" in note for note in found.notes)


def test_mean_and_classes_come_from_batches_meta(tmp_path: Path) -> None:
    net, rng = net_of("cifar13"), np.random.default_rng(0)
    mean_CHW = rng.uniform(0, 255, (3, 32, 32)).astype(np.float32)
    names = [f"animal {n}" for n in range(10)]
    meta = {"data_mean": mean_CHW.reshape(-1, 1), "label_names": names, "num_vis": 3072}
    for n, data in enumerate((python_2(meta), pickle.dumps(meta, 2))):
        (tmp_path / f"batches.meta{n}").write_bytes(data)
        path = save(tmp_path, one_column(net))
        given = tmp_path / f"batches.meta{n}"
        found = read(path, "cifar13", mean=str(given), classes=given)
        np.testing.assert_array_equal(found.statistics["mean"], mean_CHW.transpose(1, 2, 0))
        assert found.classes == tuple(names)


# --- What does not fit ----------------------------------------------------------------------------


def _neuron_first(layers: dict[str, Stored]) -> None:
    """ReLU before normalization in the first layer, as the paper has it and the program has not."""
    for column in "ab":
        layers[f"normconv1{column}"]["inputs"] = [f"reluconv1{column}"]
        layers[f"reluconv1{column}"]["inputs"] = [f"conv1{column}"]
        layers[f"conv2{column}"]["inputs"] = [f"poolconv1{column}"]


def _changes() -> dict[str, tuple[Callable[[dict[str, Stored]], Any], type[Exception], str]]:
    def of(layer: str, /, **changes: Any) -> Callable[[dict[str, Stored]], Any]:
        return lambda layers: layers[layer].update(changes)

    small, wide = np.zeros((3, 3), np.float32), np.zeros((9, 9), np.int32)
    return {
        "shape": (of("conv2a", weights=[small]), IncompatibleError,
                  "conv2a is 3 x 3 float32, not 100 x 4"),
        "kind": (of("conv2a", weights=[wide]), IncompatibleError, "conv2a is 9 x 9 int32"),
        "no weights": (of("conv2b", weights=None), IncompatibleError, "conv2b has no matrix"),
        "an empty list": (of("conv2b", weights=[]), IncompatibleError, "conv2b has no matrix"),
        "three matrices": (of("conv2a", weights=[small] * 3), IncompatibleError,
                           "conv2a has 3 matrices for 4 inputs"),
        "three columns": (lambda layers: layers.update(conv1c=layers["conv1a"] | {"name": "conv1c"}),
                          IncompatibleError, "conv1a and conv1b and conv1c"),
        "biases": (of("fc6a", biases=small), IncompatibleError, "fc6a has 9 biases, not 5"),
        "no biases": (of("fc6a", biases=[1]), IncompatibleError, "fc6a has no biases"),
        "crossed": (of("conv4a", inputs=["reluconv3b"]), IncompatibleError,
                    "conv4a reads conv3b, not conv3a"),
        "stride": (of("conv1a", stride=[3]), IncompatibleError, "conv1a has stride 3, not 4"),
        "one side": (lambda layers: layers.pop("fc7b"), DataError, "missing"),
        "a circle": (of("conv1a", inputs=["probs"]), DataError, "circle"),
        "no layer": (of("conv1a", inputs=["nothing"]), DataError, "missing"),
        "inputs": (of("conv1a", inputs=[None]), DataError, "inputs"),
        "type": (of("normconv1a", type="blur"), DataError, "'blur'"),
        "order": (of("normconv1a", type="rnorm"), IncompatibleError,
                  "conv1a is followed by norm within, relu, pool, not norm, relu, pool"),
        "in the second column": (of("normconv1b", type="rnorm"), IncompatibleError,
                                 "conv1b is followed by norm within"),
        "contrast": (of("normwithinconv2a", type="cnorm"), IncompatibleError,
                     "conv2a is followed by relu, norm, contrast normalization, pool"),
        "blocks of maps": (of("normconv1a", blocked=True), IncompatibleError,
                           "normconv1a has blocked 1, not 0"),
        "maxabs": (of("poolconv1a", pool="maxabs"), IncompatibleError,
                   "conv1a is followed by norm, pooling 'maxabs', relu"),
        "no pooling told": (lambda layers: layers["poolconv5b"].pop("pool"), IncompatibleError,
                            "conv5b is followed by pooling 'None', relu"),
        "a logistic": (of("reluconv3a", neuron=neuron("logistic")), IncompatibleError,
                       "conv3a is followed by logistic, not relu"),
        "a scaled tanh": (of("reluconv3a", neuron=neuron("tanh") | {"params": {"a": 1.7, "b": 0.5}}),
                          IncompatibleError, r"conv3a is followed by tanh\[1.7,0.5\], not relu"),
        "one tanh": (of("reluconv3a", neuron=neuron("tanh")), IncompatibleError,
                     "conv3a is followed by tanh, not relu"),
        "an unknown neuron": (lambda layers: layers["reluconv3a"].pop("neuron"), IncompatibleError,
                              "conv3a is followed by an unknown one, not relu"),
        "no neuron": (of("reluconv3a", neuron=neuron("ident")), IncompatibleError,
                      "conv3a is followed by nothing, not relu"),
        "a neuron too many": (of("fc8", neuron="relu"), IncompatibleError,
                              "fc8 is followed by relu, not nothing"),
        "the neuron first": (_neuron_first, IncompatibleError,
                             "conv1a is followed by relu, norm, pool, not norm, relu, pool"),
        "dropout": (of("dropoutfc6a", keep=0.6), IncompatibleError,
                    r"dropoutfc6a has keep 0\.6, not 0\.5"),
        "no dropout": (of("dropoutfc6a", type="neuron", neuron="ident"), IncompatibleError,
                       "fc6a has no dropout"),
        "more dropout": (of("conv5a", dropout=0.5), IncompatibleError, "conv5a has dropout"),
        "another share": (of("fc7b", dropout=0.25), IncompatibleError, r"fc7b has dropout 0\.25"),
        "past what follows": (of("conv2a", inputs=["poolconv1a"]), DataError,
                              "'conv2a' reads 'poolconv1a'; .* 'conv1a' is 'reluconv1a'"),
        "a fork": (of("reluconv1a", inputs=["conv1a"]), DataError, "reads 'conv1a'; the last"),
        "two types": (of("conv3b", type="local"), IncompatibleError, "are not those of"),
        "a stride of 603 digits": (of("conv1a", stride=2**2000), IncompatibleError,
                                   "conv1a has stride inf, not 4"),
        "another stride": (of("conv3a", stride=[1, 2]), IncompatibleError, "conv3a has stride 2"),
        "norm": (of("normconv1a", scale=0.5), IncompatibleError, "scale 0.5, not 2e-05"),
        "no name": (of("conv1a", name=3), DataError, "without a name"),
        "the same name": (of("conv1a", name="conv1b"), DataError, "one name"),
        "not finite": (lambda layers: layers["fc8"]["biases"].fill(np.inf), DataError, "finite"),
    }  # fmt: skip


@pytest.mark.parametrize("name", _changes())
def test_what_does_not_fit_is_refused(name: str, tmp_path: Path) -> None:
    change, kind, message = _changes()[name]
    layers = two_columns(net_of("original2012"))
    change(layers)
    path = save(tmp_path, layers)
    with pytest.raises(kind, match=message) as refused:
        read(path)
    assert refused.value.where == str(path)  # type: ignore[attr-defined]


def test_a_network_that_is_named_may_differ_in_what_follows_its_layers(tmp_path: Path) -> None:
    layers = two_columns(net_of("original2012"))
    layers["normconv1a"]["scale"] = 0.5
    found = read(save(tmp_path, layers), source="original2012")
    assert any("differs: normconv1a has scale 0.5" in note for note in found.notes)


@pytest.mark.parametrize("value", [[], {}, {"model_state": {}}, {"model_state": {"layers": []}}, 1,
                                   {"model_state": {"layers": [1] * 1000}}])  # fmt: skip
def test_pickles_of_other_things_are_refused(value: Any, tmp_path: Path) -> None:
    (tmp_path / "p").write_bytes(pickle.dumps(value, 2))
    with pytest.raises(DataError, match="checkpoint of cuda-convnet"):
        read(tmp_path / "p")


def test_three_columns_are_no_halves_even_of_a_network_that_is_named(tmp_path: Path) -> None:
    layers = two_columns(net_of("original2012"))
    layers["conv1c"] = layers["conv1a"] | {"name": "conv1c"}
    with pytest.raises(IncompatibleError, match="conv1a and conv1b and conv1c are no halves"):
        read(save(tmp_path, layers), source="original2012")
