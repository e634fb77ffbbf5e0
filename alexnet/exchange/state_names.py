"""The names that programs give a network's weights: torchvision's, ours, and what wrappers add."""

from __future__ import annotations

from collections.abc import Set
from typing import NamedTuple

from alexnet.conventions import CONVENTIONS, Convention
from alexnet.exchange.imported import layer_names

PLACES = (
    *("features.0", "features.3", "features.6", "features.8", "features.10"),
    *("classifier.1", "classifier.4", "classifier.6"),
)  # of torchvision's alexnet, in our order of layers
PARTS = ("weight", "bias")
WRAPPERS = {
    *("module", "model", "_orig_mod", "_forward_module", "_fsdp_wrapped_module"),
    *("_checkpoint_wrapped_module", "_wrapped_module"),
}


def _names_of(about: Convention) -> frozenset[str]:
    return frozenset(f"{layer}.{part}" for layer in layer_names(about) for part in PARTS)


# Of each kind, the names of every network that it can be.
NAME_SETS = {
    "torchvision": {frozenset(f"{place}.{part}" for place in PLACES for part in PARTS)},
    "alexnet": {_names_of(about) for about in CONVENTIONS.values()},
}
_KNOWN = {
    tuple(name.split(".")): kind
    for kind, sets in NAME_SETS.items()
    for names in sets
    for name in names
}
FEWEST = min(len(names) for sets in NAME_SETS.values() for names in sets)
_DEPTHS = sorted({len(name) for name in _KNOWN}, reverse=True)


class Place(NamedTuple):
    """A name taken apart: what comes before the network's name of it, and what stood inside that."""

    kind: str
    name: str
    before: tuple[str, ...]
    inside: tuple[str, ...]


def place_of(name: str) -> Place | None:
    """Where a name ends as one of a network's does, wrappers left out; else None."""
    parts = name.split(".")
    kept = [n for n, part in enumerate(parts) if part not in WRAPPERS]
    for depth in _DEPTHS:
        tail = kept[-depth:]
        kind = _KNOWN.get(tuple(parts[n] for n in tail))
        if kind and tail[-1] == len(parts) - 1:
            inside = [parts[n] for n in range(tail[0], len(parts)) if n not in tail]
            known = ".".join(parts[n] for n in tail)
            return Place(kind, known, tuple(parts[: tail[0]]), tuple(inside))
    return None


def is_most_of(kind: str, names: Set[str]) -> bool:
    """Whether these are more than half of the names of a network of this kind."""
    return any(2 * len(names & known) > len(known) for known in NAME_SETS[kind])
