"""A source that has changed since it was prepared, or has not: what is known without reading it, what is
made anew, and what of it is taken over.
"""

from __future__ import annotations

import json
import os
import shutil
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from folders import contents

from alexnet.base.errors import IncompatibleError
from alexnet.prepared import (
    PreparedDataset,
    changed_since,
    open_or_prepare,
    prepare,
    stamps,
    upgrades,
)
from alexnet.prepared.batches import Entry
from alexnet.prepared.reuse import Earlier
from alexnet.prepared.sealed import write_sealed
from alexnet.prepared.stamps import FILE as STAMPS
from alexnet.prepared.work import Stored
from alexnet.sources import Source, open_source
from alexnet.sources.base import as_ppm, read_file

Make = Callable[..., Source]


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that are read to recognize a set; those of this test count as written long ago."""
    found: list[str] = []

    def note(path: Path) -> object:
        found.append(path.name)
        return read_file(path)

    monkeypatch.setattr("alexnet.prepared.stamps.read_file", note)
    monkeypatch.setattr(stamps, "SETTLED", 0)
    return found


def again(tmp_path: Path, extra: dict[str, bytes] | None = None) -> Source:
    """The folder `photos` as it is now, with more files."""
    for name, data in (extra or {}).items():
        (tmp_path / "photos" / name).write_bytes(data)
    return open_source(str(tmp_path / "photos"))


def plain(number: int) -> bytes:
    """An image of so many bytes, whatever its pixels."""
    return as_ppm(np.random.default_rng(number).integers(0, 256, (40, 50, 3), np.uint8))


def fresh(source: Source, tmp_path: Path, **options: str) -> dict[str, bytes]:
    """What a preparation makes where there was none."""
    prepare(source, tmp_path / "fresh", **options)  # type: ignore[arg-type]
    made = contents(tmp_path / "fresh")
    shutil.rmtree(tmp_path / "fresh")
    return made


def now(folder: Path) -> dict[str, bytes]:
    """A set's files, without its history."""
    return {name: data for name, data in contents(folder).items() if name != "history.json"}


# --- Unchanged ------------------------------------------------------------------------------------


def test_only_what_may_have_changed_is_read_again(
    folder: Make, tmp_path: Path, read: list[str]
) -> None:
    source = folder(count=8)
    first = prepare(source, tmp_path / "out")
    made = (tmp_path / "out" / "dataset.json").stat().st_ino
    prepare(again(tmp_path), tmp_path / "out")
    assert read == []
    os.utime(tmp_path / "photos" / "train" / "dog" / "003.png")
    assert prepare(again(tmp_path), tmp_path / "out").fingerprint == first.fingerprint
    assert read == ["003.png"]
    prepare(again(tmp_path), tmp_path / "out")
    assert read == ["003.png"], "what was read once is known again"
    shutil.copytree(tmp_path / "photos", tmp_path / "copy")  # no time and no number is kept
    (tmp_path / "photos").rename(tmp_path / "away")
    prepare(open_source(str(tmp_path / "copy")), tmp_path / "out")
    assert len(read) == 1 + 12
    assert (tmp_path / "out" / "dataset.json").stat().st_ino == made


@pytest.mark.parametrize("packed", [False, True])
def test_files_may_be_from_before_1970(
    folder: Make, tmp_path: Path, read: list[str], packed: bool
) -> None:
    folder(count=4)
    path = tmp_path / "photos"
    if packed:
        with tarfile.open(path := tmp_path / "photos.tar", "w") as archive:
            archive.add(tmp_path / "photos", ".")
    old = path if packed else path / "train" / "dog" / "003.png"
    os.utime(old, ns=(-(10**15), -(10**15)))
    made = prepare(open_source(str(path)), tmp_path / "out")
    assert prepare(open_source(str(path)), tmp_path / "out").fingerprint == made.fingerprint
    assert read == []


def test_what_was_written_a_moment_ago_is_not_trusted(
    folder: Make, tmp_path: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Written again within the grain of the clock it would look the same."""
    monkeypatch.setattr(stamps, "SETTLED", 10**15)
    prepare(folder(count=8), tmp_path / "out")
    prepare(again(tmp_path), tmp_path / "out")
    assert len(read) == 12


@pytest.mark.parametrize("damage", ["missing", "cut", "flipped"])
def test_without_its_stamps_a_set_is_known_by_its_contents(
    folder: Make, tmp_path: Path, read: list[str], damage: str
) -> None:
    first = prepare(folder(count=8), tmp_path / "out")
    path = tmp_path / "out" / STAMPS
    whole = path.read_bytes()
    path.write_bytes(whole[:-20] if damage == "cut" else whole[:200] + b"?" + whole[201:])
    if damage == "missing":
        path.unlink()
    assert prepare(again(tmp_path), tmp_path / "out").fingerprint == first.fingerprint
    assert len(read) == 12 and path.read_bytes() == whole


def test_a_tar_file_that_was_packed_again_is_no_change_and_other_contents_are(
    folder: Make, tmp_path: Path
) -> None:
    folder(count=8, extra={"train/cat/a.ppm": plain(1)})
    path = tmp_path / "photos.tar"

    def pack(time: int) -> Source:
        with tarfile.open(path, "w") as tar:
            for file in sorted((tmp_path / "photos").rglob("*.p*")):
                member = tar.gettarinfo(file, str(file.relative_to(tmp_path)))
                member.mtime = time
                with open(file, "rb") as data:
                    tar.addfile(member, data)
        return open_source(str(path))

    first = prepare(pack(1), tmp_path / "out")
    assert prepare(pack(2), tmp_path / "out").fingerprint == first.fingerprint
    (tmp_path / "photos" / "train" / "cat" / "a.ppm").write_bytes(plain(2))
    changed = prepare(pack(2), tmp_path / "out")
    assert changed_since(changed, first.fingerprint) == "1 replaced"
    assert now(tmp_path / "out") == fresh(pack(2), tmp_path)


def test_an_upgraded_library_is_noted(
    folder: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = prepare(folder(count=8), tmp_path / "out")
    assert upgrades(first) == ""
    versions = first.description["made"]["versions"] | {"pillow": "99.0"}
    monkeypatch.setattr("alexnet.prepared.folder._versions", lambda: versions)
    opened = prepare(again(tmp_path), tmp_path / "out")
    assert opened.fingerprint == first.fingerprint
    pillow = first.description["made"]["versions"]["pillow"]
    assert upgrades(opened) == f"prepared with pillow {pillow}, now 99.0"


# --- Changed --------------------------------------------------------------------------------------


def swap_classes(root: Path) -> None:
    for split in ("train", "val"):
        (root / split / "cat").rename(root / split / "x")
        (root / split / "dog").rename(root / split / "cat")
        (root / split / "x").rename(root / split / "dog")


def swap_two_files(root: Path) -> None:
    a, b = root / "train" / "cat" / "a.ppm", root / "train" / "dog" / "b.ppm"
    a.rename(root / "x")
    b.rename(a)
    (root / "x").rename(b)


def write_over(root: Path) -> None:
    """Other contents of the same size, with the old times put back."""
    path = root / "train" / "cat" / "a.ppm"
    before = path.stat()
    path.write_bytes(plain(3))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def rename_a_class(root: Path) -> None:
    for split in ("train", "val"):
        (root / split / "dog").rename(root / split / "wolf")


def move_to_val(root: Path) -> None:
    (root / "train" / "cat" / "a.ppm").rename(root / "val" / "cat" / "a.ppm")


@pytest.mark.usefixtures("small_shards", "read")
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (swap_classes, "18 relabelled"),
        (swap_two_files, "2 relabelled"),
        (write_over, "1 replaced"),
        (rename_a_class, "9 relabelled"),
        (move_to_val, "1 moved to another split"),
        (lambda root: (root / "train/cat/a.ppm").rename(root / "train/cat/z.ppm"), "1 renamed"),
        (lambda root: (root / "train/cat/a.ppm").unlink(), "1 removed"),
        (lambda root: (root / "val/dog/c.ppm").write_bytes(plain(4)), "1 added"),
    ],
)
def test_whatever_changes_it_is_prepared_anew_and_told(
    folder: Make, tmp_path: Path, change: Callable[[Path], object], words: str
) -> None:
    source = folder(count=12, extra={"train/cat/a.ppm": plain(1), "train/dog/b.ppm": plain(2)})
    first = prepare(source, tmp_path / "out")
    change(tmp_path / "photos")
    changed = prepare(again(tmp_path), tmp_path / "out")
    assert changed_since(changed, first.fingerprint) == words
    assert changed_since(changed, "0" * 64) == ""
    assert now(tmp_path / "out") == fresh(again(tmp_path), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "photos"]


@pytest.mark.usefixtures("small_shards")
@pytest.mark.parametrize("storage", ["raw", "jpeg"])
def test_of_a_grown_set_only_what_is_new_is_decoded(
    folder: Make,
    tmp_path: Path,
    image: Callable[..., bytes],
    monkeypatch: pytest.MonkeyPatch,
    storage: str,
) -> None:
    """An image at the end leaves whole shards as they are; one at the beginning moves all others."""
    taken: list[int] = []
    stored = Earlier.stored

    def count(self: Earlier, entries: Sequence[Entry]) -> dict[int, Stored]:
        found = stored(self, entries)
        taken.append(len(found))
        return found

    monkeypatch.setattr(Earlier, "stored", count)
    prepare(folder(count=23), tmp_path / "out", storage=storage)
    old = {path.stat().st_ino for path in (tmp_path / "out").glob("train-*")}
    source = again(tmp_path, {"train/dog/999.png": image(80)})
    prepare(source, tmp_path / "out", storage=storage)
    kept = {path.stat().st_ino for path in (tmp_path / "out").glob("train-*")}
    assert len(kept & old) == 4 and taken == [3]
    assert now(tmp_path / "out") == fresh(source, tmp_path, storage=storage)
    taken.clear()
    source = again(tmp_path, {"train/cat/000.a.png": image(81)})
    prepare(source, tmp_path / "out", storage=storage)
    assert sum(taken) == 24
    assert now(tmp_path / "out") == fresh(source, tmp_path, storage=storage)
    states = json.loads((tmp_path / "out" / "history.json").read_text())
    assert [state["changes"] for state in states] == [{"added": 1}, {"added": 1}]


@pytest.mark.parametrize("rule", ["version", "colours"])
def test_a_set_of_another_version_of_the_program_is_made_anew(
    folder: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str], rule: str
) -> None:
    source = folder(count=8)
    prepare(source, tmp_path / "out")
    whole = now(tmp_path / "out")
    description = json.loads(whole["dataset.json"])
    del description["sha256"]
    if rule == "version":
        description["version"] = 1
    else:
        description["made"]["colours"] = "another rule"
    write_sealed(tmp_path / "out" / "dataset.json", description)
    prepare(source, tmp_path / "out")
    assert "was made by other rules" in capsys.readouterr().err
    assert now(tmp_path / "out") == whole
    description["version"] = 99
    write_sealed(tmp_path / "out" / "dataset.json", description)
    with pytest.raises(IncompatibleError, match="format version 99"):
        prepare(source, tmp_path / "out")


@pytest.mark.usefixtures("small_shards")
def test_damage_is_not_taken_over(
    folder: Make, tmp_path: Path, image: Callable[..., bytes]
) -> None:
    prepare(folder(count=12), tmp_path / "out")
    for path in sorted((tmp_path / "out").glob("train-*"))[:2]:
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    source = again(tmp_path, {"train/cat/001.png": image(80)})
    prepare(source, tmp_path / "out")
    assert now(tmp_path / "out") == fresh(source, tmp_path)


@pytest.mark.usefixtures("small_shards")
@pytest.mark.parametrize(
    "stop_at",
    [
        ("rename", "dataset.json"),
        ("rename", ".out.replaced"),
        ("rename", "out"),
        ("remove", ".lock"),
        ("remove", ".out.replaced"),
    ],
)
def test_stopped_anywhere_a_whole_set_is_there_and_the_same_command_goes_on(
    folder: Make,
    tmp_path: Path,
    image: Callable[..., bytes],
    monkeypatch: pytest.MonkeyPatch,
    stop_at: tuple[str, str],
) -> None:
    old = prepare(folder(count=12), tmp_path / "out").fingerprint
    source = again(tmp_path, {"train/cat/new.png": image(50)})

    def stop(operation: str, path: Path) -> None:
        begun = operation != "remove" or (tmp_path / ".out.replaced").exists()
        if (operation, path.name) == stop_at and begun:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("alexnet.base.files.step", stop)
        with pytest.raises(KeyboardInterrupt):
            prepare(source, tmp_path / "out")
    places = [tmp_path / name for name in ("out", ".out.replaced") if (tmp_path / name).exists()]
    whole = [PreparedDataset.open(place).fingerprint for place in places]
    prepare(source, tmp_path / "out")
    assert old in whole or now(tmp_path / "out") == now(places[0])
    assert now(tmp_path / "out") == fresh(source, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "photos"]


# --- Which folder ---------------------------------------------------------------------------------


def test_folders_of_one_name_have_sets_of_their_own(
    folder: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, image: Callable[..., bytes]
) -> None:
    monkeypatch.chdir(tmp_path)
    folder(count=8)
    shutil.copytree("photos", "b/photos")
    first = open_or_prepare("photos")
    assert open_or_prepare("b/photos").folder == first.folder, "a copy is the same images"
    (tmp_path / "b" / "photos" / "train" / "cat" / "000.png").write_bytes(image(90))
    other = open_or_prepare("b/photos")
    assert first.folder == Path("prepared/photos") and other.folder != first.folder
    assert open_or_prepare("photos").fingerprint == first.fingerprint != other.fingerprint
    (tmp_path / "b" / "photos" / "train" / "cat" / "new.png").write_bytes(image(91))
    (tmp_path / "photos" / "train" / "cat" / "new.png").write_bytes(image(92))
    assert open_or_prepare("b/photos").folder == other.folder
    assert open_or_prepare("photos").folder == first.folder
    assert len(list(Path("prepared").iterdir())) == 2


def test_a_renamed_folder_finds_its_set(
    folder: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "project").mkdir()
    folder(count=8)
    (tmp_path / "photos").rename(tmp_path / "project" / "photos")
    monkeypatch.chdir(tmp_path / "project")
    open_or_prepare("photos")
    Path("photos").rename("pictures")
    assert open_or_prepare("pictures").folder == Path("prepared/photos")
    (tmp_path / "project").rename(tmp_path / "elsewhere")
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert open_or_prepare("pictures").folder == Path("prepared/photos")


def test_the_share_that_was_held_out_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, image: Callable[..., bytes]
) -> None:
    """A set prepared with another one is trained on as it is, and grows as it is."""
    monkeypatch.chdir(tmp_path)
    for n in range(16):
        path = Path("photos", ("cat", "dog")[n % 2], f"{n}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(image(n))
    first = prepare(open_source("photos", validation_share=0.5), Path("prepared/photos"))
    assert open_or_prepare("photos").fingerprint == first.fingerprint
    Path("photos/cat/new.png").write_bytes(image(20))
    grown = open_or_prepare("photos")
    assert changed_since(grown, first.fingerprint) == "1 added"
    assert grown.description["source"]["validation_share"] == 0.5
