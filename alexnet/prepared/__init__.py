"""Stage 2: images as 256x256 pixels in Arrow shards, with the mean image and the colour PCA."""

from alexnet.prepared.batches import Account, in_two_splits
from alexnet.prepared.dataset import PreparedDataset, Split
from alexnet.prepared.look import check
from alexnet.prepared.pages import Advice
from alexnet.prepared.pixels import Rejected, prepare_image
from alexnet.prepared.prepare import default_folder, open_or_prepare, prepare
from alexnet.prepared.statistics import Statistics
from alexnet.prepared.verify import Verified, verify

__all__ = [
    "Account",
    "Advice",
    "PreparedDataset",
    "Rejected",
    "Split",
    "Statistics",
    "Verified",
    "check",
    "default_folder",
    "in_two_splits",
    "open_or_prepare",
    "prepare",
    "prepare_image",
    "verify",
]
