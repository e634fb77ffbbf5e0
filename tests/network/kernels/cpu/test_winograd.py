"""Minimal filtering against PyTorch's convolution in float64, forward and backward."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from alexnet.network.conv import _conv, convolve
from alexnet.network.kernels.cpu import winograd
from alexnet.network.kernels.cpu.filtering import OUT, POINTS, matrices
from alexnet.network.kernels.cpu.gemm import ROWS, vectors_for
from alexnet.network.kernels.cpu.simd import LANES
from alexnet.network.kernels.cpu.tiles import plan
from alexnet.network.reference import convolve as plain_convolve
from alexnet.paper import LAYERS, Layer

CONVS = [layer for layer in LAYERS if layer.name.startswith("conv")]
L = LANES
# Like the paper's layers, with fewer maps: layer, maps, side, groups, images (not whole blocks).
SMALL = [
    (CONVS[0]._replace(kernels=2 * L), 3, 224, 1, 5),
    (CONVS[1]._replace(kernels=4 * L), 2 * L, 27, 2, 6),
    (CONVS[2]._replace(kernels=3 * L), 5 * L, 13, 1, 19),
    (CONVS[3]._replace(kernels=4 * L), 6 * L, 13, 2, 17),
    (CONVS[4]._replace(kernels=2 * L), 4 * L, 13, 2, 4),
]


def made_up(layer: Layer, maps: int, side: int, groups: int, images: int) -> list[Tensor]:
    """Images, weights, biases: float64, of the sizes that activations have."""
    draw = torch.Generator().manual_seed(0)
    shapes = [
        (images, maps, side, side),
        (layer.kernels, maps // groups, layer.size, layer.size),
        (layer.kernels,),
    ]
    x, weight, bias = (torch.randn(s, generator=draw, dtype=torch.float64) for s in shapes)
    return [F.relu(x), weight / (maps // groups * layer.size**2) ** 0.5, bias]


def run(way, tensors: list[Tensor], layer: Layer, g: Tensor, relu: bool = False):  # type: ignore[no-untyped-def]
    """Outputs and gradients of images, weights and biases."""
    leaves = [tensor.clone().requires_grad_() for tensor in tensors]
    y = way(*leaves, layer)
    y = F.relu(y) if relu else y
    y.backward(g.to(y.dtype))
    return [y.detach(), *(leaf.grad for leaf in leaves)]


def relative(found: Tensor, exact: Tensor) -> float:
    """The root of the mean square of the error, in units of the exact numbers' own."""
    return float((found.double() - exact).square().mean().sqrt() / exact.square().mean().sqrt())


@pytest.mark.parametrize("case", SMALL, ids=lambda case: case[0].name)
def test_error_is_a_few_times_that_of_the_plain_sum(case) -> None:  # type: ignore[no-untyped-def]
    layer = case[0]
    tensors = made_up(*case)
    exact_y = plain_convolve(*tensors, layer)
    g = torch.randn(exact_y.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    exact = run(plain_convolve, tensors, layer, g)
    narrow = [tensor.float() for tensor in tensors]
    plain, ours = (run(way, narrow, layer, g) for way in (plain_convolve, convolve))
    assert not torch.equal(plain[0], ours[0]), "the fast convolution was not taken"
    for name, one, other, truth in zip(
        ["y", "x", "weight", "bias"], ours, plain, exact, strict=True
    ):
        assert relative(one, truth) < max(20 * relative(other, truth), 3e-7), name


def test_relu_and_its_gradient_are_part_of_it() -> None:
    case = SMALL[2]
    layer, tensors = case[0], made_up(*case)
    exact_y = plain_convolve(*tensors, layer)
    g = torch.randn(exact_y.shape, dtype=torch.float64)
    g[exact_y.abs() < 1e-4] = 0  # rounding decides on which side of zero they fall
    exact = run(plain_convolve, tensors, layer, g, relu=True)

    def fused(x: Tensor, weight: Tensor, bias: Tensor, layer: Layer) -> Tensor:
        return convolve(x, weight, bias, layer, relu=True)

    for one, truth in zip(run(fused, [t.float() for t in tensors], layer, g), exact, strict=True):
        assert relative(one, truth) < 2e-5


def test_what_is_not_a_number_stays_one() -> None:
    layer, *_ = SMALL[2]
    x, weight, bias = (tensor.float() for tensor in made_up(*SMALL[2]))
    x[3, 5, 6, 6] = torch.nan
    found, plain = (
        convolve(x, weight, bias, layer, relu=True),
        plain_convolve(x, weight, bias, layer),
    )
    there = F.relu(plain).isnan()
    assert there.any() and bool(found[there].isnan().all())
    assert bool(found[:3].isfinite().all()) and bool(found[4:].isfinite().all())


@pytest.mark.parametrize("case", SMALL[1:4], ids=lambda case: case[0].name)
def test_nothing_is_written_outside(case) -> None:  # type: ignore[no-untyped-def]
    layer, maps, side, groups, images = case
    guards: list[np.ndarray] = []

    def guarded(*shape: int) -> np.ndarray:
        room, margin = int(np.prod(shape)), 4096
        whole = np.full(room + 2 * margin, 7.5, np.float32)
        guards.extend([whole[:margin], whole[-margin:]])
        inside = whole[margin:-margin].reshape(shape)
        inside[:] = 0
        return inside

    size, padding, own = layer.size, layer.padding[0], layer.kernels // groups
    per_group, points = maps // groups, (size + OUT - 1) ** 2
    tiles, width = plan(side, size, padding, True), vectors_for(own) * LANES
    width_t = vectors_for(per_group) * LANES
    x, y, g = (guarded(images, side, side, n) for n in (maps, layer.kernels, layer.kernels))
    u = guarded(groups, points, own // width, per_group, width)
    ut = guarded(groups, points, per_group // width_t, own, width_t)
    bias, dx = guarded(layer.kernels), guarded(*x.shape)
    rows = -(-per_group // ROWS) * ROWS
    du, dbias = guarded(2, groups, points, rows, own), guarded(2, layer.kernels)
    rng = np.random.default_rng(0)
    for array in (x, g, u, ut):
        array[:] = rng.normal(size=array.shape)
    common = POINTS[size], tiles.inputs, tiles.outputs, tiles.images
    winograd._forward(*common, x, u, bias, True, y)
    winograd._backward(*common, g, y, True, x, ut, vectors_for(own), True, dx, du, dbias)
    assert all(array.any() for array in (y, dx, du, dbias)), "something was computed"
    assert all((guard == 7.5).all() for guard in guards)


def test_images_share_their_zeros_where_that_saves_tiles() -> None:
    shared, alone = plan(13, 3, 1, True), plan(27, 5, 2, True)
    assert shared.images % 4 == 0
    for tiles, side in ((shared, 13), (alone, 27)):
        outputs = tiles.outputs[tiles.outputs >= 0]
        assert sorted(outputs) == list(range(tiles.images * side**2)), "each output exactly once"
    count = len(shared.outputs) // OUT**2 / shared.images
    assert count < 16 * 0.8, "four tiles by four for each image alone"


def test_matrices_filter_exactly() -> None:
    rng = np.random.default_rng(0)
    for size in POINTS:
        a, b_t, g = matrices(size)
        d, kernel = rng.normal(size=size + OUT - 1), rng.normal(size=size)
        exact = [d[i : i + size] @ kernel for i in range(OUT)]
        np.testing.assert_allclose(a.T @ ((g @ kernel) * (b_t @ d)), exact, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("case", SMALL, ids=lambda case: case[0].name)
def test_an_image_alone_gives_the_bits_it_gives_in_a_batch(case) -> None:  # type: ignore[no-untyped-def]
    layer, (x, weight, bias) = case[0], (tensor.float() for tensor in made_up(*case))
    batch = convolve(x, weight, bias, layer, relu=True)
    for n in range(len(x)):
        assert torch.equal(convolve(x[n : n + 1], weight, bias, layer, relu=True), batch[n : n + 1])


def test_odd_numbers_of_kernels_take_the_plain_way() -> None:
    layer, (x, weight, bias) = SMALL[3][0], (tensor.float() for tensor in made_up(*SMALL[3]))
    given, narrow = (x, weight[:-2], bias[:-2]), layer._replace(kernels=layer.kernels - 2)
    assert torch.equal(convolve(*given, narrow), plain_convolve(*given, narrow))


def test_operator_is_fit_for_compile_and_export() -> None:
    x = torch.randn(4, L, 13, 13, requires_grad=True)
    weight = torch.randn(L, L, 3, 3, requires_grad=True)
    bias = torch.randn(L, requires_grad=True)
    torch.library.opcheck(_conv, (x, weight, bias, 1, 1, 1, True, True), rtol=1e-3, atol=1e-3)
    torch.library.opcheck(_conv, (x, weight, bias, 1, 1, 1, False, True), rtol=1e-3, atol=1e-3)
