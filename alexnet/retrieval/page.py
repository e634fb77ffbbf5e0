"""One page that shows what a search found, with the images in it; it needs no other file.

Legend: H x W pixels, C colours.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import jinja2
import numpy as np
from PIL import Image

from alexnet import __version__
from alexnet.base.errors import DataError
from alexnet.base.files import write_atomically
from alexnet.loading.files import pixels_of
from alexnet.retrieval.collection import contents, require_same_bytes

if TYPE_CHECKING:
    from alexnet.retrieval.answers import Answer, Neighbour
    from alexnet.retrieval.duplicates import Duplicates, Side
    from alexnet.retrieval.files import Place
    from alexnet.retrieval.index import Index
    from alexnet.retrieval.pixels import PixelDistances

_TEMPLATE = Path(__file__).with_name("page.html.j2")
_SIDE = 192  # pixels, of an image on the page
_QUALITY = 85


@dataclass(frozen=True)
class Card:
    """An image on a page, as a data URL, and what is said of it; no image where it is not there."""

    image: str
    label: str
    path: str
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Row:
    """Neighbours of one kind."""

    title: str
    cards: tuple[Card, ...]


@dataclass(frozen=True)
class Found:
    """A query and its rows of neighbours."""

    query: Card
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Group:
    """Pairs under one heading."""

    title: str
    pairs: tuple[tuple[Card, Card, str], ...]


def write_page(
    path: Path,
    title: str,
    lines: Sequence[str],
    found: Sequence[Found] = (),
    groups: Sequence[Group] = (),
) -> None:
    """Write the page; `lines` are sentences under its title."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string(_TEMPLATE.read_text(encoding="utf-8"))
    html = template.render(
        title=title, lines=lines, found=found, groups=groups, version=__version__
    )
    write_atomically(path, html.encode("utf-8", "backslashreplace"))


def search_page(
    path: Path,
    index: Index,
    queries: Sequence[str],
    answers: Sequence[Answer],
    pixels: PixelDistances | None = None,
    by_pixels: Sequence[Sequence[Neighbour]] = (),
) -> None:
    """Write the page of a search: each query, its neighbours, and those by pixels where they were
    looked for."""
    shown = [one for answer in [*answers, *by_pixels] for one in answer]
    images = thumbnails(index, [(one.row, one.key, one.places) for one in shown])

    def card(one: Neighbour, *notes: str) -> Card:
        said = (f"distance {one.away}", *notes)
        return Card(images.get(one.row, ""), one.label, one.path, said)

    found = []
    for q, (query, answer) in enumerate(zip(queries, answers, strict=True)):
        notes = [
            (f"{pixels.rank(q, one.row):,} of {len(index):,} by pixels",) if pixels else ()
            for one in answer
        ]
        cards = [card(one, *note) for one, note in zip(answer, notes, strict=True)]
        rows = [Row(f"Nearest in {index.layer}", tuple(cards))]
        if by_pixels:
            rows.append(Row("Nearest by their pixels", tuple(map(card, by_pixels[q]))))
        name = Path(query).name
        found.append(Found(Card(thumbnail(query), "", name, ()), tuple(rows)))
    read = sum(one.rows_read for one in answers) / len(answers)
    lines = [
        f"{len(index):,} images; Euclidean distance of {_vectors(index)}.",
        f"For a query, {read:,.0f} vectors were read on average; all others are farther away.",
    ]
    write_page(path, "Similar images", lines, found=found)


def duplicates_page(path: Path, index: Index, found: Duplicates, most: int = 200) -> None:
    """Write the page of duplicates: the first `most` pairs of each kind."""
    across = [pair for pair in found.pairs if pair.is_across]
    within = [pair for pair in found.pairs if not pair.is_across]
    sides = [side for pair in [*across[:most], *within[:most]] for side in pair[1:3]]
    images = thumbnails(index, [(one.row, one.key, _places(index, one.row)) for one in sides])

    def card(side: Side) -> Card:
        return Card(
            images.get(side.row, ""), side.label, side.file, (side.split,) if side.split else ()
        )

    groups = []
    for title, pairs in (("Between splits", across), ("Within a split", within)):
        note = f": {len(pairs):,} pairs" + (f", {most} shown" if len(pairs) > most else "")
        some = [
            (
                card(pair.first),
                card(pair.second),
                "the same bytes" if pair.same_bytes else f"distance {pair.distance:,.4g}",
            )
            for pair in pairs[:most]
        ]
        if some:
            groups.append(Group(title + note, tuple(some)))
    lines = [
        f"{found.rows:,} images: files of the same bytes, and pairs whose vectors, {_vectors(index)}, "
        f"are at most {found.near:g} of their length apart."
    ]
    write_page(path, "Images that are there twice", lines, groups=groups)


def _vectors(index: Index) -> str:
    about = index.description.about
    views = "the centre view" if about.views == 1 else f"the mean of {about.views} views"
    return f"{about.layer} ({len(index.rows.basis_UD):,} numbers, {views})"


def _places(index: Index, row: int) -> tuple[Place, ...]:
    part, n = index.rows.part_of(row)
    return tuple(part.places(n))


def thumbnails(
    index: Index, shown: Iterable[tuple[int, str, tuple[Place, ...]]]
) -> Mapping[int, str]:
    """The images of rows of an index (row, key, places) as data URLs, those that are there."""
    return {row: _data_url(pixels_HWC) for row, pixels_HWC in pixels_of_rows(index, shown)}


def thumbnail(image: str) -> str:
    """An image file, as the network's square, as a data URL; raises Rejected."""
    return _data_url(pixels_of(image))


def pixels_of_rows(
    index: Index, shown: Iterable[tuple[int, str, tuple[Place, ...]]]
) -> Iterator[tuple[int, np.ndarray]]:
    """The images of rows of an index (row, key, places) as squares, uint8, H x W x C, read where they
    lie; those that are there, in no order."""
    rows = {
        (place.source, place.path): (row, key) for row, key, places in shown for place in places
    }
    wanted: dict[int, set[str]] = {}
    for number, path in rows:
        wanted.setdefault(number, set()).add(path)
    found = set[int]()
    for number, path, content in contents(index.description.sources, wanted, index.side):
        row, key = rows[number, path]
        if row in found:
            continue
        try:
            require_same_bytes(content, key)
            pixels_HWC = pixels_of(content)
        except DataError:  # another image lies there now
            continue
        found.add(row)
        yield row, pixels_HWC


def _data_url(pixels_HWC: np.ndarray) -> str:
    shown = Image.fromarray(np.ascontiguousarray(pixels_HWC))
    file = io.BytesIO()
    shown.resize((_SIDE, _SIDE), Image.Resampling.LANCZOS).save(file, "JPEG", quality=_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()
