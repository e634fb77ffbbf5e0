"""`alexnet evaluate`, `predict` and `report`: a network's errors, its predictions, a run's report."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from alexnet import paper
from alexnet.base.errors import DataError
from alexnet.cli.options import AsJson, Device, take_device
from alexnet.cli.tables import table

if TYPE_CHECKING:
    from rich.console import Console

    from alexnet.evaluation import Evaluation, Prediction

_BAR = 24  # characters


def evaluate(
    models: Annotated[list[str], typer.Argument(metavar="MODEL...", help="Runs or model folders.")],
    data: Annotated[str, typer.Argument(help="A prepared dataset, or anything it is made from.")],
    split: Annotated[str, typer.Option(help="Which split.")] = "val",
    views: Annotated[str, typer.Option(help="Views per image: 1, 10, or both.")] = "1,10",
    predictions: Annotated[
        Path | None, typer.Option(help="Write predictions and tables to this folder.")
    ] = None,
    device: Device = "auto",
    precision: Annotated[str, typer.Option(help="fp32, tf32 or bf16, the last two on a GPU.")] = "",
    as_json: AsJson = False,
) -> None:
    """Measure top-1 and top-5 error; several models also count as one, their average."""
    from alexnet import api

    evaluation = api.evaluate(
        models,
        data,
        split=split,
        views=_views(views),
        predictions=predictions,
        device=take_device(device),
        precision=precision,
    )
    if as_json:
        print(json.dumps(_as_dict(evaluation, data, split), indent=1))
    else:
        print(described(evaluation, data, split))


def predict(
    model: Annotated[str, typer.Argument(help="A run or a model folder.")],
    images: Annotated[
        list[str], typer.Argument(metavar="IMAGE|FOLDER...", help="Images, or folders of them.")
    ],
    top: Annotated[int, typer.Option(min=1, help="How many labels.")] = paper.TOP,
    views: Annotated[int, typer.Option(help="Views per image: 1 or 10.")] = paper.VIEWS,
    device: Device = "auto",
    as_json: AsJson = False,
) -> None:
    """Name the most probable labels of images."""
    from alexnet.models.find import WEIGHTS, find_model
    from alexnet.models.weights import begin_reading

    _views(str(views))
    folder = find_model(model).folder
    reading = begin_reading(folder / WEIGHTS)  # while PyTorch is loaded

    from alexnet.base.names import printable
    from alexnet.evaluation.classifier import Classifier
    from alexnet.loading.files import READ, image_files
    from alexnet.models.folder import load_model

    files = image_files(images)
    device = take_device(device)
    network, card = load_model(folder, reading)
    classifier = Classifier(network.to(device), card)
    if len(files) == 1 and device == "cpu":
        classifier.network.fast = False  # its kernels take longer to load than they save
    console = _console()
    shown: list[dict[str, Any]] = []
    rejected: list[dict[str, Any]] = []
    for image, answer in classifier.answers(files, top, views):
        if isinstance(answer, DataError):
            rejected.append({"image": image, "reason": answer.what})
            print(f"skipped {printable(image)}: {answer.what}", file=sys.stderr)
            continue
        shown.append({"image": image, "predictions": [one._asdict() for one in answer]})
        if not as_json:
            _show(printable(image), answer, console)
    if as_json:
        about = {"model": model, "views": views, "images": shown, "rejected": rejected}
        print(json.dumps(about, indent=1))
    if not shown:
        raise DataError("None of the images could be used.", where=", ".join(images), remedy=READ)


def report(
    run: Annotated[str, typer.Argument(help="A run's folder or name.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The HTML file; else RUN/report.html.")
    ] = None,
) -> None:
    """Write one self-contained HTML file about a run: results, curves, kernels, images."""
    from alexnet.report.page import write_report
    from alexnet.runs import Run

    print(write_report(Run.open(run), output))


def described(evaluation: Evaluation, data: str, split: str) -> str:
    """An evaluation as text: errors, accuracies, chance, and the effect of ten views."""
    from alexnet.evaluation.evaluate import weakest

    predictions, chance = evaluation.predictions, evaluation.chance
    heading = (
        f"{data}, {split}: {len(predictions.keys):,} images of {len(predictions.classes):,} classes"
    )
    headers = ("model", "views", "top-1 error", "accuracy", "top-5 error", "accuracy")
    rows = [
        (row.model, str(row.views), *_percents(row.scores.top1_error, row.scores.top5_error))
        for row in evaluation.rows
    ]
    rows.append(("chance", "", *_percents(chance.top1_error, chance.top5_error)))
    lines = [heading, "", table(rows, headers), "", *_beside_the_paper(evaluation)]
    if weak := weakest(predictions):
        named = ", ".join(f"{one.title} {100 * one.top1_error:.0f} %" for one in weak)
        lines.append(f"Highest top-1 error: {named}.")
    lines += [f"Wrote {folder}" for folder in evaluation.written]
    return "\n".join(lines)


def _beside_the_paper(evaluation: Evaluation) -> list[str]:
    """The paper's numbers where they can be compared."""
    lines = []
    top1 = {row.views: 100 * row.scores.top1_error for row in evaluation.rows[-2:]}
    before, after = paper.ONE_VIEW_2010.top1, paper.TABLE_1[-1].top1
    if top1.keys() == {1, paper.VIEWS} and before and after:
        change = top1[paper.VIEWS] - top1[1]
        lines.append(
            f"Ten views change the top-1 error by {change:+.1f} points; in the paper by "
            f"{after - before:+.1f} ({before} to {after} % on {paper.ILSVRC_2010.name})."
        )
    if len(evaluation.predictions.classes) == paper.ILSVRC_2012.classes:
        row = next(row for row in paper.TABLE_2 if row.system == "1 CNN")
        lines.append(
            f"The paper's network: top-1 {row.top1_validation} %, top-5 {row.top5_validation} % "
            f"({paper.ILSVRC_2012.name} validation, ten views)."
        )
    return lines


def _percents(top1: float, top5: float) -> tuple[str, ...]:
    return tuple(f"{100 * share:6.2f} %" for share in (top1, 1 - top1, top5, 1 - top5))


def _as_dict(evaluation: Evaluation, data: str, split: str) -> dict[str, Any]:
    rows = [
        {"model": row.model, "views": row.views, **row.scores._asdict()} for row in evaluation.rows
    ]
    return {
        "data": data,
        "split": split,
        "images": len(evaluation.predictions.keys),
        "classes": len(evaluation.predictions.classes),
        "chance": evaluation.chance._asdict(),
        "results": rows,
        "written": [str(folder) for folder in evaluation.written],
    }


def _views(text: str) -> list[int]:
    """The numbers of views asked for, few first."""
    from alexnet.api import view_counts

    try:
        counts = [int(part) for part in text.split(",")]
    except ValueError:
        counts = []
    return view_counts(counts, f"--views {text}")


def _console() -> Console | None:
    """For colours, on a terminal alone."""
    if not sys.stdout.isatty():
        return None
    from rich.console import Console

    return Console(highlight=False)


def _show(image: str, answer: Sequence[Prediction], console: Console | None) -> None:
    """An image's labels with a bar each."""
    width = max(len(one.title) for one in answer)
    lines = [
        (f"  {one.title:<{width}} {100 * one.probability:5.1f} % ", _bar(one.probability))
        for one in answer
    ]
    if console is None:
        print(image)
        for text, bar in lines:
            print(f"{text}{bar}".rstrip())
        return
    from rich.text import Text

    console.print(Text(image, style="bold"))
    for place, (text, bar) in enumerate(lines):
        style = "blue" if place == 0 else "bright_black"
        console.print(Text.assemble((text, "" if place == 0 else "dim"), (bar, style)))


def _bar(share: float) -> str:
    """Eighths of a character, where the terminal has them."""
    if "utf" not in (sys.stdout.encoding or "").lower():
        return "#" * round(share * _BAR)
    whole, eighths = divmod(round(share * _BAR * 8), 8)
    return "█" * whole + " ▏▎▍▌▋▊▉"[eighths].strip()
