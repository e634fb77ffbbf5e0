"""From what a user types to a source."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path

from alexnet.base import ranks
from alexnet.base.errors import DataError, UsageError, did_you_mean
from alexnet.sources.archive import is_archive, open_archive
from alexnet.sources.base import DEFAULT_VALIDATION_SHARE, Source
from alexnet.sources.folder import open_folder
from alexnet.sources.generated import open_digits, open_synthetic
from alexnet.sources.named import NAMED_SETS, open_named
from alexnet.sources.photos import open_photos

BUILTIN: dict[str, tuple[Callable[[str, float], Source], str]] = {
    "builtin:photos": (
        lambda spec, _: open_photos(spec),
        "views of the 20 photographs of scikit-image and scikit-learn; class = photograph",
    ),
    "builtin:digits": (open_digits, "1,797 handwritten digits of scikit-learn"),
}


def open_source(
    spec: str,
    data_folder: Path | None = None,
    validation_share: float | None = None,
    download: bool = False,
) -> Source:
    """A source by what it is called: a folder, a tar file, `cifar10[:DIR]`, `imagenette[:DIR]`,
    `builtin:photos`, `builtin:digits` or `synthetic:NxK`.

    `data_folder` is where named sets lie ($ALEXNET_DATA by default); a folder of this name in the working
    folder comes before. `validation_share` is how much is held out where the images come without a split,
    a tenth by default; who names it also asks for leaving out what looks like a split and cannot be read
    as one, which is an error else. Raises UsageError for a name that does not exist, DataError for what
    cannot be used. Of several processes the first fetches what is missing.
    """
    if download and not ranks.is_rank_0():
        ranks.meet()
    source = _open(spec, data_folder, validation_share, download)
    if download and ranks.is_rank_0():
        ranks.meet()
    return source


def _open(spec: str, data_folder: Path | None, asked_share: float | None, download: bool) -> Source:
    validation_share = DEFAULT_VALIDATION_SHARE if asked_share is None else asked_share
    leave_out = asked_share is not None
    if not 0 <= validation_share < 1:
        raise UsageError(f"The validation share is {validation_share}; it must be in [0, 1).")
    if not spec.strip():
        raise UsageError(
            "The name of the images is empty.",
            remedy="Give a folder of class folders, a tar file or the name of a set; "
            "this folder is: .",
        )
    if spec in BUILTIN:
        opener, _ = BUILTIN[spec]
        return opener(spec, validation_share)
    kind, _, rest = spec.partition(":")
    if kind in NAMED_SETS:
        return open_named(
            NAMED_SETS[kind], spec, Path(rest) if rest else None, data_folder, asked_share, download
        )
    path = Path(spec)
    if kind == "synthetic" and not path.exists():
        return open_synthetic(spec, validation_share)
    if (path / "dataset.json").is_file():
        raise UsageError(
            f"{spec} is prepared already.",
            remedy=f"Use it as it is: alexnet train {shlex.quote(spec)}",
        )
    if path.is_dir():
        return open_folder(path, spec, validation_share, leave_out)
    if path.is_file() and is_archive(path):
        return open_archive(path, spec, validation_share, leave_out)
    if path.is_file() and (kind := _other_format(path)):
        raise DataError(
            f"This is {kind}, which is not read.",
            where=spec,
            remedy="Unpack it into one folder for each class, or make a tar file of those.",
        )
    known = [*BUILTIN, *NAMED_SETS, "synthetic:1000x10"]
    what = "neither a folder nor a tar file" if path.exists() else "no folder, file or named set"
    raise UsageError(f"{spec} is {what}.", remedy=did_you_mean(spec, known))


_OTHER_FORMATS = {
    b"PK\x03\x04": "a zip file (or .npz)",
    b"PK\x05\x06": "an empty zip file",
    b"PAR1": "a Parquet file",
    b"\x93NUMPY": "a NumPy array",
    b"\x89HDF": "an HDF5 file",
    b"7z\xbc\xaf": "a 7z file",
    b"Rar!": "a RAR file",
    b"\x1f\x8b": "a gzip file without .tar.gz or .tgz in its name",
    b"\x28\xb5\x2f\xfd": "a Zstandard file without .tar.zst in its name",
}


def _other_format(path: Path) -> str:
    """What a file is by its first bytes, if people keep images in such files; else ""."""
    with open(path, "rb") as file:
        begins = file.read(8)
    return next((name for magic, name in _OTHER_FORMATS.items() if begins.startswith(magic)), "")


def name_of(spec: str) -> str:
    """A folder name for a source: `imagenette`, `builtin-photos`, the folder's own."""
    kind, _, rest = spec.partition(":")
    if kind in NAMED_SETS:
        return kind
    if kind in ("builtin", "synthetic"):
        return f"{kind}-{rest}"
    path = Path(spec).resolve()
    name = re.sub(r"\.(tar|tgz|tbz2?|txz|tzst)(\.\w+)?$", "", path.name, flags=re.IGNORECASE)
    return name or "images"
