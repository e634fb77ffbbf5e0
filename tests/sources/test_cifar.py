"""CIFAR-10 in its publisher's forms, small; and pickles that try to do more than hold data."""

from __future__ import annotations

import io
import os
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sources.conftest import pixels

from alexnet.base.errors import DataError
from alexnet.sources import open_source

NAMES = [*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"]
ROWS = 6


def rows_of(name: str) -> tuple[np.ndarray, list[int]]:
    """Pixels N x 3072 as CIFAR-10 orders them (all red, all green, all blue), and labels."""
    rng = np.random.default_rng(NAMES.index(name))
    return rng.integers(0, 256, (ROWS, 3072), np.uint8), rng.integers(0, 10, ROWS).tolist()


def python_archive(path: Path, batch: Callable[[str], bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name in NAMES:
            data = batch(name)
            info = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def as_pickle(name: str) -> bytes:
    pixels, labels = rows_of(name)
    return pickle.dumps({b"data": pixels, b"labels": labels, b"batch_label": b"x"}, protocol=4)


def as_binary(name: str) -> bytes:
    pixels, labels = rows_of(name)
    return b"".join(
        bytes([label]) + row.tobytes() for label, row in zip(labels, pixels, strict=True)
    )


def check(spec: str) -> None:
    source = open_source(spec)
    images = list(source.images())
    assert source.count == len(images) == 6 * ROWS
    assert source.classes[0] == "airplane" and source.classes[9] == "truck"
    assert [p.split for p in images] == ["train"] * 5 * ROWS + ["val"] * ROWS
    rows, labels = rows_of("data_batch_2")
    image = images[ROWS + 3]
    assert image.label == labels[3]
    assert (pixels(image.data)[5, 7] == [rows[3, c * 1024 + 5 * 32 + 7] for c in range(3)]).all()


def test_the_python_version(tmp_path: Path) -> None:
    python_archive(tmp_path / "cifar-10-python.tar.gz", as_pickle)
    check(f"cifar10:{tmp_path}")
    check(f"cifar10:{tmp_path / 'cifar-10-python.tar.gz'}")


def test_batches_pickled_by_python_2(tmp_path: Path) -> None:
    """The published files have protocol 2 and names of modules that NumPy has since moved."""

    def old(name: str) -> bytes:
        pixels, labels = rows_of(name)
        data = pickle.dumps({"data": pixels, "labels": labels}, protocol=2)
        data = data.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
        # Python 2 wrote pixels and keys as byte strings: BINSTRING and SHORT_BINSTRING.
        plain = pixels.tobytes()
        state = io.BytesIO()
        state.write(b"\x80\x02}(U\x04datacnumpy.core.multiarray\n_reconstruct\n")
        state.write(b"cnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01K\x06M\x00\x0c\x86cnumpy\ndtype\n")
        state.write(
            b"U\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T"
        )
        state.write(len(plain).to_bytes(4, "little") + plain + b"tbU\x06labels](")
        state.write(b"".join(b"K" + bytes([label]) for label in labels) + b"eu.")
        return state.getvalue()

    python_archive(tmp_path / "cifar-10-python.tar.gz", old)
    check(f"cifar10:{tmp_path}")


@pytest.mark.parametrize("suffix", ["", ".bin"])
def test_unpacked_batches(tmp_path: Path, suffix: str) -> None:
    for name in NAMES:
        data = as_binary(name) if suffix else as_pickle(name)
        (tmp_path / f"{name}{suffix}").write_bytes(data)
    check(f"cifar10:{tmp_path}")


class Runs:
    """Pickles into a call of any function."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_hostile_pickles_are_refused_and_not_run(tmp_path: Path, protocol: int) -> None:
    canary = tmp_path / "canary"
    hostile: list[Any] = [
        Runs(os.system, f"touch {canary}"),
        {b"data": Runs(eval, f"open({str(canary)!r}, 'w')"), b"labels": [1]},
        Runs(np.save, canary, np.zeros(1)),
        {b"data": Runs(np.fromfile, __file__), b"labels": [1]},
        Runs(getattr, bytes, "fromhex"),
        {b"data": np.array([Runs(os.system, f"touch {canary}")], object), b"labels": [1]},
    ]
    for number, value in enumerate(hostile):
        folder = tmp_path / str(number)
        folder.mkdir()
        python_archive(
            folder / "cifar-10-python.tar.gz",
            lambda _, value=value: pickle.dumps(value, protocol=protocol),  # type: ignore[misc]
        )
        with pytest.raises(DataError, match="Not a batch of CIFAR-10"):
            open_source(f"cifar10:{folder}")
    assert not list(tmp_path.glob("canary*"))


@pytest.mark.parametrize(
    "batch",
    [
        {b"data": np.zeros((2, 3072), np.float32), b"labels": [1, 2]},
        {b"data": np.zeros((2, 3072), np.uint8), b"labels": [1]},
        {b"data": np.zeros((1, 3072), np.uint8), b"labels": [10]},
        {b"labels": [1]},
        [1, 2, 3],
    ],
)
def test_batches_of_another_kind_are_refused(tmp_path: Path, batch: Any) -> None:
    python_archive(tmp_path / "cifar-10-python.tar.gz", lambda _: pickle.dumps(batch))
    with pytest.raises(DataError, match="CIFAR-10"):
        open_source(f"cifar10:{tmp_path}")


def test_a_missing_batch_is_named(tmp_path: Path) -> None:
    for name in NAMES[:-2] + NAMES[-1:]:
        (tmp_path / name).write_bytes(as_pickle(name))
    with pytest.raises(DataError, match="no data_batch_5"):
        open_source(f"cifar10:{tmp_path}")
