"""The fast path of `AlexNet`: the operators that compute several of its modules at once.

It is an optimization, not another network: the parameters and constants are those of the child modules,
and `applies` says when nothing looks inside, so that nobody can tell the two ways apart but by rounding.

Shape letters: N images, C input maps and K kernels, H x W positions, U units.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from operator import attrgetter
from typing import Protocol

import torch
from torch import Tensor, nn
from torch._C._functorch import CInterpreter, peek_interpreter_stack
from torch.autograd import forward_ad
from torch.nn.modules import module as module_hooks

from alexnet.conventions import Convention
from alexnet.network.conv import PaddedConv2d, convolve
from alexnet.network.dropout import Dropout, relu_dropout
from alexnet.network.linear import linear
from alexnet.network.lrn import LocalResponseNorm, block, relu_pool
from alexnet.network.table import Stage, is_connected, is_local


class Network(Protocol):
    """What the fast path needs of a network: `AlexNet`, or one of its columns."""

    fast: bool
    as_built: Mapping[str, object]  # `constants` of each child module

    @property
    def convention(self) -> Convention:
        """Its table of layers and its constants."""
        ...

    def named_children(self) -> Iterator[tuple[str, nn.Module]]:
        """The modules of all operations."""
        ...

    def get_submodule(self, target: str) -> nn.Module:
        """One of them by name."""
        ...

    def weight_and_bias(self, layer: str) -> tuple[nn.Parameter, nn.Parameter]:
        """The parameters of one layer."""
        ...


# What a child module says that the fused operators read in the table instead.
_CONVOLUTION = ("stride", "padding", "dilation", "groups", "padding_mode")
_CONSTANTS: dict[type, Callable[[object], object]] = {
    nn.Conv2d: attrgetter(*_CONVOLUTION),
    PaddedConv2d: attrgetter(*_CONVOLUTION, "zeros"),
    LocalResponseNorm: attrgetter("rule", "groups"),
    nn.MaxPool2d: attrgetter(
        *("kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices")
    ),
}


def constants(module: nn.Module) -> object:
    """A child module's type, and those of its constants that the table has too."""
    found = _CONSTANTS.get(kind := type(module))
    return kind if found is None else (kind, found(module))


# The methods whose work the fused operators do; patched classes do another.
_METHODS = frozenset({"__call__", "_call_impl", "forward", "_conv_forward"})
_COMPUTING = [
    (kind, name)
    for kind in (*_CONSTANTS, nn.Linear, nn.ReLU, Dropout)
    for name in sorted(_METHODS)
    if hasattr(kind, name)
]


def _methods() -> list[object]:
    return [getattr(kind, name) for kind, name in _COMPUTING]


_METHODS_AT_IMPORT = _methods()


def applies(network: Network, x: Tensor) -> bool:
    """Whether nothing looks inside a forward pass: no hook, transform, tracer, mode or autocast.

    Nor has a child module or its class been replaced or changed, but for its numbers, which are those
    of x in type and device. An empty batch is left to PyTorch, and so are derivatives carried forward.
    """
    return (
        network.fast
        and type(x) is Tensor
        and not torch.compiler.is_compiling()
        and not is_traced(x)
        and x.numel() > 0
        and x.device.type in ("cpu", "cuda")
        and forward_ad._current_level < 0
        and not _is_sharded(network)
        and not torch._C._len_torch_dispatch_stack()
        and not torch._C._len_torch_function_stack()
        and not torch.is_autocast_enabled(x.device.type)
        and not any(vars(module_hooks)[name] for name in _GLOBAL_HOOKS)
        and _methods() == _METHODS_AT_IMPORT
        and _is_as_built(network, x)
    )


def is_traced(x: Tensor) -> bool:
    """Whether x stands for other numbers: in a tracer, or inside a transform of `torch.func`."""
    return (
        not isinstance(x, Tensor)
        or torch._C._get_tracing_state() is not None
        or isinstance(peek_interpreter_stack(), CInterpreter)  # the compiler wraps None
    )


def _is_sharded(network: Network) -> bool:
    """Whether FSDP2 owns the memory of the weights: it could not free what NumPy has seen."""
    fsdp = sys.modules.get("torch.distributed.fsdp")
    return fsdp is not None and isinstance(network, fsdp.FSDPModule)


_GLOBAL_HOOKS = [
    name for name in vars(module_hooks) if name.startswith("_global_") and "hooks" in name
]
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
_hooks = attrgetter(*_HOOKS)


def _is_as_built(network: Network, x: Tensor) -> bool:
    """Whether each child computes what the table says, from parameters of its own that x can meet."""
    dtype, device, as_built = x.dtype, x.device, network.as_built
    for name, module in network.named_children():
        if constants(module) != as_built.get(name) or any(_hooks(module)):
            return False
        if not _METHODS.isdisjoint(vars(module)):
            return False
        for one in module._parameters.values():
            if one is None or type(one) not in (nn.Parameter, Tensor):
                return False
            if one.dtype != dtype or one.device != device:
                return False
    return True


def run(network: Network, stage: Stage, x: Tensor) -> Tensor:
    """One layer with all that follows it."""
    layer = stage.layer
    module = network.get_submodule(layer.name)
    if is_local(layer):
        return _followers(network, stage, module(x), 0)
    weight, bias = network.weight_and_bias(layer.name)
    if is_connected(layer):
        return after_units(network, stage, linear(x.flatten(1), weight, bias))
    match stage.followers:
        case ("relu", "pool", *_) | ("relu", "norm", "pool", *_):
            return after_maps(network, stage, convolve(x, weight, None, layer), bias)
        case ("relu", *_):
            return _followers(network, stage, convolve(x, weight, bias, layer, relu=True), 1)
    return _followers(network, stage, convolve(x, weight, bias, layer), 0)


def after_maps(network: Network, stage: Stage, x_NKHW: Tensor, bias_K: Tensor) -> Tensor:
    """What follows a convolution's sums, to which the biases are still to be added."""
    about = network.convention
    size, stride = about.pool
    overhangs = about.overhang and (x_NKHW.shape[2] - size) % stride
    match stage.followers:
        case ("relu", "pool", *_) if not overhangs:
            return _followers(network, stage, relu_pool(x_NKHW, bias_K, size, stride), 2)
        case ("relu", "norm", "pool", *_) if not overhangs:
            x_NKHW = block(x_NKHW, bias_K, about.norm, about.norm_groups, size, stride)
            return _followers(network, stage, x_NKHW, 3)
    return _followers(network, stage, x_NKHW + bias_K[:, None, None], 0)


def after_units(network: Network, stage: Stage, x_NU: Tensor) -> Tensor:
    """What follows the sums of a fully connected layer."""
    if stage.followers == ("relu", "dropout"):
        module = network.get_submodule(stage.names[-1])
        assert isinstance(module, Dropout)
        if module.draws_by_address:
            return module.scaled(_addressed(x_NU, module))  # its ReLU in one pass
    return _followers(network, stage, x_NU, 0)


def _followers(network: Network, stage: Stage, x: Tensor, done: int) -> Tensor:
    """What follows a layer's sums, of which the first `done` are computed already."""
    about = network.convention
    for place in range(done, len(stage.followers)):
        follower, module = stage.followers[place], network.get_submodule(stage.names[place + 1])
        if follower == "norm" and "relu" in stage.followers[:place]:
            zeros = x.new_zeros(x.shape[1])  # the other parts of the block change nothing
            x = block(x, zeros, about.norm, about.norm_groups, 1, 1)
        elif isinstance(module, Dropout):
            x = drop(module, x, signed="tanh" in stage.followers)
        else:
            x = module(x)
    return x


def drop(module: Dropout, x: Tensor, signed: bool = False) -> Tensor:
    """What a dropout module computes; x has no negative numbers, unless it is `signed`."""
    if not module.draws_by_address:
        return module(x)  # type: ignore[no-any-return]
    x_NU = x.flatten(1)
    kept_NU = _addressed(x_NU, module)
    if signed:  # the same mask for what is negative
        kept_NU = kept_NU - _addressed(-x_NU, module)
    return module.scaled(kept_NU).reshape(x.shape)


def _addressed(x_NU: Tensor, module: Dropout) -> Tensor:
    """The ReLU of the units, those of the step's mask dropped."""
    assert module.address is not None
    address_3 = module.address.to(x_NU.device)
    return relu_dropout(x_NU, address_3, module.lane, module.units, module.start)
