"""Figure 4 (right): images, those nearest to them in the index, and those nearest by their pixels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from alexnet.figures.neighbours import Similar, similar_images
from alexnet.figures.style import write_png
from alexnet.loading.files import pixels_of
from alexnet.retrieval.answers import Answer, Neighbour
from alexnet.retrieval.index import Index
from alexnet.retrieval.page import pixels_of_rows


def search_figure(
    path: Path,
    index: Index,
    queries: Sequence[str],
    answers: Sequence[Answer],
    by_pixels: Sequence[Sequence[Neighbour]] = (),
) -> None:
    """Write the figure of a search as PNG: a row for each query, below it the neighbours by pixels where
    they were looked for.
    """
    shown = [one for answer in [*answers, *by_pixels] for one in answer]
    images = dict(pixels_of_rows(index, [(one.row, one.key, one.places) for one in shown]))
    found = []
    for q, (query, answer) in enumerate(zip(queries, answers, strict=True)):
        rows = [(index.layer, [images.get(one.row) for one in answer])]
        if by_pixels:
            rows.append(("pixels", [images.get(one.row) for one in by_pixels[q]]))
        found.append(Similar(pixels_of(query), rows))
    write_png(similar_images(found), path)
