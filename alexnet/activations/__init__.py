"""Stage 6: named activations of any number of images, as files, and dissimilarities between them."""

from alexnet.activations.arrays import Stored
from alexnet.activations.extract import Extracted, Skipped, extract
from alexnet.activations.rdm import METRICS, dissimilarities, spearman
from alexnet.activations.stimuli import Stimuli, of_files, of_split
from alexnet.activations.store import stored

__all__ = [
    "METRICS",
    "Extracted",
    "Skipped",
    "Stimuli",
    "Stored",
    "dissimilarities",
    "extract",
    "of_files",
    "of_split",
    "spearman",
    "stored",
]
