"""`alexnet index`: from a model and images to an index, or to one with more images.

Letters: B images of a batch, U numbers of a vector.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from alexnet.activations.extract import Skipped, require_finite
from alexnet.base import ranks
from alexnet.base.errors import AlexNetError, DataError
from alexnet.base.files import require_space
from alexnet.base.progress import Progress, progress
from alexnet.loading.files import READ, ImageLike, image_batches
from alexnet.loading.views import VIEWS_AT_ONCE, batches, require_views
from alexnet.models import FoundModel
from alexnet.models.activations import named_activations, row_shapes
from alexnet.network import AlexNet
from alexnet.network.alexnet import as_batch
from alexnet.retrieval.building import Building, begun, changing, open_parts
from alexnet.retrieval.collection import Collection, Content, Item
from alexnet.retrieval.description import About, SourceOf
from alexnet.retrieval.files import Place
from alexnet.retrieval.known import Known
from alexnet.retrieval.rotation import DIRECTIONS


@dataclass
class Built:
    """What became of the images: inputs = new + known + copies + skipped.

    `new` vectors were computed, `known` were there before, `copies` have the bytes of another image of
    these. `rows` are all that the index has, `removed` those whose image is nowhere now.
    """

    inputs: int = 0
    new: int = 0
    known: int = 0
    copies: int = 0
    skipped: list[Skipped] = field(default_factory=list)
    rows: int = 0
    removed: int = 0


class Vectors(NamedTuple):
    """The network that vectors come from, its mean image, and which of its activations they are."""

    network: AlexNet
    mean_HWC: np.ndarray
    about: About

    def of(self, x_NHWC: np.ndarray) -> np.ndarray:
        """The vectors of the views of B images: float32, B x U."""
        layer, views = self.about.layer, self.about.views
        found = named_activations(self.network, as_batch(x_NHWC), [layer], views)[layer]
        return found.reshape(len(found), -1)

    def of_images(self, images: Sequence[ImageLike]) -> tuple[np.ndarray, list[DataError | None]]:
        """The vectors of Q images, Q x U, and why some cannot be used; those are 0."""
        found_QU = np.zeros((len(images), int(np.prod(self.about.shape))), np.float32)
        faults: list[DataError | None] = []
        views, crop = self.about.views, self.network.convention.crop
        groups = batches(len(images), views)
        named = ([images[q] for q in group] for group in groups)
        cut = image_batches(named, self.mean_HWC, views, crop)
        for group, (wrong, x_NHWC) in zip(groups, cut, strict=True):
            good = [q for q, fault in zip(group, wrong, strict=True) if fault is None]
            faults += wrong
            if good:
                found_QU[good] = self.of(x_NHWC)
        return found_QU, faults


def open_vectors(model: FoundModel, layer: str, views: int, device: str) -> Vectors:
    """A model's network on a device, for vectors of one of its layers, averaged over 1 or 10 views.

    Raises UsageError for a layer or a number of views that there is not, and the errors of the model.
    """
    require_views(views)
    network, card = model.load()
    shape = row_shapes(network.to(device), [layer])[layer]
    sha256 = model.config()["weights_sha256"]
    side = network.convention.side
    about = About(model.name, str(model.folder.resolve()), sha256, layer, tuple(shape), views, side)
    return Vectors(network, card.mean_HWC, about)


def build_index(vectors: Vectors, collection: Collection, folder: Path, add: bool) -> Built:
    """Make `folder` the index of a collection, or `add` the collection's images to that index.

    Vectors that it has are not computed again. Several processes take parts of each batch, and the first
    writes. Raises DataError where no image can be used, the errors of `building.begun`, NumericsError
    where a vector is not finite.
    """
    about = vectors.about
    if ranks.is_rank_0():
        _require_room(folder, collection.count, about)
    with changing(folder, about) if ranks.is_rank_0() else nullcontext() as building:
        ranks.meet()
        start = building.description if building else begun(folder, about)
        parts = building.parts if building else open_parts(folder, start)
        ranks.require_same(
            {"the index": (start.generation, start.rows), "the images": collection.count}
        )
        sources = [*start.sources] if add else []
        if collection.source not in sources:
            sources.append(collection.source)
        work = _Work(Known(parts), sources.index(collection.source))
        _compute(vectors, collection, work, building)
        if not work.found:
            raise _nothing(work.built.skipped, collection.source)
        if building:
            after = building.publish(sources, work.found, add)
            work.built.rows = after.rows
            work.built.removed = after.rows - building.images
        ranks.meet()
    return work.built


class _Work:
    """What is known of the images so far; the same in every process."""

    def __init__(self, known: Known, source: int) -> None:
        self.known, self.source, self.built = known, source, Built()
        self.found: dict[str, list[Place]] = {}  # where each image lies, by its key
        self._broken: dict[str, str] = {}

    def take(self, item: Item) -> bool:
        """Note an image; whether its vector has to be computed."""
        self.built.inputs += 1
        if item.fault or item.sha256 in self._broken:
            self.skip(item.path, item.fault or self._broken[item.sha256])
            return False
        place = Place(self.source, item.path, item.split, item.label)
        if item.sha256 in self.found:
            self.found[item.sha256].append(place)
            self.built.copies += 1
            return False
        self.found[item.sha256] = [place]
        if self.known.row(item.sha256) is None:
            self.built.new += 1
            return True
        self.built.known += 1
        return False

    def skip(self, path: str, why: str) -> None:
        self.built.skipped.append(Skipped(path, why))

    def broke(self, key: str, why: str) -> None:
        """An image cannot be used after all, and neither can its copies."""
        self._broken[key] = why
        places = self.found.pop(key)
        self.built.new -= 1
        self.built.copies -= len(places) - 1
        for place in places:
            self.skip(place.path, why)


def _compute(
    vectors: Vectors, collection: Collection, work: _Work, building: Building | None
) -> None:
    """The vectors of all images that the index does not have, in their order."""
    keys: deque[list[str]] = deque()
    crop = vectors.network.convention.crop
    try:
        with (
            progress("index", collection.count, "images") as shown,
            closing(_batches(collection, work, vectors.about.views, keys, shown)) as mine,
            closing(image_batches(mine, vectors.mean_HWC, vectors.about.views, crop)) as found,
        ):
            for faults, x_NHWC in found:
                batch = keys.popleft()
                _take(vectors, work, building, batch, faults, x_NHWC)
                shown.advance(len(batch))
    except (AlexNetError, KeyboardInterrupt):
        if building:
            building.keep()
        raise


def _batches(
    collection: Collection, work: _Work, views: int, keys: deque[list[str]], shown: Progress
) -> Generator[list[Content]]:
    """New images, a batch at a time for each process; `keys` gets those of all processes together."""
    size = VIEWS_AT_ONCE // views * ranks.world()
    waiting: list[Item] = []

    def share() -> list[Content]:
        keys.append([item.sha256 for item in waiting])
        return [item.content() for item in waiting[_mine(views)]]

    for item in collection.images():
        if not work.take(item):
            shown.advance()
            continue
        waiting.append(item)
        if len(waiting) == size:
            yield share()
            waiting = []
    if waiting:
        yield share()


def _mine(views: int) -> slice:
    """This process's batch of several: whatever their number, the same images are computed together."""
    size = VIEWS_AT_ONCE // views
    return slice(ranks.rank() * size, (ranks.rank() + 1) * size)


def _take(
    vectors: Vectors,
    work: _Work,
    building: Building | None,
    batch: list[str],
    faults: tuple[DataError | None, ...],
    x_NHWC: np.ndarray,
) -> None:
    """Compute this process's batch, and hand on those of all."""
    mine = batch[_mine(vectors.about.views)]
    rows_BU = np.empty((0, int(np.prod(vectors.about.shape))), np.float32)
    if len(x_NHWC):
        rows_BU = vectors.of(x_NHWC)
        good = [key for key, fault in zip(mine, faults, strict=True) if fault is None]
        paths = [work.found[key][0].path for key in good]
        require_finite({vectors.about.layer: rows_BU}, paths)
    reasons = ranks.gathered([fault.what if fault else None for fault in faults])
    rows_BU = ranks.collected(rows_BU)
    keys = []
    for key, reason in zip(batch, reasons, strict=True):
        if reason is None:
            keys.append(key)
        else:
            work.broke(key, reason)
    if building and keys:
        building.add(keys, rows_BU)


def _require_room(folder: Path, count: int, about: About) -> None:
    there = next(one for one in (folder, *folder.absolute().parents) if one.is_dir())
    each = 4 * (int(np.prod(about.shape)) + DIRECTIONS) + 256
    try:
        known = begun(folder, about).rows
    except AlexNetError:
        known = 0
    remedy = "Free some space, or choose another folder with -o."
    require_space(there, max(0, count - known) * each, "The index", remedy)


def _nothing(skipped: list[Skipped], source: SourceOf) -> DataError:
    reasons = [f"{one.image}: {one.reason}" for one in skipped[:3]]
    return DataError(
        "None of the images could be used.", where=" ".join(reasons) or source.spec, remedy=READ
    )
