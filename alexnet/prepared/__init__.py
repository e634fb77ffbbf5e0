"""Stage 2: images as 256x256 pixels in Arrow shards, with the mean image and the colour PCA.

A name brings only the modules it needs: the pixels of an image need no Arrow.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from alexnet.prepared.batches import Account as Account
    from alexnet.prepared.batches import in_two_classes as in_two_classes
    from alexnet.prepared.batches import in_two_splits as in_two_splits
    from alexnet.prepared.dataset import PreparedDataset as PreparedDataset
    from alexnet.prepared.dataset import Split as Split
    from alexnet.prepared.folder import upgrades as upgrades
    from alexnet.prepared.history import changed_since as changed_since
    from alexnet.prepared.labelled import open_labelled as open_labelled
    from alexnet.prepared.look import check as check
    from alexnet.prepared.pages import Advice as Advice
    from alexnet.prepared.pixels import Rejected as Rejected
    from alexnet.prepared.pixels import prepare_image as prepare_image
    from alexnet.prepared.preparation import default_folder as default_folder
    from alexnet.prepared.preparation import home_of as home_of
    from alexnet.prepared.preparation import open_or_prepare as open_or_prepare
    from alexnet.prepared.preparation import prepare as prepare
    from alexnet.prepared.statistics import Statistics as Statistics
    from alexnet.prepared.verification import Verified as Verified
    from alexnet.prepared.verification import verify as verify

_HOMES = {
    **dict.fromkeys(("Account", "in_two_classes", "in_two_splits"), "batches"),
    "open_labelled": "labelled",
    **dict.fromkeys(("PreparedDataset", "Split"), "dataset"),
    "upgrades": "folder",
    "changed_since": "history",
    "check": "look",
    "Advice": "pages",
    **dict.fromkeys(("Rejected", "prepare_image"), "pixels"),
    **dict.fromkeys(("default_folder", "home_of", "open_or_prepare", "prepare"), "preparation"),
    "Statistics": "statistics",
    **dict.fromkeys(("Verified", "verify"), "verification"),
}
__all__ = [*_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
