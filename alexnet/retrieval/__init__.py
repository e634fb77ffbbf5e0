"""Stage 7: named activations of any number of pictures, and dissimilarities between them."""

from alexnet.retrieval.features import Extracted, extract
from alexnet.retrieval.rdm import METRICS, dissimilarities, spearman
from alexnet.retrieval.stimuli import Stimuli, of_files, of_split
from alexnet.retrieval.stored import Stored, stored

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
