"""The network as an ONNX file, built node by node from the table of layers, and read back.

The graph takes pixels from 0 to 255: the mean image is in it. Values have the names of our
activations (`conv1`, `norm1`, `pool1` ...), initializers those of our parameters (`conv1.weight`).

Shape letters: N images, C maps, H x W or Y x X positions, K kernels or classes, S kernel size,
I inputs of a kernel, P places.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path
from shlex import quote
from typing import Any

import numpy as np
import torch

from alexnet import __version__, paper
from alexnet.base.errors import AlexNetError, DataError, EnvironmentProblem
from alexnet.base.files import write_atomically
from alexnet.exchange import description
from alexnet.exchange.check import (
    OutputDifference,
    Outputs,
    check_images,
    outputs,
    require_same,
)
from alexnet.exchange.description import IMAGE, LOGITS, MEAN, PROBABILITIES
from alexnet.models.arrays import parameters_of
from alexnet.models.card import ModelCard
from alexnet.network.alexnet import AlexNet
from alexnet.network.table import Shape, Stage, is_connected, is_local
from alexnet.paper import Normalization

OPSET = 17
IR = 8  # the file format's version that came with it: older programs read it too


def export_onnx(network: AlexNet, card: ModelCard, path: Path) -> OutputDifference:
    """Write the file; how far what it computes is from what the network does.

    Raises IncompatibleError, keeping no file, where onnxruntime computes something else, and
    EnvironmentProblem where the packages are missing or the disk refuses.
    """
    data = build(network, card)
    apart = check(data, network, card, path)
    write_atomically(path, data)
    return apart


def check(data: bytes, network: AlexNet, card: ModelCard, where: object) -> OutputDifference:
    """The largest difference that onnxruntime shows; raises IncompatibleError for more than rounding."""
    images = check_images(network.convention)
    return require_same(run(data, images), outputs(network, card, images), "onnxruntime", where)


def run(data: bytes, images_NCHW: np.ndarray) -> Outputs:
    """What onnxruntime makes of images, with an ONNX file's bytes."""
    runtime = _package("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = runtime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    return Outputs(*session.run([LOGITS, PROBABILITIES], {IMAGE: images_NCHW}))


def read_onnx(path: Path) -> description.Exported:
    """What `export_onnx` wrote: the network, its weights, classes, titles and statistics.

    Raises DataError for damaged files, IncompatibleError for ONNX files of other programs.
    """
    onnx = _package("onnx")
    try:
        model = onnx.load(path, load_external_data=False)
        about = description.parsed({one.key: one.value for one in model.metadata_props}, path)
        names = set(description.wanted(about))
        kept = [one for one in model.graph.initializer if one.name in names]
        if any(one.data_location == onnx.TensorProto.EXTERNAL for one in kept):
            raise DataError("Its weights are in another file.", where=path)
        arrays = {one.name: onnx.numpy_helper.to_array(one) for one in kept}
    except AlexNetError:
        raise
    except FileNotFoundError:
        raise DataError("A file is missing.", where=path) from None
    except Exception as error:  # the library raises many kinds
        raise DataError(f"Not a readable ONNX file: {error}.", where=path) from None
    return description.found(about, arrays, path)


def build(network: AlexNet, card: ModelCard) -> bytes:
    """The file's bytes; the same for the same network and card."""
    onnx = _package("onnx")
    texts = description.description(network, card)  # before any work
    about, helper = network.convention, onnx.helper
    graph = _Graph(onnx, network)
    graph.network(card)
    floats, side = onnx.TensorProto.FLOAT, about.crop
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            f"alexnet.{about.name}",
            [helper.make_tensor_value_info(IMAGE, floats, ["N", paper.CHANNELS, side, side])],
            [
                helper.make_tensor_value_info(name, floats, ["N", network.classes])
                for name in (LOGITS, PROBABILITIES)
            ],
            graph.initializers,
            doc_string=texts["preprocessing_in_words"],
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR,
        producer_name="alexnet",
        producer_version=__version__,
    )
    helper.set_model_props(model, texts)
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


class _Graph:
    """The nodes of a network and the arrays they read, in the order in which they are computed."""

    def __init__(self, onnx: Any, network: AlexNet) -> None:
        self._onnx, self._network, self._about = onnx, network, network.convention
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []

    def network(self, card: ModelCard) -> None:
        """From pixels to probabilities."""
        for name, array in parameters_of(self._network).items():
            self.array(name, array)
        x = self.without_mean(card)
        for stage, row in zip(self._network.stages, self._network.shapes, strict=True):
            x = self.layer(x, stage, row)
        self.node("Softmax", [x], PROBABILITIES, axis=1)

    def node(self, kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """One operation; the name of what it computes."""
        self.nodes.append(
            self._onnx.helper.make_node(kind, inputs, [output], name=output, **attributes)
        )
        return output

    def array(self, name: str, value: Any, dtype: type = np.float32) -> str:
        """One constant; its name."""
        tensor = self._onnx.numpy_helper.from_array(np.asarray(value, dtype, order="C"), name)
        self.initializers.append(tensor)
        return name

    def reshape(self, x: str, shape: Sequence[int], output: str) -> str:
        """The same numbers along other axes."""
        return self.node("Reshape", [x, self.array(f"{output}.shape", shape, np.int64)], output)

    def without_mean(self, card: ModelCard) -> str:
        """The images less the centre of the mean image, divided where the convention divides."""
        about = self._about
        centre = self.array(MEAN, card.mean_HWC.transpose(2, 0, 1))
        if about.side != about.crop:
            first = (about.side - about.crop) // 2
            ends = {"first": [first] * 2, "end": [first + about.crop] * 2, "axes": [1, 2]}
            cut = [self.array(f"mean.{key}", value, np.int64) for key, value in ends.items()]
            centre = self.node("Slice", [centre, *cut], "mean.centre")
        x = self.node("Sub", [IMAGE, centre], "less_mean")
        if about.divisors == (1.0, 1.0, 1.0):
            return x
        divisors = self.array("divisors", np.reshape(about.divisors, (paper.CHANNELS, 1, 1)))
        return self.node("Div", [x, divisors], "divided")

    def layer(self, x: str, stage: Stage, row: Shape) -> str:
        """A layer's sums and all that follows them."""
        layer = row.layer
        sums, *after = stage.activations
        if layer == self._about.output:
            sums = LOGITS
        if is_connected(layer):
            x = self.connected(x, row, sums)
        elif is_local(layer):
            x = self.local(x, row, sums)
        else:
            x = self.convolution(x, row, sums)
        for output, follower in zip(after, stage.followers, strict=False):  # but for dropout
            x = self.follow(x, row, follower, output)
        if stage.drops and not self._about.inverted_dropout:
            kept = self.array(f"{layer.name}.kept", 1 - paper.DROPOUT)
            x = self.node("Mul", [x, kept], f"{layer.name}.halved")
        return x

    def connected(self, x: str, row: Shape, output: str) -> str:
        name = row.layer.name
        if row.inputs[1:] != (1, 1):
            x = self.node("Flatten", [x], f"{name}.inputs", axis=1)
        return self.node("Gemm", [x, f"{name}.weight", f"{name}.bias"], output, transB=1)

    def convolution(self, x: str, row: Shape, output: str) -> str:
        layer, (before, after) = row.layer, row.layer.padding
        return self.node(
            "Conv",
            [x, f"{layer.name}.weight", f"{layer.name}.bias"],
            output,
            kernel_shape=[layer.size] * 2,
            strides=[layer.stride] * 2,
            pads=[before, before, after, after],
            group=row.groups,
        )

    def local(self, x: str, row: Shape, output: str) -> str:
        """A product of matrices at each place: N x I of what it sees, I x K of its kernels."""
        layer, maps, (K, Y, X) = row.layer, row.inputs[0], row.outputs
        name, inputs, places = layer.name, row.weights_per_kernel, Y * X
        one_of_each = np.eye(layer.size**2).reshape(-1, 1, layer.size, layer.size)
        before, after = layer.padding
        seen = self.node(  # kernels that hand on one pixel each
            "Conv",
            [x, self.array(f"{name}.pixels", np.tile(one_of_each, (maps, 1, 1, 1)))],
            f"{name}.seen",
            kernel_shape=[layer.size] * 2,
            strides=[layer.stride] * 2,
            pads=[before, before, after, after],
            group=maps,
        )
        seen = self.reshape(seen, (-1, inputs, places), f"{name}.seen.NIP")
        seen = self.node("Transpose", [seen], f"{name}.seen.PNI", perm=[2, 0, 1])
        kernels = self.reshape(f"{name}.weight", (K, inputs, places), f"{name}.kernels.KIP")
        kernels = self.node("Transpose", [kernels], f"{name}.kernels.PIK", perm=[2, 1, 0])
        sums = self.node("MatMul", [seen, kernels], f"{name}.sums.PNK")
        sums = self.node("Transpose", [sums], f"{name}.sums.NKP", perm=[1, 2, 0])
        sums = self.reshape(sums, (-1, K, Y, X), f"{name}.sums")
        biases = self.reshape(f"{name}.bias", (K, Y, X), f"{name}.biases")
        return self.node("Add", [sums, biases], output)

    def follow(self, x: str, row: Shape, follower: str, output: str) -> str:
        about = self._about
        window = {
            "kernel_shape": [about.pool.size] * 2,
            "strides": [about.pool.stride] * 2,
            "ceil_mode": int(about.overhang),
        }
        match follower:
            case "relu" | "tanh":
                return self.node(follower.capitalize(), [x], output)
            case "norm":
                return self.normalized(x, row, output)
            case "norm within":
                return self.normalized_within(x, about.within, output)
            case "pool":
                return self.node("MaxPool", [x], output, **window)
            case "average pool":
                return self.node("AveragePool", [x], output, count_include_pad=0, **window)
        raise AssertionError(follower)

    def normalized(self, x: str, row: Shape, output: str) -> str:
        """One LRN node, whose alpha is divided by n; columns take turns as images of their own."""
        (k, n, alpha, beta), groups = self._about.norm, self._about.norm_groups
        attributes = {"alpha": alpha * n, "beta": beta, "bias": k, "size": n}
        if groups == 1:
            return self.node("LRN", [x], output, **attributes)
        before = row.layer.followed_by[: row.layer.followed_by.index("norm")]
        is_pooled = any("pool" in one for one in before)
        maps, height, width = row.pooled if is_pooled else row.outputs
        apart = self.reshape(x, (-1, maps // groups, height, width), f"{output}.columns")
        apart = self.node("LRN", [apart], f"{output}.apart", **attributes)
        return self.reshape(apart, (-1, maps, height, width), output)

    def normalized_within(self, x: str, norm: Normalization, output: str) -> str:
        """Squares summed over n x n places: their average, with zeros beyond the edge, times n * n."""
        k, n, alpha, beta = norm
        squares = self.node("Mul", [x, x], f"{output}.squares")
        average = self.node(
            "AveragePool",
            [squares],
            f"{output}.average",
            kernel_shape=[n] * 2,
            strides=[1] * 2,
            pads=[n // 2] * 4,
            count_include_pad=1,
        )
        factor = self.array(f"{output}.alpha", alpha * n * n)
        scaled = self.node("Mul", [average, factor], f"{output}.scaled")
        total = self.node("Add", [scaled, self.array(f"{output}.k", k)], f"{output}.base")
        power = self.node("Pow", [total, self.array(f"{output}.beta", beta)], f"{output}.divisor")
        return self.node("Div", [x, power], output)


def _package(name: str) -> Any:
    """An optional package; raises EnvironmentProblem that says how to get it."""
    try:
        return importlib.import_module(name)
    except ImportError:
        raise EnvironmentProblem(
            f"ONNX files need the package {name}, which is not installed.",
            remedy=f"Install it: {quote(sys.executable)} -m pip install onnx onnxruntime",
        ) from None
