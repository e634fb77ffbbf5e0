"""Other programs' weights, damaged: each file is read or refused by name, in bounded memory and time"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from pathlib import Path

import forking
from torture.conftest import Figure
from torture.faults import ROOT
from torture.weights_files import CAFFE, PICKLES

_SECONDS = 5  # of processor, for files of a hundred kilobytes
_ANSWERS = {"read", "DataError", "IncompatibleError", "UsageError"}


def test_every_damaged_weights_file_is_read_or_refused(tmp_path: Path, figure: Figure) -> None:
    paths = [str(ROOT), str(ROOT / "tests"), os.environ.get("PYTHONPATH", "")]
    done = forking.run(
        [sys.executable, "-m", "torture.weights_files", str(tmp_path / "found.json")],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    rows = json.loads((tmp_path / "found.json").read_text())
    wrong = [row for row in rows if row["ended"] not in _ANSWERS or row["seconds"] > _SECONDS]
    assert len(rows) == CAFFE + PICKLES and not wrong, wrong[:20]
    ended = Counter(row["ended"] for row in rows)
    assert ended["read"] > 100 and ended["DataError"] > 100 and ended["IncompatibleError"], ended
    figure(
        "Weights of Caffe's and pickles of cuda-convnet, damaged: read or refused by name, within "
        "128 MiB and five seconds, nothing in them carried out",
        len(rows),
    )
