"""A trained network as a folder: its card, reading and writing it, finding it, starting from it.

A name brings only the modules it needs: a model is found without PyTorch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from alexnet.models.card import ModelCard as ModelCard
    from alexnet.models.find import find_model as find_model
    from alexnet.models.folder import load_model as load_model
    from alexnet.models.folder import save_model as save_model
    from alexnet.models.found import FoundModel as FoundModel

_HOMES = {
    "ModelCard": "card",
    "FoundModel": "found",
    "find_model": "find",
    **dict.fromkeys(("load_model", "save_model"), "folder"),
}
__all__ = [*_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
