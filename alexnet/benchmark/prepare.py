"""Full-size images to 256 x 256: this package, and Pillow as torchvision's transforms call it.

First single images, from the bytes of a file to pixels, at several sizes; then a whole preparation: this
package decodes, scales, hashes, computes statistics and writes shards; the peer's DataLoader decodes and
scales in a worker process and delivers.
"""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable, Sequence
from functools import partial
from itertools import count, islice
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from alexnet import paper
from alexnet.benchmark.alternate import Comparison, Implementation, Step
from alexnet.benchmark.photographs import full_size, with_comment
from alexnet.prepared import Rejected, prepare, prepare_image
from alexnet.prepared.pixels import sniff
from alexnet.sources import open_source

# Width, height: how many different ones are made, and how many of 1,000 in the whole set.
SIZES = {(500, 375): (20, 850), (1600, 1200): (10, 120), (4000, 3000): (4, 30)}
_TIMES = 3  # each different one is used in a step of a size


def comparisons(
    peers: Sequence[str], source: str | None, images: int, folder: Path
) -> list[Comparison]:
    """One for each size, then the whole set, all in `folder`; of `source`, if given, the set alone.

    Each implementation has one core.
    """
    files = folder / "files" / "one-class"
    files.mkdir(parents=True)
    if source is None:
        _make_set(files, images)
    else:
        _copy_set(source, files, images)
    found = [_one_by_one(peers, size, files) for size in SIZES if source is None]
    set_of = len(list(files.iterdir()))
    makers = {"alexnet": alexnet, **{name: _PEERS[name] for name in peers}}
    whole = [Implementation(name, partial(make, folder), set_of) for name, make in makers.items()]
    title = f"preparing {set_of:,} {'of your' if source else 'such'} files, per core"
    return [*found, Comparison(title, whole, one_core=True)]


def _one_by_one(peers: Sequence[str], size: tuple[int, int], files: Path) -> Comparison:
    width, height = size
    paths = sorted(files.glob(f"{width}x{height}-*"))[: _TIMES * SIZES[size][0]]
    makers = {"alexnet": prepare_image, **dict.fromkeys(peers, pixels_by_pillow)}
    implementations = [
        Implementation(name, partial(_each, make, paths), len(paths))
        for name, make in makers.items()
    ]
    kilobytes = sum(path.stat().st_size for path in paths) / len(paths) / 1000
    title = f"JPEG of {width}×{height}, {kilobytes:,.0f} kB, per core"
    return Comparison(title, implementations, one_core=True)


def alexnet(folder: Path) -> Step:
    """This package's preparation, from the files to a checked set, workers and disk included."""
    turns = count()

    def step() -> None:
        out = folder / f"prepared-{next(turns)}"
        prepare(open_source(str(folder / "files"), validation_share=0), out)
        shutil.rmtree(out)

    return step


def pillow(folder: Path) -> Step:
    """One epoch over the same files in one worker process of a DataLoader; nothing is written."""
    torch.set_num_threads(1)
    loader = DataLoader(_Files(sorted((folder / "files").rglob("*.*"))), 64, num_workers=1)

    def step() -> None:
        for _ in loader:
            pass

    return step


_PEERS = {"pillow": pillow}


def pixels_by_pillow(data: bytes) -> np.ndarray:
    """Resize(256) and CenterCrop(256) as torchvision does them: uint8 (256, 256, 3)."""
    side = paper.SIDE
    with Image.open(io.BytesIO(data)) as image:
        rgb = image.convert("RGB")
    width, height = rgb.size
    shorter = min(width, height)
    width, height = side * width // shorter, side * height // shorter
    resized = rgb.resize((width, height), Image.Resampling.BILINEAR)
    left, top = round((width - side) / 2), round((height - side) / 2)
    return np.array(resized.crop((left, top, left + side, top + side)))


class _Files(Dataset[torch.Tensor]):
    def __init__(self, files: list[Path]) -> None:
        self.files = files

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, n: int) -> torch.Tensor:
        return torch.from_numpy(pixels_by_pillow(self.files[n].read_bytes()))


def _each(make: Callable[[bytes], np.ndarray], paths: Sequence[Path]) -> Step:
    contents = [path.read_bytes() for path in paths]

    def step() -> None:
        for content in contents:
            make(content)

    return step


def _copy_set(spec: str, files: Path, images: int) -> None:
    """The first usable images of a source as files."""
    usable = (image.data for image in open_source(spec).images() if _is_usable(image.data))
    for n, data in enumerate(islice(usable, images)):
        (files / f"{n:06d}.{sniff(data).lower()}").write_bytes(data)


def _is_usable(data: bytes) -> bool:
    try:
        prepare_image(data)
    except Rejected:
        return False
    return True


def _make_set(files: Path, images: int) -> None:
    """Photographs at SIZES, in their proportions; no two files have the same bytes."""
    for (width, height), (different, of_1000) in SIZES.items():
        wanted = max(images * of_1000 // 1000, 1)
        made = list(full_size(width, height, min(different, wanted)))
        for n in range(wanted):
            path = files / f"{width}x{height}-{n:04d}.jpg"
            path.write_bytes(with_comment(made[n % len(made)], n))
