"""`alexnet index` and `search`: similar images by the distance of their feature vectors."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

import typer

from alexnet.base.errors import DataError, UsageError
from alexnet.cli.options import AsJson, Device, take_device
from alexnet.cli.tables import table

if TYPE_CHECKING:
    from alexnet.retrieval.answers import Answer, Neighbour
    from alexnet.retrieval.description import CodesOf
    from alexnet.retrieval.duplicates import Duplicates, Side
    from alexnet.retrieval.index import Index

_SHOWN = 20  # pairs on the terminal
Top = Annotated[int, typer.Option(min=1, help="How many neighbours.")]


def index(
    model: Annotated[str, typer.Argument(help="A run or a model folder.")],
    source: Annotated[
        str,
        typer.Argument(metavar="SRC", help="A folder of images, a prepared set, any other set."),
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="DIR", help="The index, a folder.")
    ],
    add: Annotated[
        bool, typer.Option("--add", help="Keep the images that are in the index already.")
    ] = False,
    layer: Annotated[str, typer.Option(help="The vectors: activations of this layer.")] = "fc7",
    views: Annotated[int, typer.Option(help="1, the centre, or the average over 10.")] = 1,
    codes: Annotated[
        int | None,
        typer.Option(min=1, max=256, metavar="BITS", help="Also short codes, of so many bits."),
    ] = None,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Index images for `search`: a feature vector for each.

    Run again, it computes only what is new. An image is known by its bytes, wherever it lies; those that
    are nowhere any more are marked as removed.
    """
    from alexnet.models import find_model
    from alexnet.network import keep_memory
    from alexnet.retrieval import build_index, open_collection, open_vectors

    device = take_device(device)
    keep_memory()
    vectors = open_vectors(find_model(model), layer, views, device)
    collection = open_collection(source, vectors.about.side)
    try:
        built = build_index(vectors, collection, output, add)
    except KeyboardInterrupt:
        print("What was computed is kept: the same command goes on.", file=sys.stderr)
        raise
    coded = _coded(output, codes) if codes else None
    for one in built.skipped:
        print(f"skipped {one.image}: {one.reason}", file=sys.stderr)
    if as_json:
        about = vars(built) | {"skipped": [one._asdict() for one in built.skipped]}
        about |= {"model": vars(vectors.about), "index": str(output)}
        if coded:
            about["codes"] = {"bits": coded.bits, "found_from": coded.rows}
        print(json.dumps(about, indent=1))
        return
    print(
        f"Images: {built.inputs:,} = {built.new:,} new + {built.known:,} known + "
        f"{built.copies:,} copies + {len(built.skipped):,} skipped."
    )
    print(f"The index has {built.rows:,} vectors, {built.removed:,} of removed images.")
    if coded:
        print(f"It has codes of {coded.bits} bits, found from {coded.rows:,} vectors.")
    print(f"Wrote {output}")


def _coded(folder: Path, bits: int) -> CodesOf | None:
    """Give a new index codes; of several processes the first does."""
    from alexnet.base import ranks
    from alexnet.retrieval import add_codes

    if not ranks.is_rank_0():
        return None
    try:
        return add_codes(folder, bits)
    except KeyboardInterrupt:
        print("The index has all vectors, and the codes that it had before.", file=sys.stderr)
        raise


def search(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="What `alexnet index` wrote.")],
    images: Annotated[
        list[str] | None, typer.Argument(metavar="IMAGE...", help="Images, or folders of them.")
    ] = None,
    top: Top = 6,
    split: Annotated[str, typer.Option(help="Only neighbours of this split.")] = "",
    codes: Annotated[
        bool, typer.Option("--codes", help="Compare only images whose codes are near: not exact.")
    ] = False,
    pixels: Annotated[
        bool, typer.Option("--pixels", help="Also the nearest by pixels; reads every image.")
    ] = False,
    duplicates: Annotated[
        bool, typer.Option("--duplicates", help="Instead, all images that are there twice.")
    ] = False,
    near: Annotated[
        float,
        typer.Option(min=0.0, help="Duplicates: how near, in lengths of the vectors."),
    ] = 0.05,
    model: Annotated[str, typer.Option(help="The model, if it was moved.")] = "",
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a page with the images.")
    ] = None,
    figure: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Draw figure 4 of the paper: the images and no words."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Find the images of an index that are most similar to an image.

    Their feature vectors have the least Euclidean distance of all: the search is exact, unless by codes.
    """
    from alexnet.retrieval import Index

    opened = Index.open(folder, model)
    if duplicates:
        _duplicates(opened, near, html, as_json)
        return
    if not images:
        raise UsageError(
            "There is no image to search for.",
            remedy=f"For example: alexnet search {quote(str(folder))} IMAGE, or --duplicates.",
        )
    from alexnet.loading.files import image_files

    files = image_files(images).paths
    answers = opened.answers(files, top, split, codes)
    faults = [(file, one) for file, one in zip(files, answers, strict=True) if _is_fault(one)]
    good = [(file, one) for file, one in zip(files, answers, strict=True) if not _is_fault(one)]
    for file, fault in faults:
        print(f"skipped {file}: {fault.what}", file=sys.stderr)  # type: ignore[union-attr]
    if not good:
        raise DataError("None of the images could be used.", where=", ".join(files[:3]))
    _searched(opened, good, top, split, pixels, html, figure, as_json)  # type: ignore[arg-type]


def _is_fault(answer: Answer | DataError) -> bool:
    return isinstance(answer, DataError)


def _searched(
    opened: Index,
    found: Sequence[tuple[str, Answer]],
    top: int,
    split: str,
    pixels: bool,
    html: Path | None,
    figure: Path | None,
    as_json: bool,
) -> None:
    files, answers = [file for file, _ in found], [answer for _, answer in found]
    by_pixels: list[list[Neighbour]] = []
    distances = None
    if pixels:
        from alexnet.retrieval.pixels import nearest_by_pixels

        distances, by_pixels = nearest_by_pixels(opened, files, top, split)
        for path in distances.missing[:5]:
            print(f"not there any more: {path}", file=sys.stderr)
        if (count := len(distances.missing)) > 5:
            print(f"not there any more: {count - 5:,} others", file=sys.stderr)
    if html:
        from alexnet.retrieval.page import search_page

        search_page(html, opened, files, answers, distances, by_pixels)
    if figure:
        from alexnet.retrieval.figure4 import search_figure

        search_figure(figure, opened, files, answers, by_pixels)
    if as_json:
        print(json.dumps(_as_dict(opened, found, by_pixels), indent=1))
        return
    for n, (file, answer) in enumerate(found):
        print(f"{file}\n{table(_rows(answer), ('distance', 'label', 'split', 'image'))}")
        print(f"{answer.rows_read:,} of {answer.rows:,} vectors read\n")
        if by_pixels:
            print(
                f"by pixels\n{table(_rows(by_pixels[n]), ('distance', 'label', 'split', 'image'))}\n"
            )
    for written in (html, figure):
        if written:
            print(f"Wrote {written}")


def _rows(neighbours: Sequence[Neighbour]) -> list[tuple[str, str, str, str]]:
    return [(one.away, one.label, one.split, one.path) for one in neighbours]


def _as_dict(
    opened: Index,
    found: Sequence[tuple[str, Answer]],
    by_pixels: Sequence[Sequence[Neighbour]],
) -> dict[str, Any]:
    def each(one: Neighbour) -> dict[str, Any]:
        files = [opened.file_of(place) for place in one.places]
        return {
            "distance": one.distance,
            "label": one.label,
            "split": one.split,
            "path": one.path,
            "paths": files,
            "sha256": one.key,
        }

    answers = []
    for n, (file, answer) in enumerate(found):
        about: dict[str, Any] = {
            "image": file,
            "rows_read": answer.rows_read,
            "rows": answer.rows,
            "neighbours": [each(one) for one in answer],
        }
        if by_pixels:
            about["by_pixels"] = [each(one) for one in by_pixels[n]]
        answers.append(about)
    return {"index": str(opened.folder), "layer": opened.layer, "answers": answers}


def _duplicates(opened: Index, near: float, html: Path | None, as_json: bool) -> None:
    from alexnet.retrieval.duplicates import duplicates

    found = duplicates(opened, near)
    if html:
        from alexnet.retrieval.page import duplicates_page

        duplicates_page(html, opened, found)
    if as_json:
        print(json.dumps(_pairs_as_dict(found), indent=1))
        return
    across = sum(pair.is_across for pair in found.pairs)
    rows = [
        (
            "same bytes" if pair.same_bytes else f"{pair.distance:8,.4g}",
            _named(pair.first),
            _named(pair.second),
        )
        for pair in found.pairs[:_SHOWN]
    ]
    if rows:
        print(table(rows, ("distance", "image", "image")))
        more = len(found.pairs) - len(rows)
        print(f"and {more:,} more: see them with --json or --html FILE\n" if more else "")
    print(
        f"{len(found.pairs):,} pairs among {found.rows:,} images, {across:,} between splits: the same "
        f"bytes, or vectors at most {found.near:g} of their length apart."
    )
    if not found.is_all:
        print("There are more: ask for nearer ones, with a smaller --near.")
    if html:
        print(f"Wrote {html}")


def _named(side: Side) -> str:
    return f"{side.file} ({side.split})" if side.split else side.file


def _pairs_as_dict(found: Duplicates) -> dict[str, Any]:
    pairs = [
        {
            "distance": pair.distance,
            "same_bytes": pair.same_bytes,
            "between_splits": pair.is_across,
            "first": pair.first._asdict(),
            "second": pair.second._asdict(),
        }
        for pair in found.pairs
    ]
    return {
        "near": found.near,
        "images": found.rows,
        "all": found.is_all,
        "pairs": pairs,
    }
