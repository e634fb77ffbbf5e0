"""A network of ours as the layers that Caffe would compute it with, and the text that describes them."""

from __future__ import annotations

from typing import NamedTuple

from alexnet import paper
from alexnet.conventions import Convention
from alexnet.network.table import Shape, is_connected, number_of, shapes

_IMAGES = 10  # at once, as in the deploy files that Caffe comes with
_INPUT = "data"


class CaffeLayer(NamedTuple):
    """One layer: what it is, the blobs it reads and makes, its parameters as lines of text."""

    name: str
    type: str
    bottoms: tuple[str, ...]
    tops: tuple[str, ...]
    parameters: tuple[str, ...] = ()


def layers_of(about: Convention) -> list[CaffeLayer]:
    """The network of `caffe` or `caffenet` in Caffe's layers, from the images to the probabilities."""
    sides = (_IMAGES, paper.CHANNELS, about.crop, about.crop)
    dims = " ".join(f"dim: {side}" for side in sides)
    found = [CaffeLayer(_INPUT, "Input", (), (_INPUT,), (f"input_param {{ shape {{ {dims} }} }}",))]
    blob = _INPUT
    for shape in shapes(about):
        layer = shape.layer
        kind = "InnerProduct" if is_connected(layer) else "Convolution"
        found.append(CaffeLayer(layer.name, kind, (blob,), (layer.name,), _weighted(shape)))
        blob = layer.name
        number = number_of(layer)
        for follower in layer.followed_by:
            name, kind, parameters, in_place = _follower(follower, number, about)
            top = blob if in_place else name
            found.append(CaffeLayer(name, kind, (blob,), (top,), parameters))
            blob = top
    return found


def deploy_text(about: Convention) -> str:
    """The network in Caffe's text format, without weights."""
    lines = [f'name: "alexnet {about.name}"']
    for layer in layers_of(about):
        lines += ["layer {", f'  name: "{layer.name}"', f'  type: "{layer.type}"']
        lines += [f'  bottom: "{blob}"' for blob in layer.bottoms]
        lines += [f'  top: "{blob}"' for blob in layer.tops]
        lines += [f"  {line}" for line in layer.parameters] + ["}"]
    return "\n".join(lines) + "\n"


def _weighted(shape: Shape) -> tuple[str, ...]:
    layer = shape.layer
    if is_connected(layer):
        return (f"inner_product_param {{ num_output: {layer.kernels} }}",)
    parts = [f"num_output: {layer.kernels}", f"kernel_size: {layer.size}"]
    parts += [f"stride: {layer.stride}"] if layer.stride > 1 else []
    parts += [f"pad: {layer.padding[0]}"] if layer.padding[0] else []
    parts += [f"group: {shape.groups}"] if shape.groups > 1 else []
    return (f"convolution_param {{ {' '.join(parts)} }}",)


def _follower(
    follower: str, number: str, about: Convention
) -> tuple[str, str, tuple[str, ...], bool]:
    """Name, type and parameters of what follows a layer, and whether it works in place."""
    match follower:
        case "relu":
            return f"relu{number}", "ReLU", (), True
        case "tanh":
            return f"tanh{number}", "TanH", (), True
        case "norm":
            norm = about.norm
            text = (
                f"lrn_param {{ local_size: {norm.n} alpha: {norm.alpha * norm.n:.9g} "
                f"beta: {norm.beta:g} k: {norm.k:g} }}"  # Caffe divides its alpha by the window
            )
            return f"norm{number}", "LRN", (text,), False
        case "pool":
            size, stride = about.pool
            text = f"pooling_param {{ pool: MAX kernel_size: {size} stride: {stride} }}"
            return f"pool{number}", "Pooling", (text,), False
        case "dropout":
            text = f"dropout_param {{ dropout_ratio: {paper.DROPOUT:g} }}"
            return f"drop{number}", "Dropout", (text,), True
    assert follower == "softmax"
    return "prob", "Softmax", (), False
