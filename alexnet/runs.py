"""A run's folder: what was asked for, on what, with what, and everything it said.

config.yaml  command.txt  environment.json  data.json  log.txt
metrics.jsonl  what was learned: the same bytes however often the run was stopped and resumed
timing.jsonl   how fast: one row per interval, never the same twice
checkpoints/  model/  best/  plots/  evaluation/  report.html
"""

from __future__ import annotations

import json
import os
import shlex
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from alexnet.base import ranks
from alexnet.base.errors import DataError, EnvironmentProblem, UsageError, did_you_mean
from alexnet.base.files import (
    append,
    read_json,
    sweep_temporaries,
    whole_folder,
    write_atomically,
    write_json,
)
from alexnet.base.locks import Lock, is_held
from alexnet.base.provenance import LIBRARIES, environment
from alexnet.config import RunConfig
from alexnet.settings import from_yaml, to_yaml

RUNS = Path("runs")
TIME = "%Y-%m-%d %H:%M:%S"  # in the log, local
_TIME_LENGTH = len("2012-09-30 12:00:00")
# What is read of data.json and environment.json, and of which type it is.
_DATA = {"folder": str, "beside": str, "fingerprint": str, "classes_sha256": str, "classes": list}
_ENVIRONMENT = {"device": str, "precision": str, "layout": str, "versions": dict}
_REMEDY = "Restore the file, or train a new run."
_DECIDE_BITS = (
    *("processor", "threads", "device_name", "precision", "python"),
    *("processes", "layout"),
)


class Run:
    """An existing run folder, opened by its path or, inside `runs/`, by its name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.checkpoints = folder / "checkpoints"
        self.model = folder / "model"
        self.best = folder / "best"
        self.metrics_path = folder / "metrics.jsonl"
        self.timing_path = folder / "timing.jsonl"
        self._lock: Lock | None = None

    @classmethod
    def create(
        cls,
        name: str,
        config: RunConfig,
        data: dict[str, Any],
        device: str = "cpu",
        precision: str = "fp32",
        layout: str = "fused",
    ) -> Run:
        """A new folder under `runs/`, whole or not at all; raises UsageError if the name is taken."""
        folder = RUNS / name
        if ranks.any_of(folder.exists()):
            raise _taken(folder)
        if not ranks.is_rank_0():
            ranks.meet()
            return Onlooker(folder)
        try:
            with whole_folder(folder) as unnamed:
                run = cls(unnamed)
                write_atomically(run.folder / "command.txt", f"{shlex.join(sys.argv)}\n".encode())
                write_json(run.folder / "environment.json", environment(device, precision, layout))
                run.set_data(data)
                run.set_config(config)
        except EnvironmentProblem:
            if folder.exists():  # another process made it a moment ago
                raise _taken(folder) from None
            raise
        ranks.meet()
        return cls(folder)

    @classmethod
    def open(cls, name: str | Path) -> Run:
        """The run at a path or with a name; raises UsageError with the nearest name."""
        for folder in (Path(name), RUNS / name):
            if (folder / "config.yaml").is_file():
                return cls(folder) if ranks.is_rank_0() else Onlooker(folder)
        raise UsageError(f"There is no run {str(name)!r}.", remedy=did_you_mean(str(name), names()))

    def __repr__(self) -> str:
        return f"Run({str(self.folder)!r})"

    @property
    def name(self) -> str:
        """The folder's own name."""
        return self.folder.resolve().name

    @property
    def config(self) -> RunConfig:
        """The configuration the run was started with."""
        path = self.folder / "config.yaml"
        return from_yaml(path.read_text(encoding="utf-8", errors="replace"), path)

    def set_config(self, config: RunConfig) -> None:
        """Write `config.yaml`, the file that makes a folder a run."""
        write_atomically(self.folder / "config.yaml", to_yaml(config).encode())

    @property
    def data(self) -> dict[str, Any]:
        """Which prepared set it trains on: path, fingerprint, classes; raises DataError if damaged."""
        path = self.folder / "data.json"
        found = _checked(path, _DATA)
        if not found["classes"] or not all(isinstance(one, str) for one in found["classes"]):
            raise _damaged(path, "classes")
        return found

    @property
    def data_folders(self) -> list[Path]:
        """Where its prepared set may lie: as seen from the run, and where it was."""
        data = self.data
        seen = os.path.normpath(self.folder.resolve() / data["beside"])
        return list(dict.fromkeys([Path(seen), Path(data["folder"])]))

    @property
    def data_folder(self) -> Path:
        """The first of `data_folders` that has a prepared set, or where it was."""
        places = self.data_folders
        return next((one for one in places if (one / "dataset.json").is_file()), places[-1])

    def set_data(self, data: dict[str, Any]) -> None:
        """Write `data.json`, with the way from the run to its prepared set."""
        if "folder" in data:
            data = data | {"beside": _way(self.folder, data["folder"])}
        write_json(self.folder / "data.json", data)

    @property
    def began(self) -> str:
        """When it was started, in local time, as its log begins: "2012-09-30 12:00:00"."""
        return next((stamp for stamp, _ in self.log_lines()), "")

    @property
    def state(self) -> str:
        """Whether it is "training" now, "finished", "stopped", or was ended before its first step."""
        if is_held(self.folder / "run.lock"):
            return "training"
        if (self.model / "config.json").is_file():
            return "finished"
        has_begun = self.metrics_path.is_file() or any(self.checkpoints.glob("step-*"))
        return "stopped" if has_begun else "not begun"

    @property
    def environment(self) -> dict[str, Any]:
        """What it was started on and with: `device`, `precision` (fp32, tf32, bf16), `layout` on its
        processes (fused, columns, hybrid), versions. Raises DataError if damaged.
        """
        return _checked(self.folder / "environment.json", _ENVIRONMENT)

    def tell_changes(self, now: dict[str, Any]) -> None:
        """Say what of versions and hardware is not what the run was started with."""
        then = self.environment
        pairs = [(name, then.get(name), now[name]) for name in _DECIDE_BITS]
        pairs += [(name, then["versions"].get(name), now["versions"][name]) for name in LIBRARIES]
        changed = [f"{name} {old} then, {new} now" for name, old, new in pairs if old != new]
        if changed:
            self.log(f"! going on, but not bit for bit: {'; '.join(changed)}")

    def lock(self) -> None:
        """Become the run's only writer until this process ends; raises EnvironmentProblem at once."""
        self._lock = Lock(self.folder / "run.lock", "This run is being trained")
        for folder in (self.folder, self.checkpoints, self.model, self.best):
            sweep_temporaries(folder)

    def unlock(self) -> None:
        """Let others write to the run."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def metrics(self) -> list[dict[str, Any]]:
        """All rows of `metrics.jsonl`; a line torn by a crash is left out."""
        return _rows(self.metrics_path, "kind")

    def timing(self) -> list[dict[str, Any]]:
        """All rows of `timing.jsonl`."""
        return _rows(self.timing_path, "images_per_second")

    def keep_rows(self, count: int) -> None:
        """Drop all but the first `count` metrics, which a resumed run will write again."""
        text = "".join(json.dumps(row) + "\n" for row in self.metrics()[:count])
        write_atomically(self.metrics_path, text.encode())

    def record(self, path: Path, row: dict[str, Any]) -> None:
        """Append one row to `metrics.jsonl` or `timing.jsonl`."""
        append(path, json.dumps(row) + "\n")

    def remarks(self) -> list[str]:
        """What the log warns of, before the start and later, in order; each once."""
        found = (text[2:] for _, text in self.log_lines() if text.startswith("! "))
        return [*dict.fromkeys(found)]

    def log_lines(self) -> list[tuple[str, str]]:
        """The lines of `log.txt` that have a time: that, and what they say."""
        path = self.folder / "log.txt"
        lines = path.read_text(errors="replace").splitlines() if path.exists() else []
        parted = [(line[:_TIME_LENGTH], line[_TIME_LENGTH:].strip()) for line in lines]
        return [(stamp, text) for stamp, text in parted if _is_time(stamp)]

    def log(self, text: str) -> None:
        """Tell the user on stderr, and write it down with the time in `log.txt`."""
        print(text, file=sys.stderr, flush=True)
        append(self.folder / "log.txt", f"{time.strftime(TIME)}  {text}\n")


class Onlooker(Run):
    """The run in a process of another rank than 0: it reads, and leaves the writing to rank 0."""

    def set_config(self, config: RunConfig) -> None:
        """Nothing."""

    def set_data(self, data: dict[str, Any]) -> None:
        """Nothing."""

    def lock(self) -> None:
        """Nothing."""

    def keep_rows(self, count: int) -> None:
        """Nothing."""

    def record(self, path: Path, row: dict[str, Any]) -> None:
        """Nothing."""

    def log(self, text: str) -> None:
        """Nothing."""


def require_free(name: str) -> None:
    """Raise UsageError if there is a run of this name."""
    if ranks.any_of((RUNS / name).exists()):
        raise _taken(RUNS / name)


def _taken(folder: Path) -> UsageError:
    name = str(folder.relative_to(RUNS))
    typed = shlex.quote(str(folder) if name.startswith("-") else name)
    return UsageError(
        "There is a run of this name already, and a run is never overwritten.",
        where=folder,
        remedy=f"Choose another --name, or go on with it: alexnet resume {typed}",
    )


def typed(run: Run) -> str:
    """A run as a command takes it: its name, or its folder where the name would not do."""
    is_inside = run.folder.resolve().parent == RUNS.resolve()
    return run.name if is_inside and not run.name.startswith("-") else str(run.folder)


def _way(start: Path, end: str) -> str:
    """A relative path from one folder to another, with slashes; the path itself on another drive."""
    try:
        return Path(os.path.relpath(end, start.resolve())).as_posix()
    except ValueError:
        return end


def names() -> list[str]:
    """Every run under `runs/`, oldest name first."""
    found = (path.parent.name for path in RUNS.glob("*/config.yaml"))
    return sorted(name for name in found if not name.startswith("."))


def _rows(path: Path, has: str) -> list[dict[str, Any]]:
    """The rows of a file of JSON lines that have this key; what was torn by a crash has not."""
    rows = []
    for line in path.read_text(errors="replace").splitlines() if path.exists() else []:
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue
        if isinstance(row, dict) and has in row:
            rows.append(row)
    return rows


def _checked(path: Path, kinds: Mapping[str, type]) -> dict[str, Any]:
    """A JSON file of a run that has all of this, each of its type; raises DataError."""
    found = read_json(path)
    if not isinstance(found, dict):
        raise DataError("Not a JSON object.", where=path, remedy=_REMEDY)
    for key, kind in kinds.items():
        if not isinstance(found.get(key), kind):
            raise _damaged(path, key)
    return found


def _damaged(path: Path, key: str) -> DataError:
    what = f"It does not say {key!r}, or not as this version of the program does."
    return DataError(what, where=path, remedy=_REMEDY)


def _is_time(text: str) -> bool:
    try:
        time.strptime(text, TIME)
    except ValueError:
        return False  # a line that goes on from the one before
    return True
