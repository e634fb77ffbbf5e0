"""Every convention against itself written down again, and its fast path against its plain one."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from alexnet import paper
from alexnet.base.errors import UsageError
from alexnet.base.randomness import Purpose, bernoulli
from alexnet.config import StartConfig
from alexnet.conventions import (
    ALEXNET6,
    CAFFE,
    CAFFENET,
    CIFAR11,
    CIFAR18,
    CONVENTIONS,
    ONETOWER,
    ORIGINAL2012,
    PAPER,
    Convention,
    convention,
)
from alexnet.network import AlexNet, fused
from alexnet.network.columns import Columns
from alexnet.network.compare import differences, properties
from alexnet.network.dropout import address, masks_of
from alexnet.network.local import locally_connected
from alexnet.network.reference import normalize_within
from alexnet.network.table import shapes
from alexnet.paper import Normalization

CONVS = ("conv1", "conv2", "conv3", "conv4", "conv5", "conv6", "local3", "local4", "fc6", "fc7")
NARROW = dict.fromkeys(CONVS, 32)
VARIED = (
    PAPER.varied("no norm"),
    PAPER.varied("no conv3, pool 2/2"),
    PAPER.varied("no conv5, no fc7, no dropout"),
    CIFAR11.varied("pool 2/2"),
    CIFAR11.varied("no norm, no local4"),
)
START = StartConfig(rule="he", gain=0.7, bias=0.5)


def narrow(about: Convention, **more: int) -> AlexNet:
    return AlexNet(5, about.with_kernels({**NARROW, **more}), START, seed=1).eval()


def pixels(about: Convention, images: int = 2, seed: int = 0) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return 60 * torch.randn(images, 3, about.crop, about.crop, generator=draw)


def lrn(x: Tensor, about: Convention, groups: int) -> Tensor:
    """PyTorch's own, whose alpha is divided by n."""
    k, n, alpha, beta = about.norm
    parts = [F.local_response_norm(part, n, alpha * n, beta, k) for part in x.chunk(groups, 1)]
    return torch.cat(parts, 1)


@pytest.mark.parametrize("about", CONVENTIONS.values(), ids=lambda one: one.name)
def test_sizes_are_those_of_the_table(about: Convention) -> None:
    for row in shapes(about):
        assert row.outputs == (row.layer.kernels, row.layer.output, row.layer.output)
    built = AlexNet(5, about.with_kernels({"fc6": 8, "fc7": 8}))
    assert sum(w.numel() for w in built.parameters()) == sum(r.parameters for r in built.shapes)


def test_parameters_are_the_published_ones() -> None:
    counts = {name: sum(r.parameters for r in shapes(one)) for name, one in CONVENTIONS.items()}
    assert {counts[n] for n in ("paper", "original2012", "caffe", "caffenet")} == {60_965_224}
    assert counts["onetower"] == 61_100_840
    assert counts["alexnet6"] - counts["paper"] == 256 * (3 * 3 * 256 + 1)


def gradients_of(net: AlexNet, x: Tensor, training: bool) -> tuple[Tensor, dict[str, Tensor]]:
    """Logits, and the gradients of the loss, in one mode; masks are those of one step."""
    net.zero_grad()
    with masks_of(net.train(training), address(3, 7)):
        logits = net(x)
    F.cross_entropy(logits, torch.tensor([1, 3])).backward()
    return logits.detach(), {
        name: w.grad for name, w in net.named_parameters() if w.grad is not None
    }


def distance(one: Tensor, other: Tensor) -> float:
    """Relative, in the Euclidean norm."""
    return ((one.double() - other.double()).norm() / other.double().norm()).item()


@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize(
    "about", [*CONVENTIONS.values(), *VARIED], ids=lambda one: f"{one.name} {one.variant}".strip()
)
def test_fast_and_plain_path_agree(about: Convention, training: bool) -> None:
    """Both differ from exact arithmetic by rounding, the fast one by few times PyTorch's own."""
    fast, x = narrow(about), pixels(about)
    plain = copy.deepcopy(fast)
    plain.fast = False
    exact = copy.deepcopy(plain).double()
    logits, gradients = gradients_of(exact, x.double(), training)
    theirs_logits, theirs = gradients_of(plain, x, training)
    ours_logits, ours = gradients_of(fast, x, training)
    assert fused.applies(fast, x) and not fused.applies(plain, x)
    assert distance(ours_logits, logits) < 20 * distance(theirs_logits, logits) + 1e-6
    assert ours.keys() == theirs.keys() == gradients.keys()
    for name, exactly in gradients.items():
        # Rounding decides some maxima and some ReLUs another way, in either path.
        gap = distance(ours[name], exactly)
        assert gap < min(0.02, 20 * distance(theirs[name], exactly) + 1e-3), name


@pytest.mark.parametrize("about", [PAPER, ONETOWER, CIFAR11], ids=lambda one: one.name)
def test_both_paths_drop_what_pytorchs_generator_says(about: Convention) -> None:
    net, x = narrow(about).train(), pixels(about)
    found = []
    for net.fast in (True, False):
        torch.manual_seed(5)
        found.append(net(x).detach())
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-4)
    again = net(x)
    assert torch.equal(again, net.eval()(x)) == (not about.drops_out)


def test_the_original_program_written_out() -> None:
    net = narrow(ORIGINAL2012).double()
    x, p = pixels(ORIGINAL2012).double(), dict(net.named_parameters())

    def conv(x: Tensor, name: str, groups: int, **geometry: int) -> Tensor:
        return F.conv2d(x, p[f"{name}.weight"], p[f"{name}.bias"], groups=groups, **geometry)

    def within(x: Tensor) -> Tensor:
        sums = 25 * F.avg_pool2d(x**2, 5, 1, 2, count_include_pad=True)
        return x / (1 + 0.001 / 25 * sums) ** 0.75

    y = conv(F.pad(x, (0, 3, 0, 3)), "conv1", 1, stride=4)
    y = F.relu(F.max_pool2d(lrn(y, ORIGINAL2012, 2), 3, 2))
    y = F.relu(conv(y, "conv2", 2, padding=2))
    y = F.max_pool2d(within(lrn(y, ORIGINAL2012, 2)), 3, 2)
    y = F.relu(conv(y, "conv3", 1, padding=1))
    y = F.relu(conv(y, "conv4", 2, padding=1))
    y = F.relu(F.max_pool2d(conv(y, "conv5", 2, padding=1), 3, 2)).flatten(1)
    for name in ("fc6", "fc7"):
        y = F.relu(F.linear(y, p[f"{name}.weight"], p[f"{name}.bias"])) / 2
    y = F.linear(y, p["fc8.weight"], p["fc8.bias"])
    torch.testing.assert_close(net(x), y)
    assert net.activation_names[:4] == ["conv1.pre", "norm1", "pool1", "conv1"]
    assert "norm2_within" in net.activation_names


@pytest.mark.parametrize("about", [CAFFE, CAFFENET], ids=lambda one: one.name)
def test_caffes_written_out(about: Convention) -> None:
    net = narrow(about).double()
    x, p = pixels(about).double(), dict(net.named_parameters())

    def conv(x: Tensor, name: str, groups: int, **geometry: int) -> Tensor:
        return F.relu(
            F.conv2d(x, p[f"{name}.weight"], p[f"{name}.bias"], groups=groups, **geometry)
        )

    def first_layers(y: Tensor) -> Tensor:
        if about is CAFFE:
            return F.max_pool2d(lrn(y, about, 1), 3, 2)
        return lrn(F.max_pool2d(y, 3, 2), about, 1)

    y = first_layers(conv(x, "conv1", 1, stride=4))
    y = first_layers(conv(y, "conv2", 2, padding=2))
    y = conv(conv(y, "conv3", 1, padding=1), "conv4", 2, padding=1)
    y = F.max_pool2d(conv(y, "conv5", 2, padding=1), 3, 2).flatten(1)
    for name in ("fc6", "fc7"):
        y = F.relu(F.linear(y, p[f"{name}.weight"], p[f"{name}.bias"]))
    torch.testing.assert_close(net(x), F.linear(y, p["fc8.weight"], p["fc8.bias"]))
    assert about.norm == Normalization(k=1.0, n=5, alpha=1e-4 / 5, beta=0.75)


def test_one_tower_is_plain_modules_and_drops_before_the_hidden_layers() -> None:
    net = narrow(ONETOWER)
    p = dict(net.named_parameters())
    x, masks = pixels(ONETOWER), {}
    for lane, (name, units) in {4: ("conv5", 32 * 36), 5: ("fc6", 32)}.items():
        drawn = bernoulli((2, units), 0.5, 3, Purpose.DROPOUT, 7, lane)
        masks[name] = 2 * torch.from_numpy(drawn)  # inverted

    def written_out(training: bool) -> Tensor:
        y = x / torch.tensor([0.229, 0.224, 0.225])[:, None, None] / 255
        for name, stride, padding in (("conv1", 4, 2), ("conv2", 1, 2)):
            y = F.conv2d(y, p[f"{name}.weight"], p[f"{name}.bias"], stride, padding)
            y = F.max_pool2d(F.relu(y), 3, 2)
        for name in ("conv3", "conv4", "conv5"):
            y = F.relu(F.conv2d(y, p[f"{name}.weight"], p[f"{name}.bias"], padding=1))
        y = F.max_pool2d(y, 3, 2).flatten(1)
        for before, name in (("conv5", "fc6"), ("fc6", "fc7")):
            y = y * masks[before] if training else y
            y = F.relu(F.linear(y, p[f"{name}.weight"], p[f"{name}.bias"]))
        return F.linear(y, p["fc8.weight"], p["fc8.bias"])

    torch.testing.assert_close(net(x), written_out(False), rtol=1e-4, atol=1e-4)
    with masks_of(net.train(), address(3, 7)):
        torch.testing.assert_close(net(x), written_out(True), rtol=1e-4, atol=1e-4)


def test_dropout_of_tanh_keeps_what_is_negative() -> None:
    net = narrow(PAPER.varied("tanh"))
    x, p = pixels(PAPER), dict(net.named_parameters())
    assert not any("relu" in layer.followed_by for layer in net.layers)
    y = net.activations(x, ["pool5"])["pool5"].flatten(1)
    for lane, name in ((5, "fc6"), (6, "fc7")):
        y = F.tanh(F.linear(y, p[f"{name}.weight"], p[f"{name}.bias"]))
        assert (y < 0).any()
        y = y * torch.from_numpy(bernoulli((2, 32), 0.5, 3, Purpose.DROPOUT, 7, lane))
    expected = F.linear(y, p["fc8.weight"], p["fc8.bias"])
    with masks_of(net.train(), address(3, 7)):
        torch.testing.assert_close(net(x), expected, rtol=1e-4, atol=1e-4)


def parameters(about: Convention) -> int:
    return sum(row.parameters for row in shapes(about))


def test_variants_change_what_they_say() -> None:
    assert PAPER.varied("") == PAPER and PAPER.varied(" no  norm ,tanh ").variant == "no norm, tanh"
    assert [one.followed_by for one in PAPER.varied("no norm").layers][:3] == [
        *(("relu", "pool"), ("relu", "pool"), ("relu",))
    ]
    assert not PAPER.varied("no dropout").drops_out
    assert [one.bias for one in CIFAR11.varied("ones").layers] == [0, 1, 1, 1, 0]
    for about in (PAPER, CIFAR11):  # section 3.4: the same sizes
        assert [row.pooled for row in shapes(about.varied("pool 2/2"))] == [
            row.pooled for row in shapes(about)
        ]
    without = PAPER.varied("no conv4")
    assert parameters(PAPER) - parameters(without) == 663_936
    without = PAPER.varied("no conv5")  # its pooling stays, for 384 maps now
    assert [row.pooled for row in shapes(without)][3] == (384, 6, 6)
    without = PAPER.varied("no conv3")  # the exchange stays: conv4 sees all 256 maps of conv2
    assert without.layers[2].sees == "both columns"
    assert shapes(without)[2].parameters == 384 * (3 * 3 * 256 + 1)
    assert PAPER.varied("no conv3, no conv4").layers[2].name == "conv5"
    wide = PAPER.varied("width 0.1")
    assert [one.kernels for one in wide.layers] == [10, 26, 38, 38, 26, 410, 410, 1000]


@pytest.mark.parametrize(
    "variant", ["gelu", "no conv1", "no fc8", "no conv2", "no pool", "pool 9/1", "width 0", "no"]
)
def test_variants_that_do_not_exist_are_refused(variant: str) -> None:
    with pytest.raises(UsageError, match=f"no variant '{variant}' of paper") as refused:
        PAPER.varied(f"tanh, {variant}")
    known = refused.value.remedy.removeprefix("Known: ").split(", ")
    assert "no conv4" in known and all(PAPER.varied(one) for one in known)


def test_locally_connected_layers_have_kernels_of_their_own_at_each_place() -> None:
    (row,) = (
        row for row in shapes(CIFAR11.with_kernels({"local3": 2})) if row.layer.name == "local3"
    )
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 64, 6, 6))
    weight = rng.standard_normal(row.weight_shape)
    bias = rng.standard_normal(row.kernels)
    assert weight.shape == (2, 64, 3, 3, 6, 6) and bias.shape == (2 * 36,)
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    expected = np.empty((2, 2, 6, 6))
    for n, k, i, j in np.ndindex(*expected.shape):
        window = padded[n, :, i : i + 3, j : j + 3]
        expected[n, k, i, j] = (window * weight[k, :, :, :, i, j]).sum() + bias[36 * k + 6 * i + j]
    tensors = (torch.from_numpy(one) for one in (x, weight, bias))
    np.testing.assert_allclose(locally_connected(*tensors, row.layer.padding), expected)


def test_normalization_within_a_map_sums_over_places() -> None:
    a = np.random.default_rng(0).standard_normal((1, 2, 5, 4)) * 100
    rule = CIFAR18.within
    expected = np.empty_like(a)
    for n, c, y, x in np.ndindex(*a.shape):
        window = a[n, c, max(0, y - 1) : y + 2, max(0, x - 1) : x + 2]
        expected[n, c, y, x] = a[n, c, y, x] / (1 + 0.00005 / 9 * (window**2).sum()) ** 0.75
    np.testing.assert_allclose(normalize_within(torch.from_numpy(a), rule), expected)


def test_windows_over_the_edge_are_pooled_from_what_is_inside() -> None:
    found = narrow(CIFAR18).activations(pixels(CIFAR18), ["norm1", "conv2", "pool2"])
    whole, pooled = found["conv2"], found["pool2"]
    assert (whole.shape[2], pooled.shape[2]) == (16, 8)
    corner = whole[:, :, 14:, 14:].mean((2, 3))  # two rows and columns are left of three
    torch.testing.assert_close(pooled[:, :, 7, 7], corner)


@pytest.mark.parametrize("about", [ORIGINAL2012, ALEXNET6], ids=lambda one: one.name)
def test_columns_apart_compute_the_same(about: Convention) -> None:
    net, x = narrow(about), pixels(about)
    columns = Columns(net)
    torch.testing.assert_close(columns.eval()(x), net(x), rtol=1e-3, atol=1e-4)
    with masks_of(columns.train(), address(1, 2)), masks_of(net.train(), address(1, 2)):
        torch.testing.assert_close(columns(x), net(x), rtol=1e-3, atol=1e-4)


def test_what_cannot_come_apart_says_so() -> None:
    apart = {name for name, one in CONVENTIONS.items() if one.comes_apart}
    assert apart == {"paper", "original2012", "alexnet6", "no_links"}


def test_networks_are_found_by_their_names() -> None:
    assert convention("alexnet") == convention("paper") == PAPER
    assert convention("alexnet.caffe", 10) == CAFFE.with_classes(10)
    with pytest.raises(UsageError, match="Did you mean 'caffenet'"):
        convention("cafenet")


def test_differences_are_told_row_by_row() -> None:
    assert differences(PAPER, replace(PAPER, name="other")) == []
    found = {row.what: row[1:] for row in differences(CAFFE, CAFFENET)}
    assert found["conv1 then"] == ("ReLU, LRN, pool", "ReLU, pool, LRN")
    assert found["conv2 first biases"] == ("0.1", "1")
    assert all("then" in what or "biases" in what for what in found)
    assert ("local3 kernels", "none", "64") in differences(PAPER, CIFAR11)
    rows = [row.what for row in differences(PAPER, CIFAR11)]
    layers = [what.split()[0] for what in rows if what.split()[0] in properties_of_layers(CIFAR11)]
    assert layers == sorted(layers, key=layers.index)  # the rows of a layer stand together


def properties_of_layers(about: Convention) -> set[str]:
    return {what.split()[0] for what in properties(about) if what.endswith("kernels")}


def test_crops_and_columns_are_the_papers() -> None:
    assert (PAPER.crop, PAPER.side, PAPER.columns) == (paper.CROP, paper.SIDE, paper.COLUMNS)
