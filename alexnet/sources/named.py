"""Sets with a name: where they are found, their publishers' archives, people's words for wnids."""

from __future__ import annotations

import os
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from alexnet.base.errors import DataError, EnvironmentProblem
from alexnet.base.files import Writer, write_atomically
from alexnet.base.names import distinct
from alexnet.base.progress import progress
from alexnet.sources.archive import is_archive, open_archive
from alexnet.sources.base import DEFAULT_VALIDATION_SHARE, Source
from alexnet.sources.cifar import is_batch_folder, open_batches
from alexnet.sources.folder import open_folder

_TIMEOUT = 30.0  # seconds without an answer
_BLOCK = 2**20


@dataclass(frozen=True)
class Archive:
    """What a publisher offers: address and SHA-256."""

    url: str
    sha256: str

    @property
    def name(self) -> str:
        return self.url.rpartition("/")[2]


@dataclass(frozen=True)
class NamedSet:
    """A set by its name: what `--download` fetches, and names of files or folders that hold it."""

    name: str
    about: str
    download: Archive
    names: tuple[str, ...]
    titles: Mapping[str, str]


CIFAR_10 = NamedSet(
    name="cifar10",
    about="CIFAR-10: 50,000 and 10,000 images of 10 classes, 32x32",
    download=Archive(
        "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
        "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
    ),
    names=(
        "cifar-10-python.tar.gz",
        "cifar-10-binary.tar.gz",
        "cifar-10-batches-py",
        "cifar-10-batches-bin",
        "cifar10",
        "cifar10.tar",
        "cifar10-jpeg",
        "cifar10-jpeg.tar",
    ),
    titles={},
)
IMAGENETTE = NamedSet(
    name="imagenette",
    about="Imagenette: 9,469 and 3,925 images of 10 ImageNet classes",
    download=Archive(
        "https://s3.amazonaws.com/fast-ai-imageclas/imagenette2-320.tgz",
        "569b4497c98db6dd29f335d1f109cf315fe127053cedf69010d047f0188e158c",
    ),
    names=(
        "imagenette2.tgz",
        "imagenette2",
        "imagenette2-320.tgz",
        "imagenette2-320",
        "imagenette",
        "imagenette.tar",
        "imagenette-224",
        "imagenette-224.tar",
        "imagenette2-160.tgz",
        "imagenette2-160",
    ),
    titles={
        "n01440764": "tench",
        "n02102040": "English springer",
        "n02979186": "cassette player",
        "n03000684": "chain saw",
        "n03028079": "church",
        "n03394916": "French horn",
        "n03417042": "garbage truck",
        "n03425413": "gas pump",
        "n03445777": "golf ball",
        "n03888257": "parachute",
    },
)
NAMED_SETS = {named.name: named for named in (CIFAR_10, IMAGENETTE)}


def default_data_folder() -> Path:
    """Where named sets are looked for: $ALEXNET_DATA, else `data` in the working folder."""
    return Path(os.environ.get("ALEXNET_DATA") or "data")


def located(named: NamedSet) -> Path | None:
    """Where a set is taken from by its name alone: a folder of this name here, else the data folder."""
    here = Path(named.name)
    return (find(named, here) or here) if here.is_dir() else find(named, default_data_folder())


def find(named: NamedSet, folder: Path) -> Path | None:
    """The first of the set's files or folders that is in `folder`, or `folder` if it is the set."""
    if is_archive(folder) and folder.is_file():
        return folder
    for name in named.names:
        if (folder / name).exists():
            return folder / name
    if is_batch_folder(folder) or (folder / "train").is_dir():
        return folder
    return None


def open_named(
    named: NamedSet,
    spec: str,
    folder: Path | None,
    data_folder: Path | None,
    validation_share: float | None,
    download: bool,
) -> Source:
    """Open a named set that lies in `folder`, after downloading it where `download` says so.

    Without one, a folder of the set's name in the working folder comes first, then `data_folder`, then
    $ALEXNET_DATA. Raises DataError where it is not there, or not what its publisher offers.
    """
    here, warnings = Path(named.name), list[str]()
    if folder is None and data_folder is None and here.is_dir():
        path: Path | None = find(named, here) or here
        warnings.append(
            f"{named.name} is the folder {here.resolve()}, not a set in {default_data_folder()}; that "
            f"would be {named.name}:{default_data_folder()}."
        )
    else:
        folder = folder or data_folder or default_data_folder()
        path = find(named, folder)
        if path is None and download:
            path = fetch(named.download, folder)
    if path is None:
        raise DataError(
            f"{named.name} is not in {folder}.",
            where=f"Looked for {', '.join(named.names)}.",
            remedy="Set ALEXNET_DATA to the folder that holds it, or add --download.",
        )
    if named is CIFAR_10 and (is_batch_folder(path) or path.name.startswith("cifar-10-")):
        source = open_batches(path, spec)
    else:
        opener = open_archive if is_archive(path) else open_folder
        share = DEFAULT_VALIDATION_SHARE if validation_share is None else validation_share
        source = opener(path, spec, share, validation_share is not None)
        titles = [named.titles.get(name, name) for name in source.classes]
        source = replace(source, titles=distinct(titles))
    return replace(source, warnings=(*warnings, *source.warnings))


def fetch(archive: Archive, folder: Path) -> Path:
    """Download to `folder`, checked against the publisher's hash before it gets its name.

    Raises EnvironmentProblem where the network does not answer, DataError where the bytes differ.
    """
    path = folder / archive.name

    def download(file: Writer) -> None:
        with urllib.request.urlopen(archive.url, timeout=_TIMEOUT) as answer:
            total = int(answer.headers.get("Content-Length") or 0)
            with progress(f"download {archive.name}", total // _BLOCK, "MiB") as shown:
                while block := answer.read(_BLOCK):
                    file.write(block)
                    shown.advance()
        if file.digest.hexdigest() != archive.sha256:
            raise DataError(
                f"{archive.name} is not what its publisher offers: SHA-256 {file.digest.hexdigest()}.",
                where=archive.url,
                remedy="Nothing was kept. Try again; if it repeats, do not trust the address.",
            )

    try:
        write_atomically(path, download)
    except EnvironmentProblem as error:
        if isinstance(error.__cause__, urllib.error.URLError | TimeoutError | ConnectionError):
            raise EnvironmentProblem(
                f"Cannot download: {error.__cause__}.",
                where=archive.url,
                remedy=f"Fetch it by other means and put it into {folder}.",
            ) from error
        raise
    return path
