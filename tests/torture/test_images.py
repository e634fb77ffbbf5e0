"""Damaged images through the whole of `alexnet data`, in real processes: each is used or named."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from torture.bombs import BOMBS
from torture.mutate import FORMATS, MUTATORS, mutated, original

from alexnet.prepared import PreparedDataset
from alexnet.prepared.worker import MEMORY

ROOT = Path(__file__).resolve().parents[2]
SAMPLE, FULL = 400, 10_000
_AT_ONCE = 1000
_SECONDS = 5  # that no image may take; a whole batch has to end in so many for each core at worst


@pytest.mark.parametrize(
    "cases", [SAMPLE, pytest.param(FULL, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])]
)
def test_every_damaged_image_is_used_or_named(
    tmp_path: Path, cases: int, figure: Callable[[str, int], None]
) -> None:
    """File NUMBER-FORMAT-DAMAGE is `torture.mutate.mutated(NUMBER)` again."""
    for first in range(0, cases, _AT_ONCE):
        folder = tmp_path / f"{first:05d}"
        _run_batch(folder, range(first, min(first + _AT_ONCE, cases)))
    figure(
        f"Damaged images in {len(FORMATS)} forms of 7 formats, damaged in {len(MUTATORS)} ways: no "
        f"crash, none over {_SECONDS} s, each one prepared or named with its reason",
        cases,
    )


@pytest.mark.parametrize(
    "cases", [12, pytest.param(len(BOMBS), marks=[pytest.mark.slow, pytest.mark.timeout(1800)])]
)
def test_images_that_ask_for_too_much_are_refused_in_bounded_memory(
    tmp_path: Path, cases: int, figure: Callable[[str, int], None]
) -> None:
    """Each in a file of its own name; the peak is that of the largest process, read from the system."""
    names = list(BOMBS)[:: len(BOMBS) // cases][:cases]
    for n, name in enumerate(names):
        path = tmp_path / "photos" / f"class{n % 2}" / f"{name}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(BOMBS[name][0]())
    program = (
        "import resource, subprocess, sys\n"
        "done = subprocess.run([sys.executable, '-m', 'alexnet', *sys.argv[1:]])\n"
        "print('\\n', resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\n"
        "sys.exit(done.returncode)\n"
    )
    check = ["data", "check", "photos", "--json", "--allowed-rejected", "1"]
    command = [sys.executable, "-c", program, *check]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    found, _, peak = done.stdout.rpartition("\n ")
    assert int(peak) * 1024 < MEMORY  # of everything, program and libraries included
    reasons = dict.fromkeys(names, "") | {
        Path(key).stem: why for key, _, why, _ in json.loads(found)["refused"]
    }
    wrong = {name: why for name, why in reasons.items() if why not in BOMBS[name][1].split("|")}
    assert wrong == {}
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]  # and nothing was written
    figure("Images that ask for gigabytes, hours or another program: refused within 2 GiB", cases)


def _run_batch(folder: Path, numbers: range) -> None:
    given = _write(folder / "photos", numbers)
    about = f"images {numbers.start} to {numbers.stop - 1}"
    most = ("--allowed-rejected", "1")
    seen = json.loads(_alexnet("data", "check", "photos", "--json", *most, cwd=folder, about=about))
    _alexnet("data", "prepare", "photos", "-o", "prepared", *most, cwd=folder, about=about)
    dataset = PreparedDataset.open(folder / "prepared")

    accounting = dataset.description["accounting"]
    assert sum(one["inputs"] for one in accounting.values()) == len(given), about
    for one in accounting.values():
        whole = one["accepted"] + one["rejected"] + one["duplicates"] + one["contradictions"]
        assert one["inputs"] == whole, about
    with open(folder / "prepared" / "rejected.csv", newline="") as file:
        rows = list(csv.reader(file))[1:]
    assert accounting == seen["accounting"] and rows == seen["refused"], about
    unreasonable = [row for row in rows if row[2] in ("too slow", "kills the decoder", "")]
    assert unreasonable == []
    refused = [key for key, *_ in rows]
    used = [part.key(n) for name in dataset.splits for part in [dataset.split(name)]
            for n in range(len(part))]  # fmt: skip
    assert sorted(refused + used) == sorted(given), about
    assert set(used) >= {key for key in given if "+whole" in key}


def _write(folder: Path, numbers: range) -> list[str]:
    """The damaged files in four class folders, and a few that are whole; their keys."""
    files = [(f"class0/+whole-{kind}", original(kind, 2)) for kind in sorted(FORMATS)]  # come first
    files += [
        (f"class{n % 4}/{name}", data) for n, (name, data) in enumerate(map(mutated, numbers))
    ]
    for name, data in files:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return [name for name, _ in files]


def _alexnet(*arguments: str, cwd: Path, about: str) -> str:
    command = [sys.executable, "-m", "alexnet", *arguments]
    done = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, timeout=_SECONDS * _AT_ONCE
    )
    assert done.returncode == 0, f"{about}: {done.stderr[-2000:]}"
    said = [line for line in done.stderr.splitlines() if not line.startswith(arguments[1])]
    assert said == [], about  # nothing but the line of progress
    return done.stdout
