"""Stage 1: where labelled images come from, as (split, key, label, bytes) in a fixed order."""

from alexnet.sources.base import DEFAULT_VALIDATION_SHARE, LabelledImage, Source
from alexnet.sources.named import NAMED_SETS, default_data_folder, located
from alexnet.sources.open import BUILTIN, name_of, open_source

__all__ = [
    "BUILTIN",
    "DEFAULT_VALIDATION_SHARE",
    "NAMED_SETS",
    "LabelledImage",
    "Source",
    "default_data_folder",
    "located",
    "name_of",
    "open_source",
]
