"""Damaged copies of an index, searched in a process of their own: `python -m retrieval.damage JOB`.

Case number n of a seed is always the same damage. What is being done is written to a file before it is
done, so that a crash of the process has a name.
"""

from __future__ import annotations

import faulthandler
import json
import random
import shutil
import sys
from pathlib import Path

from retrieval.made import vectors
from torture.damage import damaged

from alexnet.base.errors import DataError
from alexnet.retrieval.index import Index


def torment(job: dict[str, str], seed: int, count: int) -> None:
    whole, copy, log = (Path(job[name]) for name in ("whole", "copy", "log"))
    names = sorted(path.name for path in whole.iterdir() if path.name != "index.lock")
    contents = {name: (whole / name).read_bytes() for name in names}
    queries_QU = vectors(200)[:70:10]
    for case in range(count):
        chance = random.Random(f"{seed} {case}")
        name = names[case % len(names)]
        others = [contents[other] for other in names if other != name]
        what, new = damaged(chance, contents[name], others)
        log.write_text(f"case {case}, {name}: {what}")
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(whole, copy)
        (copy / name).write_bytes(new)
        try:
            Index.open(copy).nearest(queries_QU, 70)
        except DataError as error:
            assert name in error.where, f"{name}: {error}"
            continue
        raise AssertionError("the damage was not found")


if __name__ == "__main__":
    faulthandler.enable()
    asked = json.loads(sys.argv[1])
    torment(asked["paths"], asked["seed"], asked["count"])
