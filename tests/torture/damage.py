"""Damaged copies of a prepared set, read in a process of their own: `python -m torture.damage JOB`.

Case number n of a seed is always the same damage. What is being done is written to a file before it
is done, so that a crash of the process has a name.
"""

from __future__ import annotations

import faulthandler
import hashlib
import json
import os
import random
import shutil
import sys
import traceback
from pathlib import Path
from typing import Any

PAGE = 4096
KINDS = ("flip", "cut", "zero a page", "append", "another file")


def damaged(chance: random.Random, data: bytes, others: list[bytes]) -> tuple[str, bytes]:
    """What was done to a file's bytes, and what they are then: never what they were."""
    while True:
        kind = chance.choice(KINDS)
        at = place(chance, len(data))
        if kind == "flip":
            bit = chance.randrange(8)
            kind, new = f"flip bit {bit}", data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]
        elif kind == "cut":
            new = data[:at]
        elif kind == "zero a page":
            at -= at % PAGE
            new = data[:at] + bytes(len(data[at : at + PAGE])) + data[at + PAGE :]
        elif kind == "append":
            at = chance.randrange(1, 3 * PAGE)
            new = data + chance.choice([bytes(at), b"\n" * at, b" " * at, chance.randbytes(at)])
        else:
            new = chance.choice(others)
        if new != data:
            return f"{kind} at {at:,} of {len(data):,}", new


def place(chance: random.Random, size: int) -> int:
    """Anywhere in a file, or near one of its ends, where what leads to all else is written."""
    near = min(size, PAGE)
    return chance.choice(
        [chance.randrange(size), chance.randrange(near), size - 1 - chance.randrange(near)]
    )


def forged(chance: random.Random, folder: Path) -> str:
    """Damage to a shard outside its images, with every hash made right: what an enemy would do."""
    from alexnet.base.files import sha256_of
    from alexnet.prepared import sealed

    description = json.loads((folder / "dataset.json").read_bytes())
    shards = [shard for split in description["splits"].values() for shard in split["shards"]]
    entry = chance.choice(shards)
    path = folder / entry["file"]
    data, (first, end) = bytearray(path.read_bytes()), entry["images_at"]
    outside = [*range(first), *range(end, len(data))]
    done = []
    for _ in range(chance.choice([1, 1, 2, 8])):
        at, width = chance.choice(outside), chance.choice([1, 1, 4, 8])
        new = chance.choice([b"\xff" * 8, b"\0" * 8, b"\x7f" * 8, chance.randbytes(8)])[:width]
        old = data[at : at + width]
        data[at : at + width] = new[: len(old)]
        done.append(f"{at}: {new.hex()}")
    path.unlink()
    path.write_bytes(data)
    index = hashlib.sha256(data[:first] + data[end:]).hexdigest()
    entry |= {"sha256": sha256_of(path), "index_sha256": index}
    (folder / "dataset.json").unlink()
    sealed.write_sealed(
        folder / "dataset.json", {k: v for k, v in description.items() if k != "sha256"}
    )
    return f"{path.name}: {', '.join(done)}"


def read_all(folder: Path) -> dict[str, Any] | None:
    """Every label, key and image of a set; None where a plain error says that it is damaged."""
    from alexnet.base.errors import DataError
    from alexnet.prepared import PreparedDataset

    try:
        dataset = PreparedDataset.open(folder)
    except DataError:
        return None
    found: dict[str, Any] = {"classes": dataset.classes}
    for name in dataset.splits:
        split = dataset.split(name)
        found[name] = (split.labels.tolist(), [split.key(i) for i in range(len(split))])
        for i in range(len(split)):
            try:
                assert split.pixels(i).copy().shape == (256, 256, 3)
            except DataError as error:
                assert str(folder) in error.where  # it names the shard
    return found


def fresh_copy(whole: Path, copy: Path) -> None:
    """The files of `whole` under another name, to be replaced but never written into."""
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir()
    for path in whole.iterdir():
        os.link(path, copy / path.name)


def one_case(seed: int, number: int, whole: Path, copy: Path, log: Path, forge: bool) -> None:
    """Raises AssertionError, or whatever else goes wrong."""
    from alexnet.base.errors import DataError
    from alexnet.prepared import verify

    chance = random.Random(f"{seed} {number}")
    fresh_copy(whole, copy)
    if forge:
        about = forged(chance, copy)
    else:
        # `source.stamps` says nothing about the set; what damage to it does, tests/prepared shows.
        names = sorted(path.name for path in whole.iterdir() if path.suffix != ".stamps")
        contents = {name: (whole / name).read_bytes() for name in names}
        name = chance.choice(names)
        about, data = damaged(chance, contents[name], list(contents.values()))
        about = f"{name}: {about}"
        (copy / name).unlink()
        (copy / name).write_bytes(data)
    log.write_text(f"seed {seed}, case {number}, {whole.name}: {about}")
    found = read_all(copy)
    if forge:
        return
    assert found in (None, read_all(whole)), "labels or keys are other ones"
    try:
        verify(copy)
    except DataError as error:
        assert error.exit_code == 3
        assert name in str(error), f"not named: {error}"
    else:
        raise AssertionError("verify found nothing")


def main() -> None:
    """The cases of a job, given as JSON, until one fails."""
    faulthandler.enable()
    job = json.loads(sys.argv[1])
    log, wholes = Path(job["log"]), [Path(whole) for whole in job["wholes"]]
    for number in range(job["first"], job["first"] + job["count"]):
        try:
            whole = wholes[number % len(wholes)]
            one_case(job["seed"], number, whole, Path(job["copy"]), log, job["forge"])
        except BaseException:
            traceback.print_exc()
            sys.exit(1)


if __name__ == "__main__":
    main()
