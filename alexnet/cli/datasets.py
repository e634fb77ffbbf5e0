"""What a DATA argument means: a prepared dataset, or a source that is prepared first."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from alexnet.prepared import PreparedDataset


def open_dataset(data: str, download: bool = False) -> PreparedDataset:
    """The prepared form of DATA, made in `prepared/NAME` if it is not there yet."""
    from alexnet.prepared import PreparedDataset, open_or_prepare
    from alexnet.sources import open_source

    if (Path(data) / "dataset.json").is_file():
        return PreparedDataset.open(Path(data))
    return open_or_prepare(open_source(data, download=download))
