"""AlexNet, as the 2012 paper describes it: the complete system.

    import alexnet

    model = alexnet.load("runs/photos")
    print(model.predict("dog.jpg"))

Importing the package loads no other; PyTorch comes with the first name that needs it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from alexnet.evaluation.classifier import load as load
    from alexnet.network.alexnet import AlexNet as AlexNet

__version__ = "0.1.0"
__all__ = ["AlexNet", "__version__", "load"]

_HOMES = {"load": "alexnet.evaluation.classifier", "AlexNet": "alexnet.network.alexnet"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
