"""Files appear whole or not at all, whatever happens; memory does not grow with the rows."""

from __future__ import annotations

import errno
import os
import signal
import tracemalloc
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest

from alexnet import files
from alexnet.errors import DataError, EnvironmentProblem
from alexnet.retrieval.output import Output, import_h5py, require_new, require_room
from alexnet.retrieval.stored import stored

ENDINGS = ["npy", "csv", "h5", "mat"]
ROWS = np.arange(60, dtype=np.float32).reshape(6, 10)
SHAPES = {"fc6": (10,), "fc7": (10,)}


def output(path: Path, rows: int = 6) -> Output:
    return Output(path, list(map(str, range(rows))), SHAPES, np.dtype("<f4"), {"views": 1})


def write(path: Path, add: float = 0.0) -> None:
    with output(path).writing() as take:
        for first in range(0, 6, 2):
            take(dict.fromkeys(SHAPES, ROWS[first : first + 2] + add))


class Step:
    """Does something at the k-th change of the disk; counts them."""

    def __init__(self, k: int, what: int | None = None) -> None:
        self.k, self.what, self.count = k, what, 0

    def __call__(self, operation: str, path: Path) -> int | None:
        self.count += 1
        if self.count == self.k:
            if self.what is None:
                os.kill(os.getpid(), signal.SIGKILL)
            else:
                raise OSError(self.what, os.strerror(self.what))
        return None


def changes(path: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    counter = Step(-1)
    monkeypatch.setattr(files, "step", counter)
    write(path)
    return counter.count


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_killed_process_leaves_no_half_file(
    ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = changes(tmp_path / f"whole.{ending}", monkeypatch)
    monkeypatch.undo()
    whole = {path.name[5:]: path.read_bytes() for path in tmp_path.glob("whole*")}
    folder = tmp_path / "killed"
    folder.mkdir()
    for k in range(1, count + 1):
        child = os.fork()
        if child == 0:
            files.step = Step(k)
            write(folder / f"f.{ending}")
            os._exit(0)
        assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
        for path in folder.glob("f*"):
            if path.suffix != ".json":  # it names the others
                assert path.read_bytes() == whole[path.name[1:]]
            path.unlink()
    write(folder / f"f.{ending}")
    assert len(list(folder.iterdir())) == len(whole)  # what the dead had left is swept up


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_disk_that_fails_leaves_what_was_there(
    ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"f.{ending}"
    count = changes(path, monkeypatch)
    before = {one: one.read_bytes() for one in tmp_path.iterdir()}
    renames = len(before) * 2  # those, each with a flush of the folder, come last
    for k in range(1, count - renames + 1):
        monkeypatch.setattr(files, "step", Step(k, errno.ENOSPC))
        with pytest.raises(EnvironmentProblem, match="No space left") as caught:
            write(path, add=1.0)
        assert "Free some space" in caught.value.remedy
        assert {one: one.read_bytes() for one in tmp_path.iterdir()} == before


@pytest.mark.parametrize("ending", ENDINGS)
def test_memory_does_not_grow_with_the_rows(ending: str, tmp_path: Path) -> None:
    keys = list(map(str, range(400)))
    whole = len(keys) * 2500 * 4
    rows = {"conv3": np.zeros((8, 4, 25, 25), np.float32)}
    path, shapes = tmp_path / f"f.{ending}", {"conv3": (4, 25, 25)}
    tracemalloc.start()
    with Output(path, keys, shapes, np.dtype("<f4"), {}).writing() as take:
        for _ in range(len(keys) // 8):
            take(rows)
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


def test_without_h5py_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    with pytest.raises(EnvironmentProblem, match="h5py") as caught:
        import_h5py()
    assert "alexnet[features]" in caught.value.remedy


def test_foreign_arrays_are_read_with_numbers_for_keys(tmp_path: Path) -> None:
    np.save(tmp_path / "theirs.npy", ROWS)
    with stored(tmp_path / "theirs.npy") as found:
        assert found.keys == ("0", "1", "2", "3", "4", "5")
        assert (found.layers["theirs"][4:] == ROWS[4:]).all()


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
