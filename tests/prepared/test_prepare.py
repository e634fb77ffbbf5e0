"""Preparation: the same bytes however it is run, every input accounted for, safe to kill."""

from __future__ import annotations

import csv
import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from folders import contents

from alexnet.base.errors import DataError, EnvironmentProblem, IncompatibleError, UsageError
from alexnet.prepared import check, open_or_prepare, prepare, prepare_image
from alexnet.prepared.folder import locked
from alexnet.sources import Source, open_source
from alexnet.sources.base import as_ppm

Make = Callable[..., Source]
ROOT = Path(__file__).parents[2]


def rejected(folder: Path) -> list[list[str]]:
    with open(folder / "rejected.csv", newline="") as file:
        return list(csv.reader(file))[1:]


@pytest.fixture
def workers_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Every worker process runs the given program as it starts, from the file `site/sitecustomize.py`."""

    def set_up(program: str) -> None:
        (tmp_path / "site").mkdir()
        (tmp_path / "site" / "sitecustomize.py").write_text(program)
        monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'site'}{os.pathsep}{ROOT}")

    return set_up


@pytest.mark.usefixtures("small_shards")
@pytest.mark.parametrize("storage", ["raw", "jpeg"])
def test_the_number_of_workers_does_not_change_a_byte(
    folder: Make, tmp_path: Path, storage: str
) -> None:
    source = folder(count=23, extra={"train/cat/bad.png": b"no image"})
    for workers in (1, 2, 3):
        out = tmp_path / str(workers)
        prepare(source, out, storage=storage, workers=workers, allowed_rejected=0.1)
    one = contents(tmp_path / "1")
    assert contents(tmp_path / "2") == contents(tmp_path / "3") == one
    assert "train-00004-of-00005.arrow" in one and "val-00000-of-00001.arrow" in one
    assert set(one) - {name for name in one if "-of-" in name} == {
        "dataset.json",
        "inputs.arrow",
        "rejected.csv",
        "statistics.safetensors",
    }


@pytest.mark.usefixtures("small_shards")
def test_every_input_is_accepted_rejected_or_a_duplicate(
    folder: Make, tmp_path: Path, image: Callable[..., bytes]
) -> None:
    source = folder(
        count=12,
        extra={
            "train/cat/again.png": image(0),  # also cat/000.png
            "train/dog/other name.jpg": image(3),  # also dog/003.png
            "train/dog/cut.png": image(99)[:300],
            "train/dog/zero.jpg": b"",
            "train/dog/zero too.jpg": b"",
            "val/cat/page.jpg": b"<html>",
            "val/dog/leak.png": image(5),  # also in train
            "train/cat/long.png": image(98, size=(400, 30)),
        },
    )
    dataset = prepare(source, tmp_path / "out", allowed_rejected=0.5)
    assert dataset.description["accounting"] == {
        "train": {
            **{"inputs": 18, "accepted": 13, "rejected": 3, "duplicates": 2},
            "contradictions": 0,
        },
        "val": {
            **{"inputs": 6, "accepted": 5, "rejected": 1, "duplicates": 0},
            "contradictions": 0,
        },
    }
    assert rejected(tmp_path / "out") == [
        ["cat/again.png", "train", "duplicate", "the same bytes as cat/000.png"],
        ["dog/cut.png", "train", "truncated", rejected(tmp_path / "out")[1][3]],
        ["dog/other name.jpg", "train", "duplicate", "the same bytes as dog/003.png"],
        ["dog/zero too.jpg", "train", "empty", "the file has no bytes"],
        ["dog/zero.jpg", "train", "empty", "the file has no bytes"],
        ["cat/page.jpg", "val", "not an image", "it begins like a page of HTML or XML"],
    ]
    assert dataset.description["in_two_splits"] == [["val/dog/leak.png", "train/dog/005.png"]]
    assert dataset.description["extreme_aspect"] == ["train/cat/long.png"]
    keys = [dataset.split("train").key(i) for i in range(13)]
    assert "cat/again.png" not in keys and "cat/long.png" in keys

    looked = check(source)  # `data check` sees the same
    assert {name: account.summary() for name, account in looked.items()} == (
        dataset.description["accounting"]
    )
    rows = [list(row) for account in looked.values() for row in account.refused]
    assert rows == rejected(tmp_path / "out")


@pytest.mark.usefixtures("small_shards")
def test_images_labels_and_keys_belong_together(folder: Make, tmp_path: Path) -> None:
    source = folder(count=13)
    dataset = prepare(source, tmp_path / "out")
    for name in dataset.splits:
        split = dataset.split(name)
        given = [p for p in source.images() if p.split == name]
        assert [split.key(i) for i in range(len(split))] == [p.key for p in given]
        assert split.labels.tolist() == [p.label for p in given]
        for i, one in enumerate(given):
            assert (split.pixels(i) == prepare_image(one.data)).all()


def test_too_many_unusable_images_stop_it_and_are_named(folder: Make, tmp_path: Path) -> None:
    source = folder(count=12, extra={"train/cat/bad.png": b"no image"})
    with pytest.raises(DataError) as error:
        prepare(source, tmp_path / "out")
    assert error.value.exit_code == 3
    assert "1 of 17" in error.value.what
    assert "train/cat/bad.png: not an image" in error.value.where
    assert "data check" in error.value.remedy
    assert not (tmp_path / "out").exists()
    assert len(prepare(source, tmp_path / "out", allowed_rejected=0.06).split("train")) == 12


def test_nothing_usable_is_an_error_of_the_data(tmp_path: Path) -> None:
    (tmp_path / "photos" / "cat").mkdir(parents=True)
    (tmp_path / "photos" / "cat" / "1.jpg").write_bytes(b"no image")
    source = open_source(str(tmp_path / "photos"))
    with pytest.raises(DataError, match="No training image"):
        prepare(source, tmp_path / "out", allowed_rejected=1)


def test_a_truncated_archive_needs_permission(tmp_path: Path, folder: Make) -> None:
    folder(count=12)
    path = tmp_path / "photos.tar"
    subprocess.run(["tar", "cf", path, "-C", tmp_path, "photos"], check=True)
    path.write_bytes(path.read_bytes()[:-12_000])
    source = open_source(str(path))
    with pytest.raises(DataError, match="breaks off") as error:
        prepare(source, tmp_path / "out")
    assert f"{source.count} images come before" in error.value.what
    dataset = prepare(source, tmp_path / "out", accept_truncated=True)
    assert sum(len(dataset.split(name)) for name in dataset.splits) == source.count > 0
    assert dataset.description["truncated"] == source.truncated != ""


# --- Stopping and going on ------------------------------------------------------------------------


@pytest.mark.usefixtures("small_shards")
def test_killed_anywhere_it_goes_on_and_ends_with_the_same_bytes(tmp_path: Path) -> None:
    spec = "synthetic:60x3"
    prepare(open_source(spec), tmp_path / "whole")
    out = tmp_path / "out"
    program = (
        "import sys; from pathlib import Path\n"
        "from alexnet.prepared import prepare, shards\n"
        "from alexnet.sources import open_source\n"
        "shards.IMAGES = {'raw': 5, 'jpeg': 5}\n"
        "prepare(open_source(sys.argv[1]), Path(sys.argv[2]))\n"
    )
    unfinished = tmp_path / "out.unfinished"
    for whole in (2, 7):
        command = [sys.executable, "-c", program, spec, str(out)]
        with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL) as process:
            while len(list(unfinished.glob("*.journal.json"))) < whole:
                assert process.poll() is None
                time.sleep(0.002)
            process.send_signal(signal.SIGKILL)
        assert not out.exists()
    journals = sorted(unfinished.glob("train-*.journal.json"))
    shards = [path.with_name(path.name.replace("journal.json", "arrow")) for path in journals]
    kept = {path.stem: path.stat().st_mtime_ns for path in shards}
    assert len(kept) >= 5
    prepare(open_source(spec), out)
    assert contents(out) == contents(tmp_path / "whole")
    assert not unfinished.exists()
    again = {p.name.partition("-of-")[0]: p.stat().st_mtime_ns for p in out.glob("train-*")}
    assert kept.items() <= again.items()  # whole shards were not made again


@pytest.mark.usefixtures("small_shards")
def test_what_was_damaged_while_stopped_is_made_again(
    folder: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = folder(count=23)
    prepare(source, tmp_path / "whole")

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("alexnet.prepared.folder.finish", stop)
        with pytest.raises(KeyboardInterrupt):
            prepare(source, tmp_path / "out")
    shard = tmp_path / "out.unfinished" / "train-00001.arrow"
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    (tmp_path / "out.unfinished" / "train-00002.arrow").unlink()
    prepare(source, tmp_path / "out")
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


@pytest.mark.usefixtures("small_shards")
@pytest.mark.parametrize(
    "stop_at",
    [
        ("rename", "train-00002-of-00005.arrow"),
        ("rename", "dataset.json"),
        ("remove", "job.json"),
        ("rename", "out"),
        ("remove", ".lock"),
    ],
)
def test_stopped_among_its_last_steps_it_makes_no_shard_again(
    folder: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop_at: tuple[str, str]
) -> None:
    source = folder(count=23)
    prepare(source, tmp_path / "whole")

    def stop(operation: str, path: Path) -> None:
        if (operation, path.name) == stop_at:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("alexnet.base.files.step", stop)
        with pytest.raises(KeyboardInterrupt):
            prepare(source, tmp_path / "out")
    unfinished = tmp_path / ("out" if stop_at[1] == ".lock" else "out.unfinished")
    made = {path.stat().st_ino for path in unfinished.glob("*-*.arrow")}
    assert len(made) == 6
    prepare(source, tmp_path / "out")
    assert {path.stat().st_ino for path in (tmp_path / "out").glob("*-*.arrow")} == made
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    assert not (tmp_path / "out.unfinished").exists()


@pytest.mark.usefixtures("small_shards")
@pytest.mark.parametrize("moment", ["_table", "publish"])
def test_a_source_that_changed_while_it_was_stopped_is_what_is_prepared(
    folder: Make,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    image: Callable[..., bytes],
    moment: str,
) -> None:
    """Stopped when shards had their last names, or when only the folder lacked its own."""
    source = folder(count=23)

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(f"alexnet.prepared.folder.{moment}", stop)
        with pytest.raises(KeyboardInterrupt):
            prepare(source, tmp_path / "out")
    source = folder(count=23, extra={"train/cat/001b.png": image(77)})
    prepare(source, tmp_path / "fresh")
    prepare(source, tmp_path / "out")
    assert contents(tmp_path / "out") == contents(tmp_path / "fresh")


def test_a_source_that_gives_other_images_than_it_counted_is_named(
    folder: Make, tmp_path: Path
) -> None:
    source = folder(count=12)
    changed = dataclasses.replace(source, count=source.count + 2)
    with pytest.raises(DataError, match="changed while it was read: 16 images, not 18") as error:
        prepare(changed, tmp_path / "out")
    assert error.value.where == source.spec
    assert not (tmp_path / "out").exists()
    assert len(prepare(source, tmp_path / "out").split("train")) == 12


@pytest.mark.usefixtures("small_shards")
@pytest.mark.parametrize("name", ["job.json", "train-00001.journal.json"])
def test_a_damaged_note_of_a_stopped_preparation_costs_time_and_nothing_else(
    folder: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    source = folder(count=23)
    prepare(source, tmp_path / "whole")

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("alexnet.prepared.folder.finish", stop)
        with pytest.raises(KeyboardInterrupt):
            prepare(source, tmp_path / "out")
    note = tmp_path / "out.unfinished" / name
    note.write_bytes(note.read_bytes().replace(b"0", b"1"))
    prepare(source, tmp_path / "out")
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_where_a_link_leads_is_where_it_is_prepared(folder: Make, tmp_path: Path) -> None:
    (tmp_path / "large disk" / "set").mkdir(parents=True)
    (tmp_path / "out").symlink_to(tmp_path / "large disk" / "set")
    prepare(folder(), tmp_path / "out")
    assert (tmp_path / "out").is_symlink()
    assert (tmp_path / "large disk" / "set" / "dataset.json").is_file()
    assert sorted(path.name for path in (tmp_path / "large disk").iterdir()) == ["set"]


def test_a_mount_point_is_refused_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    inside = ["unshare", "--map-root-user", "--mount", "sh", "-c"]
    mount = f"mount -t tmpfs none '{tmp_path}/disk'"
    try:
        subprocess.run([*inside, mount], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this system lets nobody but root mount a disk")
    prepare_there = f"'{sys.executable}' -m alexnet data prepare synthetic:4x2 -o '{tmp_path}/disk'"
    done = subprocess.run(
        [*inside, f"{mount} && {prepare_there}"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert f"{tmp_path}/disk is where a disk is mounted" in done.stderr
    assert f"-o {tmp_path}/disk/" in done.stderr
    assert not (tmp_path / "disk.unfinished").exists()


def test_a_second_writer_is_turned_away_at_once(folder: Make, tmp_path: Path) -> None:
    with (
        locked(tmp_path / "out"),
        pytest.raises(EnvironmentProblem, match=f"by process {os.getpid()}") as error,
    ):
        prepare(folder(), tmp_path / "out")
    assert error.value.exit_code == 5


def test_a_disk_too_small_is_found_before_work_starts(
    folder: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=10**6))
    with pytest.raises(EnvironmentProblem, match=r"needs 0\.0 GB; 0\.0 GB are free"):
        prepare(folder(), tmp_path / "out")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_one_plain_sentence(folder: Make, tmp_path: Path) -> None:
    source = folder()
    (tmp_path / "sealed").mkdir(mode=0o500)
    with pytest.raises(EnvironmentProblem, match="Permission denied"):
        prepare(source, tmp_path / "sealed" / "out")


# --- What is there already ------------------------------------------------------------------------


def test_a_finished_set_is_opened_and_another_is_never_overwritten(
    folder: Make, tmp_path: Path, image: Callable[..., bytes]
) -> None:
    first = prepare(folder(), tmp_path / "out")
    before = contents(tmp_path / "out")
    assert prepare(folder(), tmp_path / "out").fingerprint == first.fingerprint
    with pytest.raises(IncompatibleError, match="storage raw, not jpeg"):
        prepare(folder(), tmp_path / "out", storage="jpeg")
    with pytest.raises(IncompatibleError, match="made from other images") as error:
        prepare(open_source("synthetic:4x2"), tmp_path / "out")
    assert error.value.exit_code == 6
    assert contents(tmp_path / "out") == before


def test_open_or_prepare_takes_a_source_or_what_was_made_of_it(
    folder: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = folder()
    monkeypatch.chdir(tmp_path)
    first = prepare(source, tmp_path / "prepared" / "photos", storage="jpeg")
    assert open_or_prepare("photos").fingerprint == first.fingerprint
    assert open_or_prepare("prepared/photos").fingerprint == first.fingerprint
    assert open_or_prepare("synthetic:4x2").folder == Path("prepared/synthetic-4x2")


def test_a_folder_with_something_else_in_it_is_left_alone(folder: Make, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    assert len(prepare(folder(), tmp_path / "out").split("val")) == 4  # empty is fine
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.txt").write_text("It was a dark night")
    with pytest.raises(UsageError, match="is not a prepared dataset"):
        prepare(folder(), tmp_path / "thesis")


# --- Decoders that die ----------------------------------------------------------------------------


@pytest.mark.usefixtures("small_shards")
def test_an_image_that_kills_or_hangs_its_decoder_is_named_and_the_rest_goes_on(
    folder: Make, tmp_path: Path, workers_run: Callable[[str], None]
) -> None:
    """Worker processes start with a decoder that really dies, and one that really hangs."""
    workers_run(
        "import os, signal\n"
        "from alexnet.prepared import pixels, work\n"
        "examine, work.IMAGE_SECONDS = pixels.examine, 0.4\n"
        "def fragile(data):\n"
        "    if data == b'deadly': os.kill(os.getpid(), signal.SIGSEGV)\n"
        "    while data == b'endless': pass\n"
        "    return examine(data)\n"
        "pixels.examine = fragile\n"
    )
    bad = {"train/cat/x.png": b"deadly", "train/dog/y.png": b"endless", "val/cat/z.png": b"deadly"}
    source = folder(count=12, extra=bad)
    dataset = prepare(source, tmp_path / "out", workers=2, allowed_rejected=0.5)
    assert [row[:3] for row in rejected(tmp_path / "out")] == [
        ["cat/x.png", "train", "kills the decoder"],
        ["dog/y.png", "train", "too slow"],
        ["cat/z.png", "val", "kills the decoder"],
    ]
    assert len(dataset.split("train")) == 12 and len(dataset.split("val")) == 4
    assert [row[:3] for row in check(source)["train"].refused] == [
        ("cat/x.png", "train", "kills the decoder"),
        ("dog/y.png", "train", "too slow"),
    ]


@pytest.mark.usefixtures("small_shards")
def test_an_image_that_is_too_slow_only_once_is_named_all_the_same(
    folder: Make, tmp_path: Path, workers_run: Callable[[str], None]
) -> None:
    workers_run(
        "import time\n"
        "from pathlib import Path\n"
        "from alexnet.prepared import pixels, work\n"
        "examine, work.IMAGE_SECONDS = pixels.examine, 0.4\n"
        "met = Path(__file__).with_name('met')\n"
        "def slow(data):\n"
        "    end = time.process_time() + (data == b'at the limit') * (0.3 if met.exists() else 2)\n"
        "    if data == b'at the limit': met.touch()\n"
        "    while time.process_time() < end: pass\n"
        "    return examine(data)\n"
        "pixels.examine = slow\n"
    )
    source = folder(count=12, extra={"train/cat/x.png": b"at the limit"})
    prepare(source, tmp_path / "out", workers=2, allowed_rejected=0.5)
    assert [row[:3] for row in rejected(tmp_path / "out")] == [["cat/x.png", "train", "too slow"]]


@pytest.mark.usefixtures("started_workers")
def test_workers_that_cannot_start_do_not_put_the_blame_on_images(
    folder: Make, tmp_path: Path, workers_run: Callable[[str], None]
) -> None:
    workers_run("import os; os._exit(1)")
    with pytest.raises(EnvironmentProblem, match="No image is to blame"):
        prepare(folder(), tmp_path / "out")


@pytest.mark.usefixtures("small_shards", "started_workers")
def test_memory_that_runs_out_loses_no_image(
    folder: Make, tmp_path: Path, workers_run: Callable[[str], None]
) -> None:
    """A process finds none for its shard, so a fresh one tries; where that is no better, work stops."""
    workers_run(
        "from pathlib import Path\n"
        "import numpy as np\n"
        "from alexnet.prepared import work\n"
        "room, spent = work._room, Path(__file__).with_name('spent')\n"
        "def scarce(*asked):\n"
        "    if spent.exists(): return room(*asked)\n"
        "    if Path(__file__).with_name('once').exists(): spent.touch()\n"
        "    return np.ones(2**45)\n"
        "work._room = scarce\n"
    )
    source = folder(count=12)
    with pytest.raises(EnvironmentProblem, match="No image is to blame") as error:
        prepare(source, tmp_path / "out", workers=1)
    assert error.value.exit_code == 5 and "fewer --workers" in error.value.remedy
    (tmp_path / "site" / "once").touch()
    assert len(prepare(source, tmp_path / "out", workers=1).split("train")) == 12
    assert (tmp_path / "site" / "spent").exists()


# --- Memory ---------------------------------------------------------------------------------------


@pytest.mark.usefixtures("small_shards")
def test_files_of_many_bytes_fill_a_shard_sooner(
    folder: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, image: Callable[..., bytes]
) -> None:
    monkeypatch.setattr("alexnet.prepared.shards.SOURCE_BYTES", 2 * len(image(0)) + 2000)
    source = folder(count=12)
    for workers in (1, 3):
        prepare(source, tmp_path / str(workers), workers=workers)
    assert contents(tmp_path / "1") == contents(tmp_path / "3")
    assert 4 <= len(list((tmp_path / "1").glob("train-*.arrow"))) <= 6


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_large_files(tmp_path: Path) -> None:
    """Photographs of 6 MB each: the peak of a set of 150 is that of a set of 80."""
    program = (
        "import resource, sys; from pathlib import Path\n"
        "from alexnet.prepared import prepare\n"
        "from alexnet.sources import open_source\n"
        "prepare(open_source(sys.argv[1]), Path(sys.argv[2]), workers=1)\n"
        "who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)\n"
        "print(*(resource.getrusage(one).ru_maxrss for one in who))\n"
    )
    peaks = []
    for count in (80, 150):
        given, out = tmp_path / str(count), tmp_path / f"out-{count}"
        (given / "train" / "cat").mkdir(parents=True)
        for n in range(count):
            noise = np.random.default_rng(n).integers(0, 256, (1000, 2000, 3), np.uint8)
            (given / "train" / "cat" / f"{n}.ppm").write_bytes(as_ppm(noise))
        # Through a shell: the peak of a process counts what started it, and these tests have grown.
        command = ["sh", "-c", '"$@"; exit $?', "sh", sys.executable, "-c", program, given, out]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        peaks.append([int(kib) / 1024 for kib in done.stdout.split()])
    print("peaks in MiB:", peaks)
    (own, workers), (own_later, workers_later) = peaks
    assert own_later < own + 100 and workers_later < workers + 100
    assert own_later < 600 and workers_later < 600
