"""Stage 7: similar images by the distance of their feature vectors (section 6.1 and figure 4)."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from alexnet.retrieval.build import Built as Built
    from alexnet.retrieval.build import build_index as build_index
    from alexnet.retrieval.build import open_vectors as open_vectors
    from alexnet.retrieval.collection import open_collection as open_collection
    from alexnet.retrieval.index import Answer as Answer
    from alexnet.retrieval.index import Index as Index
    from alexnet.retrieval.index import Neighbour as Neighbour

_HOMES = {
    **dict.fromkeys(("Built", "build_index", "open_vectors"), "build"),
    "open_collection": "collection",
    **dict.fromkeys(("Answer", "Index", "Neighbour"), "index"),
}
__all__ = [*_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
