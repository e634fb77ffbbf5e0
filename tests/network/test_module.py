"""The network is an ordinary PyTorch module: what looks inside one finds what it looks for."""

from __future__ import annotations

import copy
import os
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn.utils import parametrize, prune
from torch.utils.flop_counter import FlopCounterMode

from alexnet import paper
from alexnet.config import StartConfig
from alexnet.conventions import CIFAR11, PAPER
from alexnet.network import AlexNet, fused
from alexnet.network.alexnet import evaluating
from alexnet.network.dropout import Dropout
from alexnet.network.lrn import LocalResponseNorm

CHILDREN = (
    *("conv1", "relu1", "norm1", "pool1", "conv2", "relu2", "norm2", "pool2"),
    *("conv3", "relu3", "conv4", "relu4", "conv5", "relu5", "pool5"),
    *("fc6", "relu6", "drop6", "fc7", "relu7", "drop7", "fc8"),
)
FEW = dict.fromkeys(("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7"), 32)


@pytest.fixture
def net() -> AlexNet:
    """A network with few kernels, in the types and sizes that have fused operators."""
    return AlexNet(5, PAPER.with_kernels(FEW), StartConfig(rule="he", gain=0.8, bias=0.1)).eval()


def images(count: int = 2) -> Tensor:
    return 60 * torch.randn(count, 3, 224, 224, generator=torch.Generator().manual_seed(1))


def test_children_are_the_papers_operations_in_order(net: AlexNet) -> None:
    assert tuple(name for name, _ in net.named_children()) == CHILDREN
    assert [name for name in net.state_dict() if name.startswith("fc8")] == [
        "fc8.weight",
        "fc8.bias",
    ]
    printed = [line.split(":")[0].strip(" ()") for line in str(net).splitlines()[1:-1]]
    assert tuple(printed) == CHILDREN


@pytest.mark.parametrize("training", [False, True])
def test_hooks_on_every_child_fire_in_order(net: AlexNet, training: bool) -> None:
    fired: list[str] = []
    for name, child in net.named_children():
        child.register_forward_hook(lambda *_, name=name: fired.append(name))
    net.train(training)(images())
    assert tuple(fired) == CHILDREN


def test_every_kind_of_hook_turns_the_fused_operators_off(net: AlexNet) -> None:
    x, nothing = images(), lambda *_: None
    hooks = (
        net.conv3.register_forward_hook,
        net.pool1.register_forward_pre_hook,
        net.relu7.register_full_backward_hook,
        net.fc6.register_full_backward_pre_hook,
        nn.modules.module.register_module_forward_hook,
        nn.modules.module.register_module_full_backward_hook,
    )
    for register in hooks:
        handle = register(nothing)
        assert not fused.applies(net, x), register
        handle.remove()
        assert fused.applies(net, x), register
    net.register_forward_hook(nothing)  # its own sees no more than before
    assert fused.applies(net, x)


@pytest.mark.parametrize(
    "change",
    [
        lambda net: setattr(net, "pool5", nn.MaxPool2d(2, 2)),
        lambda net: setattr(net, "relu4", nn.Tanh()),
        lambda net: setattr(net, "norm1", nn.Identity()),
        lambda net: setattr(net.norm2, "rule", net.norm2.rule._replace(k=5.0)),
        lambda net: vars(net.conv3).update(padding=(2, 2), dilation=(2, 2)),
        lambda net: setattr(net.relu3, "forward", torch.negative),
    ],
)
def test_a_child_that_was_changed_computes_what_it_says(
    net: AlexNet, change: Callable[[AlexNet], None]
) -> None:
    x, before = images(), net(images())
    change(net)
    assert not fused.applies(net, x)
    after, net.fast = net(x), False
    assert torch.equal(after, net(x)) and not torch.allclose(before, after)


@pytest.mark.parametrize(
    ("kind", "method"),
    [
        *((nn.Linear, "forward"), (nn.ReLU, "forward"), (nn.MaxPool2d, "forward")),
        *((nn.Conv2d, "forward"), (nn.Conv2d, "_conv_forward"), (nn.Module, "__call__")),
        *((LocalResponseNorm, "forward"), (Dropout, "forward")),
    ],
    ids=lambda one: one if isinstance(one, str) else one.__name__,
)
def test_a_class_that_was_patched_computes_what_it_says(
    net: AlexNet, monkeypatch: pytest.MonkeyPatch, kind: type, method: str
) -> None:
    x, called, original = images(1), [], getattr(kind, method)

    def patched(*given: object) -> object:
        called.append(method)
        return original(*given)

    monkeypatch.setattr(kind, method, patched)
    net(x)
    assert called and not fused.applies(net, x)
    monkeypatch.undo()
    assert fused.applies(net, x)


def test_another_output_layer_leaves_the_fused_operators_on(net: AlexNet) -> None:
    net.fc8 = nn.Linear(32, 7)
    assert fused.applies(net, images()) and net(images()).shape == (2, 7)


def test_another_output_layer_is_what_the_network_says_it_has(net: AlexNet) -> None:
    built = net.convention
    assert net.classes == 5 and built.output.kernels == 5
    net.fc8 = nn.Linear(32, 7)
    assert net.classes == net.layers[-1].kernels == net.shapes[-1].layer.kernels == 7
    assert net.convention == built.with_classes(7)
    assert AlexNet(net.classes, net.convention).fc8.weight.shape == net.fc8.weight.shape
    net.fc8 = nn.Sequential(nn.Linear(32, 3))  # whatever it is, it has no matrix of weights
    assert net.classes == 5


def both_ways(net: AlexNet, weights: dict[str, Tensor], x: Tensor) -> list[list[Tensor]]:
    """The logits with these weights, and all gradients of their sum: fast, then plain."""
    found = []
    for net.fast in (True, False):
        logits = torch.func.functional_call(net, weights, (x,))
        needing = [*weights.values(), *([x] if x.requires_grad else [])]
        found.append([logits, *torch.autograd.grad(logits.sum(), needing)])
    return found


def strided(w: Tensor) -> Tensor:
    """The same numbers, with others between them in memory."""
    return torch.stack([w, torch.full_like(w, 1e3)], dim=-1)[..., 0]


def expanded(w: Tensor) -> Tensor:
    """A single number in memory, in the shape of w."""
    return w.flatten()[:1].clone().expand(w.numel()).reshape(w.shape)


@pytest.mark.parametrize("lay_out", [strided, expanded])
@pytest.mark.parametrize("kinds", [("weight",), ("bias",)], ids=str)
def test_parameters_may_lie_in_memory_as_they_like(
    net: AlexNet, lay_out: Callable[[Tensor], Tensor], kinds: tuple[str, ...]
) -> None:
    weights = {
        name: (lay_out(w.detach()) if name.endswith(kinds) else w.detach()).requires_grad_()
        for name, w in net.named_parameters()
    }
    assert sum(not w.is_contiguous() for w in weights.values()) == 8
    x = images().requires_grad_()
    fast, plain = both_ways(net, weights, x)
    for name, one, other in zip(("logits", *weights, "x"), fast, plain, strict=True):
        assert (one - other).norm() <= 1e-2 * other.norm(), name


def test_a_batch_of_no_images(net: AlexNet) -> None:
    net.train()
    weights, x = dict(net.named_parameters()), images(0).requires_grad_()
    fast, plain = both_ways(net, weights, x)
    assert fast[0].shape == (0, 5) and fast[-1].shape == x.shape
    assert all(torch.equal(one, other) for one, other in zip(fast, plain, strict=True))
    assert not any(gradient.any() for gradient in fast[1:])


def test_derivatives_carried_forward(net: AlexNet) -> None:
    """The change of the logits along a direction, of x or of a layer's biases."""
    x, way = images(), torch.randn(32, generator=torch.Generator().manual_seed(2))
    with forward_ad.dual_level():
        bias = forward_ad.make_dual(net.conv3.bias.detach(), way)
        dual = torch.func.functional_call(net, {"conv3.bias": bias}, (x,))
        along_bias = forward_ad.unpack_dual(dual).tangent
        along_x = forward_ad.unpack_dual(net(forward_ad.make_dual(x, x))).tangent
    assert along_bias is not None and along_x is not None
    x.requires_grad_()
    total = net(x).square().sum() / 2  # its gradient is the logits', times the logits
    of_x, of_bias = torch.autograd.grad(total, (x, net.conv3.bias))
    logits = net(x).detach()
    torch.testing.assert_close((logits * along_x).sum(), (of_x * x).sum(), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close((logits * along_bias).sum(), of_bias @ way, rtol=1e-3, atol=1e-3)


def test_a_network_without_memory(net: AlexNet) -> None:
    logits = net.to("meta")(images().to("meta"))
    assert logits.is_meta and logits.shape == (2, 5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64], ids=str)
def test_images_of_another_type_than_the_weights_are_told_in_pytorchs_words(
    net: AlexNet, dtype: torch.dtype
) -> None:
    with pytest.raises(RuntimeError, match="should be the same"):
        net.to(dtype)(images())
    with pytest.raises(RuntimeError, match="should be the same"):
        net.float()(images().to(dtype))
    net.fc8.to(dtype)
    with pytest.raises(RuntimeError, match=r"same dtype|should be the same"):
        net(images())


def test_a_hook_sees_the_sums_and_can_change_them(net: AlexNet) -> None:
    x, seen = images(), []
    sums = net.activations(x, ["conv3.pre"])["conv3.pre"]
    with net.conv3.register_forward_hook(lambda _, __, out: seen.append(out.detach())):
        net(x)
    torch.testing.assert_close(seen[0], sums, rtol=1e-4, atol=1e-3)
    with net.fc8.register_forward_hook(lambda _, __, out: out * 0):
        assert not net(x).any()
    assert net(x).any()


def test_train_drops_half_of_the_units_and_eval_none() -> None:
    about = PAPER.with_kernels({**FEW, "fc6": 4096, "fc7": 4096})
    net = AlexNet(5, about, StartConfig(rule="he", bias=5.0))  # nearly every unit is on
    zeros = {}
    for name in ("drop6", "drop7"):
        net.get_submodule(name).register_forward_hook(
            lambda _, given, out, name=name: zeros.update(
                {name: ((out == 0) & (given[0] != 0)).sum() / (given[0] != 0).sum()}
            )
        )
    assert net.training
    first, second = net(images()), net(images())
    assert all(abs(share - 0.5) < 0.03 for share in zeros.values()) and len(zeros) == 2
    assert not torch.equal(first, second), "another mask each time"
    net.eval()
    assert torch.equal(net(images()), net(images()))
    assert all(share == 0 for share in zeros.values())


def test_evaluating_leaves_every_mode_as_it_was(net: AlexNet) -> None:
    net.train()
    net.drop7.eval()
    with evaluating(net):
        assert not any(child.training for child in net.modules())
    assert net.training and net.drop6.training and not net.drop7.training


def test_multiply_adds_are_counted(net: AlexNet) -> None:
    full = AlexNet().eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        full(images(2))
    assert counter.get_total_flops() == 2 * 2 * 724_406_816
    assert round(724_406_816 / 1e6) == paper.MULTIPLY_ADDS_TOTAL_MILLIONS


def test_pruned_weights_are_those_that_compute(net: AlexNet) -> None:
    x, before = images(), net(images())
    prune.l1_unstructured(net.conv3, "weight", 0.5)
    assert (net.conv3.weight == 0).float().mean().item() == pytest.approx(0.5, abs=1e-3)
    while_pruning = net(x)
    prune.remove(net.conv3, "weight")
    assert fused.applies(net, x)
    torch.testing.assert_close(net(x), while_pruning, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(before, while_pruning)


def test_parametrized_weights_are_those_that_compute(net: AlexNet) -> None:
    class Doubled(nn.Module):
        def forward(self, w: Tensor) -> Tensor:
            return 2 * w

    x, expected = images(), copy.deepcopy(net)
    with torch.no_grad():
        expected.fc8.weight.mul_(2)
    parametrize.register_parametrization(net.fc8, "weight", Doubled())
    torch.testing.assert_close(net(x), expected(x), rtol=1e-4, atol=1e-4)
    net(x).sum().backward()
    assert net.fc8.parametrizations.weight.original.grad is not None


def test_functional_calls_transforms_and_maps(net: AlexNet) -> None:
    x, weights = images(), dict(net.named_parameters())
    zeroed = {**weights, "fc8.weight": torch.zeros_like(weights["fc8.weight"])}
    called = torch.func.functional_call(net, zeroed, (x,))
    torch.testing.assert_close(called, net.fc8.bias.expand(2, -1))

    def loss(weights: dict[str, Tensor], x: Tensor, label: Tensor) -> Tensor:
        logits = torch.func.functional_call(net, weights, (x[None],))
        return F.cross_entropy(logits, label[None])

    labels = torch.tensor([1, 3])
    each = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0, 0))(weights, x, labels)
    F.cross_entropy(net(x), labels).backward()
    for name, w in net.named_parameters():
        assert w.grad is not None
        gap = (each[name].mean(0) - w.grad).norm() / w.grad.norm()
        assert gap < 1e-3, name

    networks = [net, copy.deepcopy(net)]
    nn.init.zeros_(networks[1].fc8.weight)
    stacked, buffers = torch.func.stack_module_state(networks)

    def one(weights: dict[str, Tensor], buffers: dict[str, Tensor]) -> Tensor:
        return torch.func.functional_call(net, (weights, buffers), (x,))

    both = torch.func.vmap(one)(stacked, buffers)
    for mine, network in zip(both, networks, strict=True):
        torch.testing.assert_close(mine, network(x), rtol=1e-4, atol=1e-4)


def test_copies_and_pickles_compute_the_same(net: AlexNet, tmp_path: Path) -> None:
    x = images()
    torch.save(net, tmp_path / "net.pt")
    others = (
        copy.deepcopy(net),
        pickle.loads(pickle.dumps(net)),
        torch.load(tmp_path / "net.pt", weights_only=False),
    )
    assert all(torch.equal(other(x), net(x)) for other in others)


def test_autocast_and_other_types(net: AlexNet) -> None:
    x = images()
    with torch.autocast("cpu", torch.bfloat16):
        logits = net(x)
    assert logits.dtype == torch.bfloat16
    torch.testing.assert_close(logits.float(), net(x), rtol=0.1, atol=0.1)
    exact = copy.deepcopy(net).double()(x.double())
    assert exact.dtype == torch.float64
    torch.testing.assert_close(net(x).double(), exact, rtol=1e-4, atol=1e-4)
    half = copy.deepcopy(net).bfloat16()(x.bfloat16())
    torch.testing.assert_close(half.float(), net(x), rtol=0.1, atol=0.1)


def test_tracers(net: AlexNet) -> None:
    x = images()
    expected = net(x)
    with torch.no_grad():
        for traced in (
            torch.jit.trace(net, x),
            torch.fx.symbolic_trace(net),
            torch.export.export(net, (x,)).module(),
        ):
            torch.testing.assert_close(traced(x), expected, rtol=1e-4, atol=1e-4)


def test_gradients_of_gradients(net: AlexNet) -> None:
    """As a gradient penalty takes them: through the fused operators as through PyTorch's own."""
    found = []
    for net.fast in (True, False):
        net.zero_grad()
        x = images(1).requires_grad_()
        (slope,) = torch.autograd.grad(net(x).square().sum(), x, create_graph=True)
        slope.square().sum().backward()
        found.append({name: w.grad for name, w in net.named_parameters() if w.grad is not None})
    fast, plain = found
    assert fast.keys() == plain.keys() and "conv1.weight" in fast
    for name, gradient in plain.items():
        assert (fast[name] - gradient).norm() <= 1e-2 * gradient.norm() + 1e-8, name


@pytest.fixture
def process_group(tmp_path: Path) -> Iterator[None]:
    """This process alone, as a group."""
    import torch.distributed as dist

    dist.init_process_group("gloo", f"file://{tmp_path}/meeting", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.parametrize("children", [False, True], ids=["whole", "children"])
def test_sharded_by_fsdp2(net: AlexNet, process_group: None, children: bool) -> None:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    x, labels, sharded = images(), torch.tensor([1, 3]), copy.deepcopy(net)
    mesh = init_device_mesh("cpu", (1,))
    if children:
        for name in ("fc6", "fc7"):
            fully_shard(sharded.get_submodule(name), mesh=mesh)
    fully_shard(sharded, mesh=mesh)
    for network in (net, sharded):
        F.cross_entropy(network(x), labels).backward()
    for (name, w), other in zip(net.named_parameters(), sharded.parameters(), strict=True):
        assert w.grad is not None and other.grad is not None
        assert (other.grad.full_tensor() - w.grad).norm() < 1e-3 * w.grad.norm(), name  # type: ignore[attr-defined]


def test_captum_attributes(net: AlexNet) -> None:
    attr = pytest.importorskip("captum.attr", reason="Captum is not installed")
    x = images()
    inside = attr.LayerActivation(net, net.relu5).attribute(x)
    torch.testing.assert_close(inside, net.activations(x, ["conv5"])["conv5"], rtol=1e-4, atol=1e-3)
    cam = attr.LayerGradCam(net, net.conv5).attribute(x, target=1)
    assert cam.shape == (2, 1, 13, 13) and cam.abs().sum() > 0
    guided = attr.GuidedBackprop(net).attribute(x.clone().requires_grad_(), target=1)
    assert guided.shape == x.shape and guided.abs().sum() > 0
    with torch.no_grad():
        patch = {"sliding_window_shapes": (3, 56, 56), "strides": (3, 56, 56)}
        hidden = attr.Occlusion(net).attribute(x[:1], target=1, **patch)
        changed = x[:1].clone()
        changed[:, :, :56, :56] = 0
        drop = net(x[:1])[0, 1] - net(changed)[0, 1]
    torch.testing.assert_close(hidden[0, 0, 0, 0], drop, rtol=1e-3, atol=1e-4)


def test_the_switch(net: AlexNet) -> None:
    x = images()
    assert fused.applies(net, x)
    fast = net(x)
    net.fast = False
    assert not fused.applies(net, x)
    assert not torch.equal(net(x), fast)  # another order of sums
    torch.testing.assert_close(net(x), fast, rtol=1e-4, atol=1e-4)


def test_a_loop_of_ones_own_learns() -> None:
    """With PyTorch's optimizer, on a task that a network at its start fails."""
    torch.manual_seed(0)
    net = AlexNet(2, CIFAR11.with_kernels({"local3": 16, "local4": 16}), StartConfig(rule="he"))
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-4, momentum=0.9)
    x = 50 * torch.randn(64, 3, 24, 24)
    labels = (x[:, 0].mean((1, 2)) > x[:, 2].mean((1, 2))).long()
    net.train()
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        loss = F.cross_entropy(net(x), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 < losses[0]
    net.eval()
    assert (net(x).argmax(1) == labels).float().mean() > 0.9


def test_threads_may_share_a_test_network(net: AlexNet) -> None:
    from concurrent.futures import ThreadPoolExecutor

    x = images()
    expected = net(x)
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        assert all(torch.equal(found, expected) for found in pool.map(lambda _: net(x), range(8)))
