"""What a user may type, and what is generated without a file."""

from __future__ import annotations

import hashlib
import http.server
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sources.conftest import pixels

from alexnet.base.errors import AlexNetError, DataError, EnvironmentProblem, UsageError
from alexnet.sources import named, open_source
from alexnet.sources.open import name_of


def test_synthetic_images_are_a_function_of_their_number_and_can_be_told_apart() -> None:
    short, long = open_source("synthetic:60x4"), open_source("synthetic:90x4")
    assert long.classes == ("class0", "class1", "class2", "class3")
    images = list(long.images())
    assert len(images) == long.count == 90
    assert list(short.images()) == images[:60]
    assert [p.label for p in images[:5]] == [0, 1, 2, 3, 0]
    strength = np.stack([np.abs(np.fft.fft2(pixels(p.data).mean(axis=2))) for p in images])
    strength[:, 0, 0] = 0  # the mean; what is left is the direction of the stripes
    seen = [np.unravel_index(s[:, :32].argmax(), (64, 32)) for s in strength]
    angles = np.array([np.arctan2((y + 32) % 64 - 32, x) % np.pi for y, x in seen])
    expected = np.array([np.pi * p.label / 4 for p in images])
    off = np.abs((angles - expected + np.pi / 2) % np.pi - np.pi / 2)
    assert (off < np.pi / 8).mean() > 0.9


def test_digits_are_those_of_scikit_learn() -> None:
    from sklearn.datasets import load_digits

    digits = load_digits()
    source = open_source("builtin:digits")
    images = list(source.images())
    assert source.classes == tuple("0123456789")
    assert len(images) == source.count == 1797
    assert [p.label for p in images] == digits.target.tolist()
    small = np.asarray(Image.fromarray(pixels(images[7].data)).convert("L").resize((8, 8)))
    assert np.corrcoef(small.ravel(), digits.images[7].ravel())[0, 1] > 0.95


@pytest.mark.parametrize(
    ("spec", "kind", "says"),
    [
        ("buildin:photos", UsageError, "Did you mean 'builtin:photos'?"),
        ("imagenett", UsageError, "Did you mean 'imagenette'?"),
        ("synthetic:10", UsageError, "synthetic:NxK"),
        ("synthetic:5x10", UsageError, "synthetic:NxK"),
        ("synthetic:0x0", UsageError, "synthetic:NxK"),
        ("cifar10:/nowhere", DataError, "--download"),
        (__file__, UsageError, "neither a folder nor a tar file"),
    ],
)
def test_names_that_do_not_exist(spec: str, kind: type[AlexNetError], says: str) -> None:
    with pytest.raises(kind) as error:
        open_source(spec)
    assert says in str(error.value)


@pytest.mark.parametrize("share", [-0.1, 1.0, float("nan")])
def test_an_impossible_share_is_refused(share: float) -> None:
    with pytest.raises(UsageError, match="validation share"):
        open_source("builtin:digits", validation_share=share)


def test_a_prepared_set_is_not_a_source(tmp_path: Path) -> None:
    (tmp_path / "dataset.json").write_text("{}")
    with pytest.raises(UsageError, match="prepared already"):
        open_source(str(tmp_path))


def test_folder_names_of_sources() -> None:
    assert name_of("imagenette:/data") == "imagenette"
    assert name_of("builtin:photos") == "builtin-photos"  # never a user's own photos/
    assert name_of("synthetic:10x2") == "synthetic-10x2"
    assert name_of("/data/my photos/") == "my photos"
    assert name_of("/data/birds.tar.gz") == name_of("/data/birds.tgz") == "birds"


def test_the_publishers_archive_comes_before_copies(tmp_path: Path) -> None:
    for name in ("imagenette-224.tar", "imagenette2-320.tgz"):
        (tmp_path / name).touch()
    found = named.find(named.IMAGENETTE, tmp_path)
    assert found is not None and found.name == "imagenette2-320.tgz"
    assert named.find(named.CIFAR_10, tmp_path) is None


def test_a_folder_of_a_sets_name_comes_before_the_data_folder_and_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "data"
    for root, names in ((elsewhere / "imagenette", "ab"), (tmp_path / "here" / "imagenette", "cd")):
        for name in names:
            (root / "train" / name).mkdir(parents=True)
            (root / "train" / name / "1.jpg").write_bytes(name.encode())
    monkeypatch.setenv("ALEXNET_DATA", str(elsewhere))
    monkeypatch.chdir(tmp_path)
    assert open_source("imagenette").classes == ("a", "b")
    assert open_source("imagenette").warnings == ()
    monkeypatch.chdir(tmp_path / "here")
    source = open_source("imagenette")
    assert source.classes == ("c", "d")
    (told,) = source.warnings
    assert str(tmp_path / "here" / "imagenette") in told and f"imagenette:{elsewhere}" in told
    assert named.located(named.IMAGENETTE) == Path("imagenette")
    assert open_source(f"imagenette:{elsewhere}").classes == ("a", "b")


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """A web server over tmp_path/web."""
    (tmp_path / "web").mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: object) -> None:
            super().__init__(*args, directory=str(tmp_path / "web"))  # type: ignore[arg-type]

        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_download_gets_its_name_only_if_its_hash_is_right(tmp_path: Path, address: str) -> None:
    content = bytes(range(256)) * 5000
    (tmp_path / "web" / "set.tgz").write_bytes(content)
    good = named.Archive(f"{address}/set.tgz", hashlib.sha256(content).hexdigest())
    data = tmp_path / "data"
    with pytest.raises(DataError, match="not what its publisher offers"):
        named.fetch(replace(good, sha256="0" * 64), data)
    assert list(data.iterdir()) == []
    assert named.fetch(good, data).read_bytes() == content
    assert [path.name for path in data.iterdir()] == ["set.tgz"]


def test_a_download_that_fails_says_where_to_put_the_file(tmp_path: Path, address: str) -> None:
    with pytest.raises(EnvironmentProblem, match="Cannot download") as error:
        named.fetch(named.Archive(f"{address}/none.tgz", ""), tmp_path / "data")
    assert str(tmp_path / "data") in error.value.remedy


@pytest.mark.parametrize(
    ("name", "begins", "says"),
    [
        ("photos.zip", b"PK\x03\x04", "a zip file"),
        ("batch.npz", b"PK\x03\x04", "a zip file"),
        ("train.parquet", b"PAR1", "a Parquet file"),
        ("photos.gz", b"\x1f\x8b", "a gzip file"),
    ],
)
def test_formats_that_are_not_read_are_named(
    tmp_path: Path, name: str, begins: bytes, says: str
) -> None:
    path = tmp_path / name
    path.write_bytes(begins + bytes(100))
    with pytest.raises(DataError, match=f"This is {says}.*, which is not read") as error:
        open_source(str(path))
    assert error.value.where == str(path)
