"""The paper's network in PyTorch's own modules: the peers `pytorch` and `compile`."""

from __future__ import annotations

from torch import Tensor, nn

from alexnet import paper


class PerColumnLRN(nn.LocalResponseNorm):
    """PyTorch's normalization, which knows no columns, given each column as an image of its own."""

    def forward(self, x_NCHW: Tensor) -> Tensor:
        N, C, H, W = x_NCHW.shape
        return super().forward(x_NCHW.reshape(2 * N, C // 2, H, W)).reshape(N, C, H, W)


def normalization() -> PerColumnLRN:
    """Section 3.3; PyTorch's `alpha` is n times the paper's."""
    lrn = paper.LRN
    return PerColumnLRN(lrn.n, lrn.n * lrn.alpha, lrn.beta, lrn.k)


def pooling() -> nn.MaxPool2d:
    """Section 3.4."""
    return nn.MaxPool2d(paper.POOL.size, paper.POOL.stride)


def pytorch_alexnet(classes: int = paper.CLASSES) -> nn.Sequential:
    """The eight layers; dropout in PyTorch's inverted form."""
    layers = paper.LAYERS
    modules: list[nn.Module] = []
    maps, side = paper.CHANNELS, paper.CROP
    for layer in layers:
        if layer.name.startswith("conv"):
            before, after = layer.padding
            groups = paper.COLUMNS if layer.sees == "own column" else 1
            modules += [nn.ZeroPad2d((before, after, before, after))] if before != after else []
            padding = before if before == after else 0
            modules += [
                nn.Conv2d(maps, layer.kernels, layer.size, layer.stride, padding, groups=groups)
            ]
            maps, side = layer.kernels, layer.output
        else:
            modules += [nn.Flatten()] if side > 1 else []
            units = classes if layer is layers[-1] else layer.kernels
            modules += [nn.Linear(maps * side**2, units)]
            maps, side = units, 1
        modules += [nn.ReLU()] if "relu" in layer.followed_by else []
        modules += [normalization()] if "norm" in layer.followed_by else []
        if "pool" in layer.followed_by:
            modules += [pooling()]
            side = (side - paper.POOL.size) // paper.POOL.stride + 1
        modules += [nn.Dropout(paper.DROPOUT)] if "dropout" in layer.followed_by else []
    return nn.Sequential(*modules)
