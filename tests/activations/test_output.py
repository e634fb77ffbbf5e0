"""Files appear whole or not at all, whatever happens; memory does not grow with the rows."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
import tracemalloc
from collections import namedtuple
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.io
from folders import contents
from launch import PATHS

from alexnet.activations import parquet
from alexnet.activations.arrays import Output, about_file, array_files, keys_file
from alexnet.activations.store import (
    require_ending,
    require_new,
    require_possible,
    require_room,
    space,
    stored,
    writing,
)
from alexnet.base import files
from alexnet.base.errors import DataError, EnvironmentProblem, UsageError

ENDINGS = ["npy", "npz", "csv", "h5", "parquet", "mat"]
ROWS = np.arange(40, dtype=np.float32).reshape(4, 10)
SHAPES = {"fc6": (10,), "fc7": (10,)}
ADDED = {"old": 0.0, "new": 100.0, "fewer": 200.0}  # to the rows of images, whose keys begin so


def output(path: Path, images: str = "old") -> Output:
    """Of four images; "fewer" are four where five were expected."""
    return Output(path, 5 if images == "fewer" else 4, SHAPES, np.dtype("<f4"), {"views": 1})


def arrays_of(path: Path) -> dict[str, Path]:
    """The file of each array."""
    return array_files(path, [*SHAPES]) if path.suffix in (".npy", ".csv") else {}


def write(path: Path, images: str = "old") -> None:
    with writing(output(path, images)) as take:
        for first in (0, 2):
            keys = [f"{images}{n}" for n in range(first, first + 2)]
            take(keys, dict.fromkeys(SHAPES, ROWS[first : first + 2] + ADDED[images]))


def read(path: Path) -> set[str]:
    """The images that the file, or one of a layer, is said to be of; their rows are theirs."""
    of = set()
    for place in {path, *arrays_of(path).values()}:
        with suppress(DataError), stored(place) as found:
            images = found.keys[0].rstrip("0")
            for rows in found.layers.values():
                assert (rows[:] == ROWS + ADDED[images]).all()
            of.add(images)
    return of


def put(folder: Path, there: dict[str, bytes]) -> None:
    for path in folder.iterdir():
        path.unlink()
    for name, content in there.items():
        (folder / name).write_bytes(content)


class Step:
    """Does something at the k-th change of the disk; has them all."""

    def __init__(self, k: int, what: int | None = None) -> None:
        self.k, self.what, self.seen = k, what, list[str]()

    def __call__(self, operation: str, path: Path) -> int | None:
        self.seen.append(operation)
        if len(self.seen) == self.k:
            if self.what is None:
                os.kill(os.getpid(), signal.SIGKILL)
            else:
                raise OSError(self.what, os.strerror(self.what))
        return None


def changes(path: Path, monkeypatch: pytest.MonkeyPatch, images: str = "new") -> list[str]:
    """What replacing the file does to the disk."""
    step = Step(-1)
    with monkeypatch.context() as patched:
        patched.setattr(files, "step", step)
        write(path, images)
    return step.seen


def end_of(work: Callable[[], int]) -> int:
    """The exit code of a process that does so much; negative for a signal."""
    child = os.fork()
    if child == 0:
        try:
            os._exit(work())
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_killed_process_leaves_no_half_file_and_none_that_is_said_to_be_of_other_images(
    ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"f.{ending}"
    write(path)
    old = contents(tmp_path)
    count = len(changes(path, monkeypatch))
    new = contents(tmp_path)

    def killed(k: int) -> int:
        files.step = Step(k)
        write(path, "new")
        return 0

    of = []
    for k in range(1, count + 1):
        put(tmp_path, old)
        assert end_of(partial(killed, k)) == -signal.SIGKILL
        for one in tmp_path.glob("f*"):
            assert one.read_bytes() in (old[one.name], new[one.name])
        of.append(read(path))
    assert of[0] == {"old"} and of[-1] == {"new"}
    write(path, "new")
    assert contents(tmp_path) == new  # what the dead had left is swept up


@pytest.mark.parametrize("images", ["new", "fewer"])
@pytest.mark.parametrize("ending", ENDINGS)
def test_a_disk_that_fails_leaves_what_was_there_or_says_so(
    ending: str, images: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"f.{ending}"
    write(path)
    before = contents(tmp_path)
    seen = changes(path, monkeypatch, images)
    assert read(path) == {images}
    first = 1 + min(seen.index(one) for one in ("remove", "rename") if one in seen)
    for k in range(1, len(seen) + 1):
        put(tmp_path, before)
        monkeypatch.setattr(files, "step", Step(k, errno.ENOSPC))
        with pytest.raises(EnvironmentProblem, match="No space left") as caught:
            write(path, images)
        assert "Free some space" in caught.value.remedy
        assert not list(tmp_path.glob(".*"))
        if k <= first:
            assert contents(tmp_path) == before
        read(path)


def full(path: Path, limit: int) -> int:
    """The exit code of an error, on a disk that has so many bytes left for each file."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    try:
        write(path, "new")
    except EnvironmentProblem as error:
        return error.exit_code
    return 0


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_disk_that_is_really_full_is_told(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"f.{ending}"
    write(path)
    before = contents(tmp_path)
    size = min(len(content) for name, content in before.items() if name != "f.keys.csv")
    for limit in (0, size // 2, size - 1):
        assert end_of(partial(full, path, limit)) == 5
    assert contents(tmp_path) == before


def test_a_process_whose_disk_was_full_ends_well(tmp_path: Path) -> None:
    """HDF5's library would crash it at the end, over a file that it could not close."""
    program = (
        "import sys; from activations.test_output import *; sys.exit(full(Path(sys.argv[1]), 2000))"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "f.h5")]
    done = subprocess.run(command, env=os.environ | PATHS, capture_output=True, text=True)
    assert done.returncode == 5, done.stderr


@pytest.mark.parametrize("ending", ["npy", "csv"])
def test_files_that_do_not_belong_together_are_refused(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"f.{ending}"
    write(path)
    old = contents(tmp_path)
    write(path, "new")
    arrays = arrays_of(path)

    def refused(place: Path) -> str:
        with pytest.raises(DataError) as caught, stored(place):
            pass
        assert caught.value.where == str(place)
        return caught.value.what

    if ending == "npy":
        keys_file(path).write_bytes(old["f.keys.csv"])
        assert "The keys are not those" in refused(path) and refused(arrays["fc7"])
        write(path, "new")
        np.save(arrays["fc7"], ROWS[:, :9])
        assert "fc7 is not of the size" in refused(path)
        about_file(path).unlink()
        assert "No f.json says that f.fc7.npy has the keys of f.keys.csv." in refused(arrays["fc7"])
        write(path, "new")
        np.save(path, ROWS)  # say of one layer, before those two were written
        assert "No f.json says that f.npy has" in refused(path)
    else:
        arrays["fc7"].write_bytes(old["f.fc7.csv"])
        assert "different keys" in refused(path)
        assert "The keys are not those" in refused(arrays["fc7"])


@pytest.mark.parametrize("ending", ENDINGS)
def test_memory_does_not_grow_with_the_rows(
    ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        parquet, "GROUP_BYTES", 2**16
    )  # as small beside the rows as 8 MB usually are
    N = 480
    whole = N * 576 * 4
    rows = {"conv3": np.zeros((8, 4, 12, 12), np.float32)}
    path, shapes = tmp_path / f"f.{ending}", {"conv3": (4, 12, 12)}
    tracemalloc.start()
    with writing(Output(path, N, shapes, np.dtype("<f4"), {})) as take:
        for first in range(0, N, 8):
            take([str(n) for n in range(first, first + 8)], rows)
        peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < whole / 4


def test_a_disk_too_small_and_files_that_exist_are_found_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(files.shutil, "disk_usage", lambda folder: usage(10**9, 10**9, 100))
    with pytest.raises(EnvironmentProblem, match="GB are free"):
        require_room(output(tmp_path / "new" / "f.npy"))
    require_new([tmp_path / "f.npy"], force=False)


@pytest.mark.parametrize("dtype", ["<f4", "<f8"])
def test_numbers_of_a_table_take_the_space_that_is_reckoned(dtype: str, tmp_path: Path) -> None:
    path, rows = tmp_path / "f.csv", np.random.default_rng(0).random((20, 500)).astype(dtype)
    planned = Output(path, 20, {"fc7": (500,)}, np.dtype(dtype), {})
    with writing(planned) as take:
        take([str(n) for n in range(20)], {"fc7": rows})
    assert 0.8 < path.stat().st_size / space(planned) < 1.05


def test_without_h5py_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    with pytest.raises(EnvironmentProblem, match="h5py") as caught:
        require_ending(Path("f.h5"))  # the first thing that is asked of a name
    assert f"{sys.executable} -m pip install h5py" in caught.value.remedy


def test_foreign_arrays_are_read_with_numbers_for_keys(tmp_path: Path) -> None:
    np.save(tmp_path / "theirs.npy", ROWS)
    np.savez(tmp_path / "theirs.npz", theirs=ROWS)
    column = pa.array(ROWS.tolist(), pa.list_(pa.float64(), 10))
    pq.write_table(pa.table({"theirs": column}), tmp_path / "theirs.parquet")
    for ending in ("npy", "npz", "parquet"):
        with stored(tmp_path / f"theirs.{ending}") as found:
            assert found.keys == ("0", "1", "2", "3") and found.labels == ()
            assert (found.layers["theirs"][2:] == ROWS[2:]).all()


@pytest.mark.parametrize("ending", ENDINGS)
def test_labels_and_shapes_come_back_with_the_rows(ending: str, tmp_path: Path) -> None:
    path, keys = tmp_path / f"f.{ending}", ["b/2", "a,1", "c"]
    labels = {"a,1": "a, or not", "b/2": "b", "c": "", "left out": "d"}
    rows = {"conv3": np.arange(24, dtype=np.float32).reshape(3, 2, 2, 2) / 7}
    planned = Output(path, 4, {"conv3": (2, 2, 2)}, np.dtype("<f4"), {}, labels=labels)
    with writing(planned) as take:
        take(keys[:2], {"conv3": rows["conv3"][:2]})
        take(keys[2:], {"conv3": rows["conv3"][2:]})
    with stored(path) as found:
        assert found.keys == tuple(keys) and found.labels == ("b", "a, or not", "")
        given = np.array(found.layer("conv3")[:])
        assert (given.reshape(3, 2, 2, 2).astype("<f4") == rows["conv3"]).all()
    if ending == "npz":
        assert np.load(path)["labels"].tolist() == list(found.labels)
    if ending == "parquet":
        table = pq.read_table(path).to_pydict()
        assert table["label"] == list(found.labels)
        assert table["conv3"] == rows["conv3"].reshape(3, 8).tolist()
    if ending == "npy":
        assert keys_file(path).read_text().splitlines()[:2] == ["number,key,label", "0,b/2,b"]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        *(("f.hdf5", "f.h5"), ("f.pq", "f.parquet"), ("f.parqet", "f.parquet")),
        *(("f.NPY", "f.npy"), ("f.tsv", "f.csv"), ("f.pt", "f.npz"), ("a b.CSV", "a b.csv")),
        *(("f.jpg", ""), ("f", "")),
    ],
)
def test_an_unknown_ending_leads_to_the_one_that_is_meant(name: str, meant: str) -> None:
    with pytest.raises(UsageError) as caught:
        require_ending(Path(name))
    asked = f"Did you mean {meant!r}? " if meant else ""
    assert caught.value.remedy == asked + "Known: .npy, .npz, .h5, .parquet, .csv, .mat."


def test_a_table_is_not_wider_than_programs_read() -> None:
    def planned(*shape: int) -> Output:
        return Output(Path("f.csv"), 2, {"conv1": shape}, np.dtype("<f4"), {})

    require_possible(planned(9216))
    with pytest.raises(UsageError, match="290,400 columns") as caught:
        require_possible(planned(96, 55, 55))
    assert "f.npy or f.parquet" in caught.value.remedy


@pytest.mark.parametrize("ending", ENDINGS)
def test_damaged_files_are_data_errors(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"f.{ending}"
    with pytest.raises(DataError, match="no such file"), stored(path):
        pass
    write(path)
    one = path if path.exists() else tmp_path / f"f.fc7.{ending}"
    for content in (b"", b"\x00nothing", one.read_bytes()[:-30]):
        one.write_bytes(content)
        with pytest.raises(DataError) as caught, stored(one):
            pass
        assert "Not a readable" in caught.value.what or "do not belong" in caught.value.remedy


def test_files_of_others_are_read_or_are_data_errors(tmp_path: Path) -> None:
    def refused(name: str) -> str:
        with pytest.raises(DataError) as caught, stored(tmp_path / name):
            pass
        assert caught.value.where == str(tmp_path / name)
        return caught.value.what

    with h5py.File(tmp_path / "group.h5", "w") as file:
        file["deep/fc7"] = ROWS
    assert "/deep is a group" in refused("group.h5")
    with open(tmp_path / "several.npy", "wb") as several:
        np.savez(several, fc6=ROWS, fc7=ROWS)
    assert "the magic string is not correct" in refused("several.npy")
    h5py.File(tmp_path / "empty.h5", "w").close()
    scipy.io.savemat(tmp_path / "empty.mat", {"about": "{}"})
    for name in ("empty.h5", "empty.mat"):
        assert "there are no arrays in it" in refused(name)
    (tmp_path / "long.csv").write_text(f"key,a\n{'x' * 200_000},1\n")
    assert "field larger than" in refused("long.csv")


def test_bytes_of_hdf5_that_are_damaged_are_data_errors_wherever_they_are(tmp_path: Path) -> None:
    path = tmp_path / "f.h5"
    write(path)
    content, damaged = path.read_bytes(), 0
    for place in range(0, 4096, 32):
        path.write_bytes(content[:place] + b"\xa5" * 8 + content[place + 8 :])
        try:
            with stored(path) as found:
                assert all(len(rows[:]) == 4 for rows in found.layers.values())
        except DataError as error:
            assert error.where == str(path)
            damaged += 1
    assert damaged > 20
