"""builtin:photos: views of the photographs that scikit-image and scikit-learn install.

One class is one photograph. Each photograph is divided into tiles; one tile in five is held out, a
knight's move apart so that they lie in every row and column, and a view never leaves its part. So
no validation view shares a pixel with a training view, and yet both parts look alike.

Letters: N views, 2 (x, y).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image

from alexnet.base.errors import EnvironmentProblem
from alexnet.sources.base import LabelledImage, Source, as_ppm, identity_of

TRAIN_VIEWS = 100  # of each photograph
VALIDATION_VIEWS = 18
SMALLEST_TILE = 125  # pixels
MOST_TILES = 5  # along one side
ONE_IN = 5  # tiles is held out
VIEW_SIDE = (0.8, 1.0)  # of the tile's shorter side: at least 100 pixels
CANDIDATES = 2**15
SEED = 2012

PHOTOGRAPHS = {
    "astronaut": "skimage/data/astronaut.png",
    "brick wall": "skimage/data/brick.png",
    "cameraman": "skimage/data/camera.png",
    "cat": "skimage/data/chelsea.png",
    "cell": "skimage/data/cell.png",
    "clock": "skimage/data/clock_motion.png",
    "coffee": "skimage/data/coffee.png",
    "coins": "skimage/data/coins.png",
    "dahlia": "sklearn/datasets/images/flower.jpg",
    "galaxies": "skimage/data/hubble_deep_field.jpg",
    "grass": "skimage/data/grass.png",
    "gravel": "skimage/data/gravel.png",
    "handwriting": "skimage/data/text.png",
    "moon": "skimage/data/moon.png",
    "motorcycle": "skimage/data/motorcycle_left.png",
    "pavilion": "sklearn/datasets/images/china.jpg",
    "printed page": "skimage/data/page.png",
    "retina": "skimage/data/retina.jpg",
    "rocket": "skimage/data/rocket.jpg",
    "tissue": "skimage/data/ihc.png",
}


@dataclass(frozen=True)
class Tiles:
    """A photograph's division: columns x rows, each `width` x `height` pixels (not rounded)."""

    columns: int
    rows: int
    width: float
    height: float

    def is_held_out(self, x_N: np.ndarray, y_N: np.ndarray) -> np.ndarray:
        """Whether each point lies in a validation tile: bool, N."""
        column_N = np.minimum(x_N // self.width, self.columns - 1)
        row_N = np.minimum(y_N // self.height, self.rows - 1)
        return np.asarray((column_N + 2 * row_N) % ONE_IN == 1)


def divide(width: int, height: int) -> Tiles:
    """Tiles of at least SMALLEST_TILE pixels where the photograph is large enough."""
    columns = min(max(width // SMALLEST_TILE, 1), MOST_TILES)
    rows = min(max(height // SMALLEST_TILE, 1), MOST_TILES)
    return Tiles(columns, rows, width / columns, height / rows)


def views(split: str, number: int, width: int, height: int, count: int) -> np.ndarray:
    """`count` square views of photograph `number` inside `split`: int64, N x (x, y, side).

    Squares are drawn anywhere and kept when they lie in the split's tiles. A side is no longer than
    a tile, so a square lies where its four corners lie.
    """
    from alexnet.base.randomness import Purpose, uniforms

    tiles = divide(width, height)
    held_out = split == "val"
    address_N = np.arange(CANDIDATES) + CANDIDATES * held_out
    u_N4 = uniforms(SEED, Purpose.SYNTHETIC, number, address_N)
    low, high = (share * min(tiles.width, tiles.height) for share in VIEW_SIDE)
    side_N = np.floor(low + u_N4[:, 0] * (high - low))
    x_N = np.floor(u_N4[:, 1] * (width - side_N + 1))
    y_N = np.floor(u_N4[:, 2] * (height - side_N + 1))
    corners = [
        tiles.is_held_out(x_N + right, y_N + down)
        for right in (0, side_N - 1)
        for down in (0, side_N - 1)
    ]
    inside_N = np.all([corner == held_out for corner in corners], axis=0)
    return np.stack([x_N, y_N, side_N], axis=1)[inside_N][:count].astype(np.int64)


def open_photos(spec: str) -> Source:
    """Views of the twenty photographs; raises EnvironmentProblem where one is not installed."""
    paths = {name: locate(path) for name, path in PHOTOGRAPHS.items()}
    contents = {name: path.read_bytes() for name, path in paths.items()}

    def images() -> Iterator[LabelledImage]:
        for split, count in (("train", TRAIN_VIEWS), ("val", VALIDATION_VIEWS)):
            for label, (name, path) in enumerate(paths.items()):
                with Image.open(path) as image:
                    photo_HWC = np.asarray(image.convert("RGB"))
                height, width, _ = photo_HWC.shape
                for n, (x, y, side) in enumerate(views(split, label, width, height, count)):
                    view_HWC = photo_HWC[y : y + side, x : x + side]
                    yield LabelledImage(split, f"{name}/{n:04d}", label, as_ppm(view_HWC))

    digests = [hashlib.sha256(content).hexdigest() for content in contents.values()]
    return Source(
        spec=spec,
        found="scikit-image and scikit-learn",
        classes=tuple(PHOTOGRAPHS),
        titles=tuple(PHOTOGRAPHS),
        splits=("train", "val"),
        count=len(PHOTOGRAPHS) * (TRAIN_VIEWS + VALIDATION_VIEWS),
        identity=identity_of([*digests, TRAIN_VIEWS, VALIDATION_VIEWS, SMALLEST_TILE, VIEW_SIDE]),
        images=images,
    )


def locate(name: str) -> Path:
    """Where a photograph of PHOTOGRAPHS is installed; raises EnvironmentProblem if it is not."""
    package, _, rest = name.partition("/")
    found = find_spec(package)  # does not import it, which would take seconds
    path = Path(found.origin).parent / rest if found and found.origin else Path()
    if not path.is_file():
        raise EnvironmentProblem(
            f"The photograph {rest} is not installed.",
            where=package,
            remedy="Reinstall scikit-image and scikit-learn.",
        )
    return path
