"""AlexNet, as the 2012 paper describes it: the complete system.

    import alexnet

    run = alexnet.train("photos", epochs=5)
    print(alexnet.load(run).predict("dog.jpg"))

Importing the package loads no other; PyTorch comes with the first call that needs it. The verbs are in
`alexnet.api`, the network is in `alexnet.network`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from alexnet.api import evaluate as evaluate
    from alexnet.api import load as load
    from alexnet.api import prepare as prepare
    from alexnet.api import resume as resume
    from alexnet.api import train as train
    from alexnet.network.alexnet import AlexNet as AlexNet
    from alexnet.retrieval.index import Index as Index

__version__ = "0.1.0"
__all__ = ["AlexNet", "Index", "__version__", "evaluate", "load", "prepare", "resume", "train"]

_HOMES = {
    "AlexNet": "alexnet.network.alexnet",
    "Index": "alexnet.retrieval.index",
    **dict.fromkeys(("evaluate", "load", "prepare", "resume", "train"), "alexnet.api"),
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
