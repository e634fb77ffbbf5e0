"""The peers: alternatives to this package, by name, and whether they can run here."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec

from alexnet.base.errors import EnvironmentProblem, UsageError, did_you_mean


@dataclass(frozen=True)
class Peer:
    """What tables call it, and the package it needs beyond this one's own."""

    label: str
    package: str = ""
    compiles: bool = False  # with a C++ compiler


PEERS = {
    "pytorch": Peer("PyTorch"),
    "compile": Peer("torch.compile", compiles=True),
    "jax": Peer("JAX", package="jax"),
    "tensorflow": Peer("TensorFlow", package="tensorflow"),
    "allocator": Peer("alexnet, default allocator"),
    "pillow": Peer("Pillow"),
    "numpy": Peer("NumPy, all vectors"),
    "faiss": Peer("FAISS flat", package="faiss"),
    "usearch": Peer("USearch exact", package="usearch"),
}


def choose(against: str | None, known: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """The peers to measure, and those left out with the reason.

    `against` names them by commas; None means all of `known` that can run here. Raises UsageError
    for one that is not known, EnvironmentProblem for one that is asked for and cannot run here.
    """
    if against is None:
        lacking = {name: lack for name in known if (lack := lacks(name))}
        return [name for name in known if name not in lacking], lacking
    names = [name.strip() for name in against.split(",") if name.strip()]
    for name in names:
        if name not in known:
            raise UsageError(f"There is no peer {name!r} here.", remedy=did_you_mean(name, known))
        if lack := lacks(name):
            raise EnvironmentProblem(f"The peer {name!r} cannot run here.", remedy=lack)
    return list(dict.fromkeys(names)), {}


def lacks(name: str) -> str:
    """What to do before this peer can run here; empty if it can."""
    peer = PEERS[name]
    if peer.package and find_spec(peer.package) is None:
        return f"Not installed: pip install {peer.package}"
    if peer.compiles and shutil.which(os.environ.get("CXX", "g++")) is None:
        return "No C++ compiler: install g++, or name one in the variable CXX."
    return ""
