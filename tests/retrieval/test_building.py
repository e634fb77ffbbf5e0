"""Changing an index: killed anywhere, damaged anywhere, grown, gone on with; read by other programs."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import forking
import numpy as np
import pyarrow as pa
import pytest
import safetensors.numpy
from folders import contents
from retrieval.made import PART_ROWS, SOURCE, about, keys_of, make_index, nearest, vectors
from torture import faults

from alexnet.base.errors import DataError, EnvironmentProblem, IncompatibleError, UsageError
from alexnet.retrieval import building
from alexnet.retrieval.building import changing
from alexnet.retrieval.coding import add_codes
from alexnet.retrieval.description import About
from alexnet.retrieval.files import Place
from alexnet.retrieval.index import Index
from alexnet.retrieval.known import Known

TESTS = str(faults.ROOT / "tests")


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "PART_BYTES", 4 * 40 * PART_ROWS)


# --- Killed ---------------------------------------------------------------------------------------


def change(folder: Path, rows: int, counter: Path, kind: str = "", at: int = 0) -> int:
    """The exit code of a process that makes a folder the index of so many rows."""
    env = faults.environment(counter, kind, at)
    env["PYTHONPATH"] = os.pathsep.join([env["PYTHONPATH"], TESTS])
    done = faults.run(["-m", "retrieval.made", folder, rows], env, folder.parent)
    assert done.returncode <= 0, done.stderr
    return done.returncode


def rows_in(folder: Path) -> int:
    """How many rows an index has, having looked at every one; 0 where there is none."""
    try:
        index = Index.open(folder)
    except UsageError:
        return 0
    rows_NU, keys = vectors(200)[: len(index)], keys_of(len(index))
    assert np.array_equal(np.asarray(index.vectors), rows_NU)
    answer = index.nearest(rows_NU[:1], len(index))[0]
    assert [one.row for one in answer] == nearest(rows_NU, keys, rows_NU[0], len(index))
    assert [(one.key, one.path) for one in answer] == [(keys[n], str(n)) for n in
                                                       (one.row for one in answer)]  # fmt: skip
    if index.coder:
        assert np.array_equal(index.codes, index.coder.encode(rows_NU))
    return len(index)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("cases", [3, pytest.param(50, marks=pytest.mark.slow)])
@pytest.mark.parametrize("before", [0, 40])
def test_killed_at_any_moment_it_is_the_old_index_or_the_new_one(
    before: int, cases: int, tmp_path: Path
) -> None:
    """60 new rows are added to none or to 40, in a process that is killed at a change of the disk."""
    whole, counter = tmp_path / "whole", tmp_path / "counter"
    if before:
        change(whole, before, counter)
    assert change(whole, before + 60, counter, "count") == 0
    changes = faults.counted(counter)
    for at in np.unique(np.linspace(1, changes, cases).round().astype(int)).tolist():
        folder = tmp_path / f"killed at {at}"
        counter.unlink()
        if before:
            change(folder, before, tmp_path / "none")
        assert change(folder, before + 60, counter, "kill", at) == -9
        assert rows_in(folder) in (before, before + 60)
        change(folder, before + 60, tmp_path / "none")
        assert rows_in(folder) == before + 60 and Index.open(folder).bits == 20
        assert len(contents(folder)) == len(contents(whole))  # no file is left of what was killed


def test_what_was_computed_before_an_interrupt_is_kept_but_not_shown(tmp_path: Path) -> None:
    rows_NU, keys = vectors(100), keys_of(100)
    with pytest.raises(KeyboardInterrupt), changing(tmp_path, about(40)) as changed:
        changed.add(keys[:70], rows_NU[:70])
        changed.keep()
        raise KeyboardInterrupt
    with pytest.raises(UsageError, match="not an index"):
        Index.open(tmp_path)
    with changing(tmp_path, about(40)) as changed:
        known = Known(changed.parts)
        assert [known.row(key) for key in keys] == [*range(70), *[None] * 30]
    other = About("b", "b", "1" * 64, "fc7", (40,), 1, 256)
    with changing(tmp_path, other) as changed:  # of another model: those vectors are of no use
        assert not changed.parts
    assert [path.name for path in tmp_path.iterdir()] == ["index.lock"]


def test_two_processes_do_not_change_one_index(tmp_path: Path) -> None:
    with (
        changing(tmp_path, about(40)),
        pytest.raises(EnvironmentProblem, match="is being built already"),
        changing(tmp_path, about(40)),
    ):
        pass


# --- Grown ----------------------------------------------------------------------------------------


def test_a_grown_index_answers_as_one_built_at_once(tmp_path: Path) -> None:
    rows_NU, keys = vectors(200), keys_of(200)
    made = make_index(tmp_path / "grown", rows_NU[:50])
    files = {one.file for one in made.description.files()}
    for count in (60, 61, 90):
        made = make_index(tmp_path / "grown", rows_NU[:count], add=True)
        assert len(made.vectors.parts) == -(-count // PART_ROWS)  # small parts are not left behind
        assert (made.description.directions_rows, len(made)) == (50, count)
    assert len(files & {one.file for one in made.description.files()}) == 7  # two parts, directions
    made = make_index(tmp_path / "grown", rows_NU, add=True)
    assert made.description.directions_rows == 200  # too many for directions found among 50
    at_once = make_index(tmp_path / "at once", rows_NU)
    queries_QU = rows_NU[::20] * np.float32(1.1)
    for grown, whole in zip(made.nearest(queries_QU), at_once.nearest(queries_QU), strict=True):
        assert grown.neighbours == whole.neighbours
    assert [one.row for one in made.nearest(rows_NU[3:4])[0]] == nearest(
        rows_NU, keys, rows_NU[3], 6
    )


def test_places_move_and_vectors_stay(tmp_path: Path) -> None:
    rows_NU, keys = vectors(60), keys_of(60)
    old = make_index(tmp_path, rows_NU)
    places = [[Place(0, f"moved/{n}", "val", "cat")] for n in range(60)]
    places[7].append(Place(0, "a copy", "train", "dog"))
    new = make_index(tmp_path, rows_NU[:50], keys[:50], places[:50])
    assert [part.vectors for part in new.description.parts] == [
        part.vectors for part in old.description.parts
    ]
    assert len(new) == 50 and len(new.vectors) == 60  # ten were removed
    answer = new.nearest(rows_NU[7:8])[0]
    assert answer[0].places == tuple(places[7]) and answer[0].distance == 0
    back = make_index(tmp_path, rows_NU)
    assert len(back) == 60
    # A path at which other bytes lie now is no longer the old image's.
    replaced = make_index(tmp_path, rows_NU[5:6], keys[5:6], [[Place(0, "9", "", "")]], add=True)
    assert [one.path for one in replaced.rows.part_of(9)[0].places(9)] == []
    assert [one.path for one in replaced.rows.part_of(5)[0].places(5)] == ["5", "9"]


def test_a_reader_meets_the_new_index_where_the_old_one_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between reading index.json and opening its files, all of them are replaced."""
    from alexnet.retrieval import index as module

    make_index(tmp_path, vectors(30))
    reading = module.read_description

    def read_and_replace(folder: Path) -> object:
        monkeypatch.setattr(module, "read_description", reading)
        found = reading(folder)
        make_index(tmp_path, vectors(80), add=True)
        return found

    monkeypatch.setattr(module, "read_description", read_and_replace)
    assert len(Index.open(tmp_path)) == 80


def test_other_models_and_other_folders_are_refused(tmp_path: Path) -> None:
    make_index(tmp_path / "index", vectors(30))
    other = About("runs/other", "/runs/other", "1" * 64, "fc7", (40,), 1, 256)
    with pytest.raises(IncompatibleError) as caught, changing(tmp_path / "index", other):
        pass
    assert "0" * 64 in str(caught.value) and "1" * 64 in str(caught.value)
    layer = About("made", "made", "0" * 64, "fc6", (40,), 1, 256)
    with pytest.raises(IncompatibleError, match="layer 'fc7', not 'fc6'"):
        changing(tmp_path / "index", layer).__enter__()
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"mine")
    with pytest.raises(UsageError, match="not empty"):
        changing(tmp_path / "photos", about(40)).__enter__()
    assert (tmp_path / "photos" / "a.jpg").read_bytes() == b"mine"


# --- Damaged, and read by others ------------------------------------------------------------------


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("cases", [40, pytest.param(2000, marks=pytest.mark.slow)])
def test_damage_anywhere_is_found_and_named(cases: int, tmp_path: Path) -> None:
    make_index(tmp_path / "whole", vectors(70))
    add_codes(tmp_path / "whole", 20, method="itq")
    paths = {name: str(tmp_path / name) for name in ("whole", "copy", "log")}
    job = json.dumps({"paths": paths, "seed": 19, "count": cases})
    done = forking.run(
        [sys.executable, "-m", "retrieval.damage", job],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(faults.ROOT), TESTS])},
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    said = (tmp_path / "log").read_text()
    assert done.returncode == 0, f"{said}\nended with {done.returncode}\n{done.stderr[-3000:]}"
    assert f"case {cases - 1}," in said


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    make_index(tmp_path, vectors(70))
    add_codes(tmp_path, 20, method="itq")
    for file in Index.open(tmp_path).description.files():
        (tmp_path / file.file).rename(tmp_path / "away")
        with pytest.raises(DataError, match="missing") as caught:
            Index.open(tmp_path)
        assert file.file in str(caught.value)
        (tmp_path / "away").rename(tmp_path / file.file)
    Index.open(tmp_path)


def test_other_programs_read_the_files(tmp_path: Path) -> None:
    rows_NU, keys = vectors(70), keys_of(70)
    made = make_index(
        tmp_path, rows_NU, places=[[Place(0, f"p/{n}", "train", "cat")] for n in range(70)]
    )
    assert made.description.sources == (SOURCE,)
    tables = {
        kind: pa.concat_tables(
            pa.ipc.open_file(tmp_path / getattr(part, kind).file).read_all()
            for part in made.description.parts
        )
        for kind in ("vectors", "images")
    }
    assert np.array_equal(np.stack(tables["vectors"]["vector"].to_pylist()), rows_NU)
    assert tables["vectors"]["key"].to_pylist() == tables["images"]["key"].to_pylist() == keys
    assert tables["images"]["paths"].to_pylist() == [[f"p/{n}"] for n in range(70)]
    head = made.description.parts[0].head
    assert head is not None
    found = safetensors.numpy.load_file(tmp_path / head.file)
    assert found["head"].shape == (PART_ROWS, 40)


@pytest.mark.parametrize("program", ["polars", "duckdb"])
def test_polars_and_duckdb_read_the_files(program: str, tmp_path: Path) -> None:
    library = pytest.importorskip(program)
    rows_NU = vectors(30)
    made = make_index(tmp_path, rows_NU)
    files = [tmp_path / part.vectors.file for part in made.description.parts]
    if program == "polars":
        table = library.read_ipc(files)
        assert np.array_equal(table["vector"].to_numpy(), rows_NU)
    else:
        parts = pa.concat_tables(pa.ipc.open_file(file).read_all() for file in files)
        (sums,) = library.sql("SELECT sum(list_sum(vector)) FROM parts").fetchall()
        assert len(parts) == 30 and sums[0] == pytest.approx(rows_NU.sum(), rel=1e-5)
