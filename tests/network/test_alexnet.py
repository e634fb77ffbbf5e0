"""The network against the same network written down again from PyTorch's parts and NumPy."""

import copy
import shutil

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torture.narrow_run import KERNELS

from alexnet.base.errors import UsageError
from alexnet.base.randomness import Purpose, bernoulli
from alexnet.config import StartConfig
from alexnet.conventions import NO_LINKS, ONE_COLUMN, PAPER, Convention
from alexnet.network import AlexNet
from alexnet.network.alexnet import evaluating
from alexnet.network.dropout import address, masks_of


def pixels(images: int, seed: int = 0) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return 60 * torch.randn(images, 3, 224, 224, generator=draw, dtype=torch.float64)


def drawn_masks(net: AlexNet, images: int, seed: int, step: int) -> dict[str, Tensor]:
    """The masks of fc6 and fc7, which are the layers number 5 and 6."""
    units = {shape.layer.name: shape.neurons for shape in net.shapes}
    return {
        name: torch.from_numpy(
            bernoulli((images, units[name]), 0.5, seed, Purpose.DROPOUT, step, lane)
        )
        for lane, name in ((5, "fc6"), (6, "fc7"))
    }


def written_out(
    net: AlexNet,
    x: Tensor,
    masks: dict[str, Tensor] | None = None,
    columns: int = 2,
    linked: bool = True,
) -> Tensor:
    """Section 3.5 and figure 2, column by column, without the table; section 3.2 without columns."""
    p = dict(net.named_parameters())

    def conv(x: Tensor, name: str, **geometry: int) -> Tensor:
        return F.relu(F.conv2d(x, p[f"{name}.weight"], p[f"{name}.bias"], **geometry))

    def conv_by_columns(x: Tensor, name: str, padding: int) -> Tensor:
        halves = [
            F.relu(F.conv2d(half, weight, bias, padding=padding))
            for half, weight, bias in zip(
                x.chunk(columns, 1),
                p[f"{name}.weight"].chunk(columns),
                p[f"{name}.bias"].chunk(columns),
                strict=True,
            )
        ]
        return torch.cat(halves, 1)

    def norm(x: Tensor) -> Tensor:
        halves = [F.local_response_norm(half, 5, 5e-4, 0.75, 2.0) for half in x.chunk(columns, 1)]
        return torch.cat(halves, 1)

    def dropped(x: Tensor, name: str) -> Tensor:
        return x * masks[name] if masks else x * 0.5

    x = torch.cat([x, torch.zeros_like(x[:, :, :, :3])], 3)
    x = torch.cat([x, torch.zeros_like(x[:, :, :3])], 2)
    x = F.max_pool2d(norm(conv(x, "conv1", stride=4)), 3, 2)
    x = F.max_pool2d(norm(conv_by_columns(x, "conv2", padding=2)), 3, 2)
    x = conv(x, "conv3", padding=1) if linked else conv_by_columns(x, "conv3", padding=1)
    x = conv_by_columns(x, "conv4", padding=1)
    x = F.max_pool2d(conv_by_columns(x, "conv5", padding=1), 3, 2).flatten(1)
    x = dropped(F.relu(x @ p["fc6.weight"].T + p["fc6.bias"]), "fc6")
    x = dropped(F.relu(x @ p["fc7.weight"].T + p["fc7.bias"]), "fc7")
    return x @ p["fc8.weight"].T + p["fc8.bias"]


def test_network_is_the_papers_written_out(narrow: AlexNet) -> None:
    x, masks = pixels(3), drawn_masks(narrow, 3, seed=1, step=2)
    with evaluating(narrow):
        torch.testing.assert_close(narrow(x), written_out(narrow, x))
    with masks_of(narrow, address(1, 2)):
        torch.testing.assert_close(narrow(x), written_out(narrow, x, masks))


def test_full_network_in_float32_is_the_papers_written_out() -> None:
    net = AlexNet(1000).eval()
    x = pixels(2).float()
    with torch.no_grad():
        expected = written_out(net.double(), x.double())
        torch.testing.assert_close(net.float()(x).double(), expected, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(("about", "columns"), [(ONE_COLUMN, 1), (NO_LINKS, 2)])
def test_the_networks_it_is_compared_with_are_those_written_out(
    about: Convention, columns: int
) -> None:
    kernels = {
        row.name: 8 * row.kernels // whole.kernels * 4 if whole.output > 1 else 32
        for row, whole in zip(about.layers, PAPER.layers, strict=True)
    }
    net = AlexNet(5, about.with_kernels(kernels), StartConfig(rule="he", bias=0.1)).double().eval()
    assert about.columns == columns
    x = pixels(2)
    expected = written_out(net, x, columns=columns, linked=False)
    torch.testing.assert_close(net(x), expected)
    net.fast = False
    torch.testing.assert_close(net(x), expected)


def test_columns_without_links_do_not_see_each_other() -> None:
    net, x = AlexNet(5, NO_LINKS, StartConfig(rule="he", bias=0.1)), pixels(1).float()
    before = net.activations(x, ["conv5"])["conv5"]
    with torch.no_grad():
        net.conv1.weight[:48] += 1  # the first column's
    after = net.activations(x, ["conv5"])["conv5"]
    assert torch.equal(before[:, 128:], after[:, 128:])
    assert not torch.equal(before[:, :128], after[:, :128])


def test_every_gradient_agrees_with_finite_differences(small: AlexNet) -> None:
    x, labels = pixels(2, seed=3)[:, :, :64, :64], torch.tensor([1, 4])

    def loss() -> Tensor:
        with masks_of(small, address(0, 0)):
            return F.cross_entropy(small(x), labels)

    loss().backward()
    rng = np.random.default_rng(0)
    for name, parameter in small.named_parameters():
        flat, gradient = parameter.data.view(-1), parameter.grad.view(-1)
        for place in rng.choice(flat.numel(), min(4, flat.numel()), replace=False):
            there, by = flat[place].item(), 1e-6 * max(1.0, abs(flat[place].item()))
            flat[place] = there + by
            above = loss().item()
            flat[place] = there - by
            below = loss().item()
            flat[place] = there
            difference = (above - below) / (2 * by)
            assert gradient[place].item() == pytest.approx(difference, rel=2e-4, abs=1e-8), name


def test_conv1_windows_overhang_right_and_bottom_only(narrow: AlexNet) -> None:
    x = torch.zeros(1, 3, 224, 224, dtype=torch.float64)
    x[:, :, 0, 0] = 1.0  # the corner pixel is the corner tap of the first window and of no other
    with torch.no_grad():
        narrow.conv1.bias.zero_()
    out = narrow.activations(x, ["conv1.pre"])["conv1.pre"][0]
    assert out.shape[1:] == (55, 55)
    torch.testing.assert_close(out[:, 0, 0], narrow.conv1.weight[:, :, 0, 0].sum(1))
    assert not out[:, 1:, :].any() and not out[:, :, 1:].any()
    x = torch.zeros_like(x)
    x[:, :, 223, 223] = 1.0  # the last window starts at 216: it sees this pixel at tap 7 of 11
    out = narrow.activations(x, ["conv1.pre"])["conv1.pre"][0]
    torch.testing.assert_close(out[:, 54, 54], narrow.conv1.weight[:, :, 7, 7].sum(1))


def test_order_is_relu_normalization_pooling(narrow: AlexNet) -> None:
    found = narrow.activations(pixels(1), ["conv1.pre", "conv1", "norm1", "pool1"])
    torch.testing.assert_close(found["conv1"], found["conv1.pre"].clamp(min=0))
    assert (found["conv1.pre"] < 0).any() and (found["norm1"] >= 0).all()
    torch.testing.assert_close(found["pool1"], F.max_pool2d(found["norm1"], 3, 2))


def test_activations_end_in_the_logits_that_forward_gives(narrow: AlexNet) -> None:
    x = pixels(2)
    found = narrow.activations(x, narrow.activation_names)
    assert list(found) == narrow.activation_names
    torch.testing.assert_close(found["fc8"], narrow.eval()(x))
    assert found["pool5"].shape == (2, 8, 6, 6)


def test_dropout_halves_at_test_time_only(narrow: AlexNet) -> None:
    x = pixels(1)
    everything = {name: torch.ones(1, 10, dtype=torch.float64) for name in ("fc6", "fc7")}
    with torch.no_grad():
        for name in ("fc6", "fc7", "fc8"):
            narrow.get_submodule(name).bias.zero_()
    # Without biases the last layers are homogeneous: two halvings are a factor of a quarter.
    torch.testing.assert_close(narrow.eval()(x), written_out(narrow, x, everything) / 4)


@pytest.mark.parametrize(
    ("x", "got"),
    [
        (torch.zeros(3, 224, 224), "float32 3 x 224 x 224"),
        (torch.zeros(1, 3, 227, 227), "float32 1 x 3 x 227 x 227"),
        (torch.zeros(1, 3, 224, 224, dtype=torch.uint8), "uint8 1 x 3 x 224 x 224"),
    ],
)
def test_wrong_input_is_told_what_was_expected(narrow: AlexNet, x: Tensor, got: str) -> None:
    with pytest.raises(UsageError, match="N x 3 x 224 x 224") as error:
        narrow(x)
    assert got in str(error.value)


def test_unknown_activation_names_the_nearest(narrow: AlexNet) -> None:
    with pytest.raises(UsageError, match="'fc7'"):
        narrow.activations(pixels(1), ["fc77"])


def test_exported_network_takes_batches_of_any_size() -> None:
    network = AlexNet(10).eval()
    network.fast = False
    batch = {0: torch.export.Dim("batch")}
    x = pixels(5).float()
    with torch.no_grad():
        exported = torch.export.export(network, (x,), dynamic_shapes={"x": batch}).module()
        for images in (5, 2):
            assert torch.equal(exported(x[:images]), network(x[:images]))


@pytest.mark.skipif(shutil.which("g++") is None, reason="PyTorch's compiler needs g++")
def test_compiled_network_trains_as_the_eager_one() -> None:
    """PyTorch's compiler is wrong about a few images that are not channels-last: see docs/log.md."""
    eager = AlexNet(10, PAPER.with_kernels(KERNELS), StartConfig(rule="he", gain=0.8)).eval()
    eager.fast = False
    compiled = copy.deepcopy(eager)
    x = pixels(2).float()
    for run in (eager, torch.compile(compiled, fullgraph=True)):
        F.cross_entropy(run(x), torch.tensor([1, 2])).backward()
    for one, other in zip(eager.parameters(), compiled.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-3, atol=1e-7)


def test_fast_operators_compute_what_pytorchs_do() -> None:
    fast = AlexNet(10, start=StartConfig(rule="he", gain=0.6, bias=0.0)).eval()
    plain = copy.deepcopy(fast).double()  # no kernel is written for float64
    x, labels = pixels(6), torch.arange(6)
    outputs = []
    for network, images in ((fast, x.float()), (plain, x)):
        outputs.append(network(images))
        F.cross_entropy(outputs[-1], labels).backward()
    torch.testing.assert_close(outputs[0].double(), outputs[1], rtol=1e-4, atol=1e-5)
    for (name, one), other in zip(fast.named_parameters(), plain.parameters(), strict=True):
        assert one.grad is not None and other.grad is not None
        difference = (one.grad - other.grad).norm() / other.grad.norm()
        assert difference < 0.03, (
            name
        )  # rounding decides some maxima another way: a few in a million
