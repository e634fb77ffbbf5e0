"""Stage 7: named activations of any number of images, and dissimilarities between them."""

from alexnet.activations.extract import Extracted, extract
from alexnet.activations.rdm import METRICS, dissimilarities, spearman
from alexnet.activations.stimuli import Stimuli, of_files, of_split
from alexnet.activations.stored import Stored, stored

__all__ = [
    "METRICS",
    "Extracted",
    "Stimuli",
    "Stored",
    "dissimilarities",
    "extract",
    "of_files",
    "of_split",
    "spearman",
    "stored",
]
