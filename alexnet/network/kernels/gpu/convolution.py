"""The fastest way to convolve a shape on this GPU, found by measurement where it is first used.

Every way computes the same layer from the same kernels: what differs is how the library is asked.

* `grouped`: one call, in which each column's maps are a group;
* `columns`: each column by itself, then side by side;
* `filled`: one dense call, with zeros where a kernel sees nothing of the other column: twice the
  products, but of the kind that GPUs are built for;
* `folded`, for conv1: squares of stride x stride pixels become one pixel with more maps, so that three
  colours are 48 maps and the stride is one; kernels are filled up with zeros to a multiple of the stride.

The choice is kept for the life of the process. With `torch.use_deterministic_algorithms` nothing is
measured and every run takes the first way, so that it computes the same bits as the run before.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

from alexnet.network.reference import convolve as one_call
from alexnet.network.reference import padded
from alexnet.paper import Layer

Way = Callable[[Tensor, Tensor, Tensor | None, Layer], Tensor]
_WARM_UP, _ROUNDS = 3, 9

# By shapes, precision, device, and whether there is a backward pass.
_chosen: dict[tuple[object, ...], str] = {}


def convolve(x_NCHW: Tensor, weight: Tensor, bias: Tensor | None, layer: Layer) -> Tensor:
    """The layer's convolution plus bias, N x K x Y x X, in the way that is fastest here."""
    ways = ways_of(x_NCHW, weight, layer)
    if len(ways) == 1 or torch.compiler.is_compiling():
        return one_call(x_NCHW, weight, bias, layer)
    needs = (torch.is_grad_enabled() and weight.requires_grad, x_NCHW.requires_grad)
    key = (x_NCHW.shape, weight.shape, layer.stride, x_NCHW.dtype, str(x_NCHW.device), *needs)
    if key not in _chosen:
        if torch.are_deterministic_algorithms_enabled() or _is_capturing(x_NCHW):
            return one_call(x_NCHW, weight, bias, layer)
        seconds = measure(x_NCHW, weight, bias, layer)
        _chosen[key] = min(seconds, key=lambda name: seconds[name])
    return ways[_chosen[key]](x_NCHW, weight, bias, layer)


def ways_of(x_NCHW: Tensor, weight: Tensor, layer: Layer) -> dict[str, Way]:
    """The ways there are for this shape, by name."""
    ways: dict[str, Way] = {"grouped": one_call}
    if x_NCHW.shape[1] > weight.shape[1]:
        ways |= {"columns": by_columns, "filled": filled}
    if layer.stride > 1 and x_NCHW.shape[1] == weight.shape[1] and layer.padding[0] == 0:
        ways |= {"folded": folded}
    return ways


def measure(x_NCHW: Tensor, weight: Tensor, bias: Tensor | None, layer: Layer) -> dict[str, float]:
    """Seconds of each way, forward, and backward where the arguments need gradients."""
    backward = torch.is_grad_enabled() and weight.requires_grad
    x, w, b = (
        value if value is None else value.detach().requires_grad_(backward and value.requires_grad)
        for value in (x_NCHW, weight, bias)
    )
    assert x is not None and w is not None
    needing = [value for value in (x, w, b) if value is not None and value.requires_grad]

    def work(way: Way) -> None:
        y_NKYX = way(x, w, b, layer)
        if backward:
            torch.autograd.grad(y_NKYX, needing, y_NKYX)

    return {
        name: seconds(lambda way=way: work(way), x_NCHW.device)  # type: ignore[misc]
        for name, way in ways_of(x_NCHW, weight, layer).items()
    }


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """What `work` takes, on a GPU by itself and as part of a graph: median seconds."""
    if device.type != "cuda":
        work()
        begun = time.perf_counter()
        work()
        return time.perf_counter() - begun
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(_WARM_UP):
            work()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
        work()
    graph.replay()
    marks = [torch.cuda.Event(enable_timing=True) for _ in range(_ROUNDS + 1)]
    marks[0].record()
    for mark in marks[1:]:
        graph.replay()
        mark.record()
    marks[-1].synchronize()
    times = [float(before.elapsed_time(after)) for before, after in pairwise(marks)]
    return statistics.median(times) / 1000  # from milliseconds


def by_columns(x_NCHW: Tensor, weight: Tensor, bias: Tensor | None, layer: Layer) -> Tensor:
    """One dense call for each column."""
    x_NCHW, padding = padded(x_NCHW, layer.padding)
    columns = x_NCHW.shape[1] // weight.shape[1]
    biases = [None] * columns if bias is None else bias.chunk(columns)
    parts = zip(x_NCHW.chunk(columns, 1), weight.chunk(columns), biases, strict=True)
    return torch.cat([F.conv2d(x, w, b, layer.stride, padding) for x, w, b in parts], 1)


def filled(x_NCHW: Tensor, weight: Tensor, bias: Tensor | None, layer: Layer) -> Tensor:
    """One dense call; kernels see the other column's maps with weights of zero."""
    x_NCHW, padding = padded(x_NCHW, layer.padding)
    columns, seen = x_NCHW.shape[1] // weight.shape[1], weight.shape[1]
    whole = [
        F.pad(part, (0, 0, 0, 0, place * seen, (columns - 1 - place) * seen))
        for place, part in enumerate(weight.chunk(columns))
    ]
    dense = torch.cat(whole).contiguous(memory_format=torch.channels_last)
    return F.conv2d(x_NCHW, dense, bias, layer.stride, padding)


def folded(x_NCHW: Tensor, weight: Tensor, bias: Tensor | None, layer: Layer) -> Tensor:
    """Without stride: each square of stride x stride pixels is one pixel, its maps the pixels'."""
    stride, (K, C, size, _) = layer.stride, weight.shape
    N, _, side, _ = x_NCHW.shape
    out = (side + sum(layer.padding) - size) // stride + 1
    cells = -(-size // stride)  # of a folded kernel
    last = out + cells - 1  # folded pixels along a side that kernels look at
    x_NHWC = F.pad(x_NCHW.permute(0, 2, 3, 1), (0, 0, *(0, max(0, last * stride - side)) * 2))
    squares = x_NHWC[:, : last * stride, : last * stride].reshape(N, last, stride, last, stride, C)
    folded_NHWC = squares.permute(0, 1, 3, 2, 4, 5).reshape(N, last, last, stride * stride * C)
    rim = cells * stride - size
    kernel = F.pad(weight, (0, rim, 0, rim)).reshape(K, C, cells, stride, cells, stride)
    kernel = kernel.permute(0, 2, 4, 3, 5, 1).reshape(K, cells, cells, stride * stride * C)
    return F.conv2d(folded_NHWC.permute(0, 3, 1, 2), kernel.permute(0, 3, 1, 2), bias)


def _is_capturing(x: Tensor) -> bool:
    """Whether a graph is being recorded, in which nothing can be measured."""
    return x.is_cuda and torch.cuda.is_current_stream_capturing()
