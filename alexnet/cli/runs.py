"""The verb `runs`: what was trained here, one run, or several beside each other."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from shlex import quote
from typing import Annotated, Any

import typer

from alexnet.base.errors import AlexNetError, UsageError
from alexnet.cli.options import AsJson
from alexnet.cli.tables import table
from alexnet.runs import Run, typed
from alexnet.runs import names as names_of_runs
from alexnet.settings import flat, to_dict

_VERBS = ("list", "show", "compare")
_LISTED = ("run", "date", "data", "state", "epochs", "of", "val top-1 error %")
_NONE = "-"
_SAY = "Say: alexnet runs, alexnet runs show RUN, or alexnet runs compare RUN RUN"


def runs(
    action: Annotated[str, typer.Argument(help="list, show, compare, or a run.")] = "list",
    names: Annotated[list[str] | None, typer.Argument(help="Runs to show or compare.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the runs here; show one; compare the settings and results of several."""
    names = names or []
    if action not in _VERBS and not names:
        action, names = "show", [_a_run(action)]
    if action == "list":
        _list([Run.open(name) for name in names or names_of_runs()], as_json)
    elif action == "show" and len(names) == 1:
        _show(Run.open(names[0]), as_json)
    elif action == "compare" and len(names) > 1:
        _compare([Run.open(name) for name in names], as_json)
    else:
        raise UsageError(
            f"Cannot do this: runs {' '.join([action, *names])}.",
            remedy=_SAY,
        )


def _a_run(name: str) -> str:
    try:
        Run.open(name)
    except UsageError as error:
        raise UsageError(
            f"{name!r} is neither a run nor one of {', '.join(_VERBS)}.",
            where=error.remedy,
            remedy=_SAY,
        ) from None
    return name


def _list(found: Sequence[Run], as_json: bool) -> None:
    about = [_summary(run) for run in found]
    if as_json:
        print(json.dumps(about, indent=1))
        return
    if not about:
        print("No runs yet.")
        return
    rows = []
    for one in about:
        data = Path(one["data"]["folder"]).name if one["data"] else _NONE
        row = (
            one["name"],
            one["date"][:16],
            data,
            one["state"],
            one["epochs"],
            _NONE if one["length"] is None else f"{one['length']:g}",
        )
        rows.append([*row, _percent(one["result"])])
    print(table(rows, _LISTED))


def _show(run: Run, as_json: bool) -> None:
    about, epochs = _summary(run), _epochs(run)
    if as_json:
        print(json.dumps(about | {"config": to_dict(run.config), "course": epochs}, indent=1))
        return
    data = run.data
    print(f"run: {run.folder}")
    print(f"started: {about['date']}")
    print(f"state: {about['state']}, {about['epochs']} of {run.config.length}")
    print(f"data: {run.data_folder}")
    print(f"fingerprint: {data['fingerprint']}")
    print(f"classes: {', '.join(data['classes'])}\n")
    print((run.folder / "config.yaml").read_text())
    for row in epochs:
        print(_epoch_line(row))
    if about["state"] == "stopped":
        print(f"To go on: alexnet resume {quote(typed(run))}")


def _compare(found: Sequence[Run], as_json: bool) -> None:
    about = [_summary(run) for run in found]
    settings = [flat(run.config) for run in found]
    keys = dict.fromkeys(key for one in settings for key in one)
    other = [key for key in keys if len({str(one.get(key, _NONE)) for one in settings}) > 1]
    prints = [one["data"].get("fingerprint", "") for one in about]
    is_comparable = len(set(prints)) == 1
    if as_json:
        differing = [{key: one.get(key) for key in other} for one in settings]
        rows = [one | {"settings": own} for one, own in zip(about, differing, strict=True)]
        print(json.dumps({"same_data": is_comparable, "runs": rows}, indent=1, default=str))
        return
    lines = [[key, *(one.get(key, _NONE) for one in settings)] for key in other]
    lines.append(["data", *(Path(one["data"].get("folder", _NONE)).name for one in about)])
    lines.append(["fingerprint", *(print_[:12] or _NONE for print_ in prints)])
    lines.append(["state", *(one["state"] for one in about)])
    lines.append(["epochs", *(f"{one['epochs']} of {one['length']:g}" for one in about)])
    marks = ["" if one == prints[0] else " *" for one in prints]
    errors = [_percent(one["result"]) + mark for one, mark in zip(about, marks, strict=True)]
    lines.append(["val top-1 error %", *errors])
    print(table([list(map(str, line)) for line in lines], ("", *(one["name"] for one in about))))
    if not is_comparable:
        print(f"* of other data than {about[0]['name']}: these errors cannot be compared with its")


def _summary(run: Run) -> dict[str, Any]:
    """What the list says of a run; what its folder lacks is empty."""
    epochs = _epochs(run)
    try:
        data = {key: run.data[key] for key in ("folder", "fingerprint")}
    except AlexNetError:
        data = {}
    try:
        state, length = run.state, run.config.length.count
    except AlexNetError:
        state, length = "damaged", None
    return {
        "name": run.name,
        "folder": str(run.folder),
        "date": run.began,
        "data": data,
        "state": state,
        "epochs": epochs[-1]["epoch"] if epochs else 0,
        "length": length,
        "result": epochs[-1]["val_top1_error"] if epochs else None,
    }


def _epochs(run: Run) -> list[dict[str, Any]]:
    return [row for row in run.metrics() if row["kind"] == "epoch"]


def _percent(share: float | None) -> str:
    return _NONE if share is None else f"{100 * share:.2f}"


def _epoch_line(row: Mapping[str, float]) -> str:
    return (
        f"epoch {row['epoch']:>3}  loss {row['train_loss']:.3f}  "
        f"training error {100 * row['train_top1_error']:5.1f} %  "
        f"validation error {100 * row['val_top1_error']:5.1f} %  rate {row['rate']:.2g}"
    )
