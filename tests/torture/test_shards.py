"""A prepared set cannot lie: damage of any kind, anywhere, is found, and crashes no reader."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import forking
import pytest
from torture.conftest import Figure
from torture.faults import ROOT

from alexnet.prepared import prepare, shards
from alexnet.sources import open_source

SEED = 20120930


@pytest.fixture(scope="module")
def wholes(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A raw and a JPEG set of 16 images in shards of 5, one input of them rejected."""
    place = tmp_path_factory.mktemp("whole")
    source = place / "photos"
    for image in open_source("synthetic:15x3", validation_share=0.2).images():
        path = source / str(image.label) / image.key.replace("/", "-")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(image.data)
    (source / "0" / "bad.png").write_bytes(b"no image")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "IMAGES", {"raw": 5, "jpeg": 5})
        for storage in ("raw", "jpeg"):
            prepare(
                open_source(str(source), validation_share=0.3),
                place / storage,
                storage=storage,
                workers=1,
                allowed_rejected=0.1,
            )
    return [place / "raw", place / "jpeg"]


def torment(wholes: list[Path], tmp_path: Path, cases: int, forge: bool) -> None:
    job = {
        "seed": SEED, "first": 0, "count": cases, "forge": forge,
        "wholes": [str(whole) for whole in wholes],
        "copy": str(wholes[0].parent / "copy"), "log": str(tmp_path / "case"),
    }  # fmt: skip
    paths = [str(ROOT), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")]
    done = forking.run(
        [sys.executable, "-m", "torture.damage", json.dumps(job)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, (
        f"{(tmp_path / 'case').read_text()}\nended with {done.returncode}\n{done.stderr[-3000:]}"
    )
    assert f"case {cases - 1}," in (tmp_path / "case").read_text()


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("cases", [100, pytest.param(2000, marks=pytest.mark.slow)])
def test_damage_anywhere_is_found_and_named(
    wholes: list[Path], tmp_path: Path, cases: int, figure: Figure
) -> None:
    torment(wholes, tmp_path, cases, forge=False)
    figure("Damage to a prepared set is found and named; what is read crashes nothing", cases)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("cases", [100, pytest.param(2000, marks=pytest.mark.slow)])
def test_a_shard_made_to_crash_its_reader_does_not(
    wholes: list[Path], tmp_path: Path, cases: int, figure: Figure
) -> None:
    torment(wholes, tmp_path, cases, forge=True)
    figure("A shard forged with right hashes is refused or read, and crashes nothing", cases)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_every_bit_of_the_description_counts(
    wholes: list[Path], tmp_path: Path, figure: Figure
) -> None:
    from torture.damage import fresh_copy

    from alexnet.base.errors import DataError
    from alexnet.prepared import description

    copy = tmp_path / "copy"
    fresh_copy(wholes[1], copy)
    data = (copy / "dataset.json").read_bytes()
    (copy / "dataset.json").unlink()
    for bit in range(8 * len(data)):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        (copy / "dataset.json").write_bytes(changed)
        with pytest.raises(DataError):
            description.read_description(copy)
    figure("A flipped bit of dataset.json is found: every one of them", 8 * len(data))
