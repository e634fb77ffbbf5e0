"""Stage 2: pictures as 256x256 pixels in Arrow shards, with the mean image and the colour PCA."""

from alexnet.prepared.dataset import PreparedDataset, Split
from alexnet.prepared.pixels import Rejected, prepare_picture
from alexnet.prepared.prepare import default_folder, open_or_prepare, prepare
from alexnet.prepared.statistics import Statistics

__all__ = [
    "PreparedDataset",
    "Rejected",
    "Split",
    "Statistics",
    "default_folder",
    "open_or_prepare",
    "prepare",
    "prepare_picture",
]
