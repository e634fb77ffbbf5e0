"""What many tests share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import forking
import pytest
from hypothesis import settings
from PIL import Image

from alexnet.base import ranks

if TYPE_CHECKING:
    from alexnet.prepared import PreparedDataset

PHOTOGRAPHS = {
    "cat": "skimage/data/chelsea.png",
    "coffee": "skimage/data/coffee.png",
    "dahlia": "sklearn/datasets/images/flower.jpg",
    "grass": "skimage/data/grass.png",
    "pavilion": "sklearn/datasets/images/china.jpg",
    "rocket": "skimage/data/rocket.jpg",
}


# Tests that run beside each other share the cores. Threads that spin while they wait for others of their
# kind would take the time of those: they sleep.
_BESIDE = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", 1))
os.environ.setdefault("OMP_NUM_THREADS", str(max(1, ranks.cores() // _BESIDE)))
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
# Without a GPU, Triton's kernels run in its interpreter; it has to know before it is first imported.
if not Path("/dev/nvidiactl").exists():
    os.environ.setdefault("TRITON_INTERPRET", "1")
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what deterministic products need

# A shared machine may stop for a second at any time; nothing here asserts how long it took.
settings.register_profile("shared machine", deadline=None)
settings.load_profile("shared machine")


# `make test` hands out files in this order, so that two workers are busy to the end and compile nothing
# twice: one begins with what compiles kernels for all others, one with what needs none. Then comes what
# takes longest, and what is not here fills what is left.
_FIRST = """
    network/test_conventions.py torture/test_images.py torture/test_preparation.py
    torture/test_hostile.py prepared/test_prepare.py network/test_lrn.py network/test_alexnet.py
    torture/test_processes.py training/test_mesh.py cli/test_benchmark.py cli/test_processes.py
    network/kernels/gpu/test_compiled.py test_readme.py torture/test_training.py
    benchmark/test_networks.py evaluation/test_classifier.py training/test_step.py
    training/test_train.py exchange/test_program.py cli/test_main.py cli/test_train.py
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    place = {forking.TESTS / name: n for n, name in enumerate(_FIRST.split())}
    assert all(path.exists() for path in place), "a file has another name now"
    items.sort(key=lambda item: place.get(item.path, len(place)))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--record", metavar="FILE", help="write what the torture tests came to here")


@pytest.fixture(scope="session", autouse=True)
def forked_workers() -> None:
    """Workers of preparations are forked, not started: see `forking`."""
    forking.fork_workers()


@pytest.fixture
def started_workers() -> Iterator[None]:
    """Workers of preparations start as users have them, for tests that are about those."""
    forking.start_workers()
    yield
    forking.fork_workers()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with the real image sets (Imagenette, CIFAR-10); skips where there is none."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("ALEXNET_DATA", beside))
    if not (folder / "imagenette-224.tar").exists():
        pytest.skip("no image sets: set ALEXNET_DATA to a folder with imagenette-224.tar")
    return folder


@pytest.fixture(scope="session")
def photo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six classes of views of real photographs, as PNG files: train/CLASS/N.png, val/CLASS/N.png."""
    folder = tmp_path_factory.mktemp("photos")
    for name, place in PHOTOGRAPHS.items():
        package, _, inside = place.partition("/")
        spec = find_spec(package)
        assert spec and spec.origin
        image = Image.open(Path(spec.origin).parent / inside).convert("RGB")
        for n in range(6):
            split = folder / ("train" if n < 4 else "val") / name
            split.mkdir(parents=True, exist_ok=True)
            view = image.crop((20 * n, 8 * n, 20 * n + 290, 8 * n + 260))
            view.save(split / f"{n}.png", compress_level=1)
    return folder


@pytest.fixture(scope="session")
def photo_set(photo_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> PreparedDataset:
    """`photo_folder`, prepared: 24 training images, 12 for validation."""
    from alexnet.prepared import prepare
    from alexnet.sources import open_source

    return prepare(open_source(str(photo_folder)), tmp_path_factory.mktemp("prepared") / "photos")
