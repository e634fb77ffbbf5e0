"""`alexnet features` and `rdm`: activations of images, and dissimilarities between them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from math import comb
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from alexnet import __version__
from alexnet.base import ranks
from alexnet.base.errors import UsageError
from alexnet.cli.options import AsJson, Device, take_device
from alexnet.cli.tables import table

if TYPE_CHECKING:
    import numpy as np

    from alexnet.activations import Stimuli, Stored
    from alexnet.activations.arrays import Output

Force = Annotated[bool, typer.Option("--force", help="Write anew what is there already.")]


def features(
    model: Annotated[str, typer.Argument(help="A run or a model folder.")],
    images: Annotated[
        list[str],
        typer.Argument(metavar="SRC...", help="Images, folders of them, or one set of images."),
    ],
    output: Annotated[
        Path,
        typer.Option("-o", "--output", help="The file: .npy, .npz, .h5, .parquet, .csv or .mat."),
    ],
    layer: Annotated[
        list[str] | None, typer.Option(help="Layers: conv3,fc7; fc7.pre before its ReLU.")
    ] = None,
    views: Annotated[int, typer.Option(help="1, the centre, or the average over 10.")] = 1,
    split: Annotated[
        str, typer.Option(help="Of which split, where SRC is a set.", show_default="val")
    ] = "",
    device: Device = "auto",
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Write the activations of images in layers of a network."""
    from alexnet.activations import extract
    from alexnet.activations.store import files_of, require_new
    from alexnet.base.names import printable
    from alexnet.models import find_model
    from alexnet.models.activations import row_shapes
    from alexnet.network import keep_memory

    names = list(dict.fromkeys(one for text in layer or ["fc7"] for one in text.split(",")))
    files = files_of(output, names)
    if ranks.is_rank_0():
        require_new(files, force)
    device = take_device(device)
    keep_memory()
    chosen = find_model(model)
    network, card = chosen.load()
    row_shapes(network.to(device), names)  # before any image is looked at
    stimuli = _stimuli(images, split, network.convention.side)
    if told := stimuli.source.get("ignored"):
        print(told, file=sys.stderr)
    sha256 = chosen.config()["weights_sha256"]
    made_by = {"name": printable(model), "weights_sha256": sha256}
    found = extract(network, card, stimuli, names, output, views=views, model=made_by, force=force)
    for one in found.skipped:
        print(f"skipped {one.image}: {one.reason}", file=sys.stderr)
    if as_json:
        about = {
            "model": made_by,
            "views": views,
            "images": len(found.keys),
            "skipped": [one._asdict() for one in found.skipped],
            "layers": found.shapes,
            "written": [str(path) for path in found.written],
        }
        print(json.dumps(about, indent=1))
        return
    rows = [
        (name, " × ".join(f"{size:,}" for size in shape)) for name, shape in found.shapes.items()
    ]
    print(table(rows, ("layer", "array")))
    used, left = len(found.keys), len(found.skipped)
    print(f"\nImages: {used + left:,} = {used:,} used + {left:,} skipped.")
    for path in found.written:
        print(f"Wrote {path}")


def rdm(
    source: Annotated[
        Path, typer.Argument(metavar="FEATURES", help="What `alexnet features` wrote.")
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            help="The file, in one of the formats of `features`; a .png beside it.",
        ),
    ] = None,
    metric: Annotated[str, typer.Option(help="pearson, euclidean or cosine.")] = "pearson",
    layer: Annotated[
        list[str] | None, typer.Option(help="Which of the file's layers, if not all.")
    ] = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Write and draw the dissimilarity matrix of the images for each layer of a file."""
    from alexnet.activations import METRICS, spearman, stored
    from alexnet.activations.store import (
        files_of,
        require_ending,
        require_new,
        require_possible,
        require_room,
        writing,
    )
    from alexnet.figures.heatmaps import heat_maps
    from alexnet.figures.style import write_png

    output = output or source.with_suffix(f".rdm{source.suffix}")
    require_ending(output)
    png = output.with_suffix(".png")
    with stored(source) as found:
        asked = [one for text in layer or [] for one in text.split(",")] or list(found.layers)
        arrays = {name: found.layer(name) for name in asked}
        planned = _planned(output, arrays, metric, found)
        require_possible(planned)
        written = [*files_of(output, tuple(planned.shapes)), png]
        require_new(written, force)
        require_room(planned)
        rdms = _computed(arrays, metric, found.keys)
        with writing(planned) as write:
            write(found.keys, rdms)
        write_png(heat_maps(rdms, found.keys, METRICS[metric]), png)
    correlations = spearman(rdms)
    if as_json:
        print(json.dumps(_as_dict(rdms, metric, correlations, written), indent=1))
        return
    print(f"{len(found.keys):,} images, {METRICS[metric]}\n")
    print(table(*_summary(rdms)))
    if len(rdms) > 1:
        print("\nSpearman's correlation between the layers' matrices\n")
        rows = [
            [name, *(f"{value:6.3f}" for value in row)]
            for name, row in zip(rdms, correlations.tolist(), strict=True)
        ]
        print(table(rows, ["", *rdms]))
    print()
    for path in written:
        print(f"Wrote {path}")


def _stimuli(names: Sequence[str], split: str, side: int) -> Stimuli:
    """One set of images, or files and folders.

    A folder of images is taken whole; with a split named, it is the set that training makes of it,
    its images of `side` pixels.
    """
    from alexnet.activations import of_files, of_split
    from alexnet.prepared import open_or_prepare

    sets = [name for name in names if split or _is_set(name, len(names) == 1)]
    if sets and len(names) > 1:
        raise UsageError(
            "A set of images is taken by itself.",
            where=", ".join(names),
            remedy=f"For example: alexnet features MODEL {sets[0]} -o FILE",
        )
    if sets:
        return of_split(open_or_prepare(sets[0], side=side), split or "val")
    return of_files(names)


def _is_set(name: str, alone: bool) -> bool:
    """Whether a name stands for a prepared set, a tar file or, where it is no path, a known set."""
    from alexnet.sources.archive import is_archive

    path = Path(name)
    if path.exists():
        return is_archive(path) if path.is_file() else (path / "dataset.json").is_file()
    return alone and (":" in name or not path.suffix)


def _computed(arrays: Mapping[str, Any], metric: str, keys: Sequence[str]) -> dict[str, np.ndarray]:
    """The matrix of every layer."""
    from alexnet.activations import dissimilarities
    from alexnet.base.progress import progress

    rdms = {}
    for name, array in arrays.items():
        with progress(f"rdm {name}", comb(len(keys), 2), "pairs") as shown:
            rdms[name] = dissimilarities(array, metric, keys, shown.advance)
    return rdms


def _planned(output: Path, names: Iterable[str], metric: str, found: Stored) -> Output:
    """The files of the matrices of the layers named."""
    import numpy as np

    from alexnet.activations.arrays import Output

    about = {
        "format": "alexnet-rdm",
        "version": 1,
        "alexnet": __version__,
        "metric": metric,
        "features": dict(found.about),
    }
    shapes = {name: (len(found.keys),) for name in names}
    size = len(found.keys)
    columns = dict.fromkeys(shapes, found.keys)
    return Output(output, size, shapes, np.dtype("<f8"), about, columns)


def _summary(rdms: Mapping[str, np.ndarray]) -> tuple[list[list[str]], list[str]]:
    """Minimum, median and maximum dissimilarity of each layer, and the headers of that."""
    import numpy as np

    rows = []
    for name, rdm_NN in rdms.items():
        above = rdm_NN[np.triu_indices(len(rdm_NN), k=1)]
        three = (above.min(), np.median(above), above.max())
        rows.append([name, *(f"{value:8.4g}" for value in three)])
    return rows, ["layer", " minimum", "  median", " maximum"]


def _as_dict(
    rdms: Mapping[str, np.ndarray], metric: str, correlations: np.ndarray, written: Sequence[Path]
) -> dict[str, Any]:
    import numpy as np

    defined = [[None if np.isnan(one) else one for one in row] for row in correlations.tolist()]
    return {
        "metric": metric,
        "images": len(next(iter(rdms.values()))),
        "layers": list(rdms),
        "spearman": defined,
        "written": [str(path) for path in written],
    }
