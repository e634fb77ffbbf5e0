"""Stage 7: similar images by the distance of their feature vectors (section 6.1 and figure 4)."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from alexnet.retrieval.answers import Answer as Answer
    from alexnet.retrieval.answers import Neighbour as Neighbour
    from alexnet.retrieval.build import Built as Built
    from alexnet.retrieval.build import build_index as build_index
    from alexnet.retrieval.build import open_vectors as open_vectors
    from alexnet.retrieval.codes import Coder as Coder
    from alexnet.retrieval.coding import add_codes as add_codes
    from alexnet.retrieval.collection import open_collection as open_collection
    from alexnet.retrieval.index import Index as Index

_HOMES = {
    **dict.fromkeys(("Built", "build_index", "open_vectors"), "build"),
    "Coder": "codes",
    "add_codes": "coding",
    "open_collection": "collection",
    **dict.fromkeys(("Answer", "Neighbour"), "answers"),
    "Index": "index",
}
__all__ = [*_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
