"""`alexnet evaluate`, `predict` and `report`: a network's errors, its predictions, a run's report."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from alexnet import paper
from alexnet.base.errors import DataError, UsageError
from alexnet.cli.options import AsJson, Device, take_device
from alexnet.cli.tables import table
from alexnet.verdict import FEW, interval

if TYPE_CHECKING:
    from rich.console import Console

    from alexnet.evaluation import Evaluation, Prediction

_BAR = 24  # characters
_SHOWN = 20  # classes: up to so many, each has a row


def evaluate(
    models: Annotated[list[str], typer.Argument(metavar="MODEL...", help="Runs or model folders.")],
    data: Annotated[str, typer.Argument(help="A prepared dataset, or anything it is made from.")],
    split: Annotated[
        str,
        typer.Option(
            help="Which split; else val, test or what there is: all images without splits."
        ),
    ] = "",
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
        print(json.dumps(_as_dict(evaluation, data), indent=1))
    else:
        print(described(evaluation, data))


def predict(
    model: Annotated[str, typer.Argument(help="A run or a model folder.")],
    images: Annotated[
        list[str], typer.Argument(metavar="IMAGE|FOLDER...", help="Images, or folders of them.")
    ],
    top: Annotated[int, typer.Option(min=1, help="How many labels.")] = paper.TOP,
    views: Annotated[int, typer.Option(help="Views per image: 1 or 10.")] = paper.VIEWS,
    device: Device = "auto",
    as_json: AsJson = False,
    as_lines: Annotated[
        bool, typer.Option("--jsonl", help="Print a line of JSON for each image, as they come.")
    ] = False,
) -> None:
    """Name the most probable labels of images.

    What is no usable image is named on standard error, and the others are answered.
    """
    from alexnet.models.find import find_model

    _views(str(views))
    if as_json and as_lines:
        raise UsageError("--json is one answer, and --jsonl is many.", remedy="Leave one out.")
    found = find_model(model)
    reading = found.begin_reading()  # while PyTorch is loaded

    from alexnet.base.names import printable
    from alexnet.evaluation.classifier import Classifier
    from alexnet.loading.files import READ, image_files

    files = image_files(images)
    if files.told:
        print(files.told, file=sys.stderr)
    device = take_device(device)
    network, card = found.load(reading)
    classifier = Classifier(network.to(device), card)
    if len(files.paths) == 1 and device == "cpu":
        classifier.network.fast = False  # its kernels take longer to load than they save
    console = None if as_json or as_lines else _console()
    used, skipped, kept = 0, 0, list[dict[str, Any]]()
    for image, answer in classifier.answers(files.paths, top, views):
        if isinstance(answer, DataError):
            skipped += 1
            print(f"skipped {printable(image)}: {answer.what}", file=sys.stderr)
        else:
            used += 1
            if not (as_json or as_lines):
                _show(printable(image), answer, console)
        if as_lines:
            print(json.dumps(_as_line(image, answer)), flush=True)
        elif as_json:
            kept.append(_as_line(image, answer))
    if as_json:
        shown = [one for one in kept if "reason" not in one]
        rejected = [one for one in kept if "reason" in one]
        about = {"model": model, "views": views, "images": shown, "rejected": rejected}
        print(json.dumps(about, indent=1))
    if not used:
        raise DataError("None of the images could be used.", where=", ".join(images), remedy=READ)
    if skipped:
        told = f"Images: {used + skipped:,} = {used:,} used + {skipped:,} skipped."
        print(told, file=sys.stderr)


def _as_line(image: str, answer: Sequence[Prediction] | DataError) -> dict[str, Any]:
    """What JSON says of an image: its labels, or the reason why it cannot be used."""
    if isinstance(answer, DataError):
        return {"image": image, "reason": answer.what}
    return {"image": image, "predictions": [one._asdict() for one in answer]}


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


def described(evaluation: Evaluation, data: str) -> str:
    """An evaluation as text: errors beside chance, the verdict, the classes, the effect of ten views."""
    from alexnet.evaluation.evaluate import weakest

    predictions = evaluation.predictions
    count, classes = len(predictions.keys), len(predictions.classes)
    images = f"{count:,} image{'s' * (count != 1)}"
    heading = f"{data}, {evaluation.split}: {images} of {classes:,} classes"
    if evaluation.images_are_of < classes:
        heading = (
            f"{data}, {evaluation.split}: {images} of {evaluation.images_are_of:,} of the model's "
            f"{classes:,} classes, among which it chooses"
        )
    lines = [heading, *evaluation.notes, "", _errors_table(evaluation), "", _verdict(evaluation)]
    if count >= FEW:
        lines += _beside_the_paper(evaluation)
    if classes <= _SHOWN:
        lines += ["", _classes_table(evaluation), ""]
    elif weak := weakest(predictions):
        named = ", ".join(f"{one.title} {100 * one.top1_error:.0f} %" for one in weak)
        lines.append(f"Highest top-1 error: {named}.")
    lines += [f"Wrote {folder}" for folder in evaluation.written]
    return "\n".join(lines)


def _errors_table(evaluation: Evaluation) -> str:
    """A row for each model and number of views, and chance; of few images as counts."""
    count = len(evaluation.predictions.keys)
    headers = ["model", "views", "top-1 error", "95 %", "accuracy", "top-5 error", "accuracy"]
    rows = [
        [row.model, str(row.views), *_shown(row.scores.top1_error, row.scores.top5_error, count)]
        for row in evaluation.rows
    ]
    chance = evaluation.chance
    rows.append(["chance", "", *_shown(chance.top1_error, chance.top5_error)])
    width = 5 if chance.top5_error is None else len(headers)
    return table([row[:width] for row in rows], headers[:width])


def _shown(top1: float, top5: float | None, images: int = 0) -> list[str]:
    """Top-1 error, its interval, accuracy, and both for top-5; `images` is 0 for what is not measured."""

    def share(part: float) -> str:
        return f"{round(part * images)} of {images}" if 0 < images < FEW else f"{100 * part:6.2f} %"

    ends = ""
    if images:
        low, high = interval(round(top1 * images), images)
        places = 0 if images < FEW else 1
        ends = f"{100 * low:.{places}f}-{100 * high:.{places}f} %"
    both = [] if top5 is None else [share(top5), share(1 - top5)]
    return [share(top1), ends, share(1 - top1), *both]


def _verdict(evaluation: Evaluation) -> str:
    """What the last row says."""
    row = evaluation.rows[-1]
    views = "1 view" if row.views == 1 else f"{row.views} views"
    return f"{row.model}, {views}: {evaluation.verdict}"


def _classes_table(evaluation: Evaluation) -> str:
    """Every class, where there are few."""
    from alexnet.evaluation.evaluate import class_scores

    headers = ("class", "images", "wrong", "precision", "recall", "F1", "most often taken for")

    def share(part: float) -> str:
        return "-" if math.isnan(part) else f"{100 * part:3.0f} %"

    rows = [
        (
            *(one.title, one.images, one.wrong),
            *(share(one.precision), share(one.recall), share(one.f1)),
            f"{one.taken_for} ({one.times})" if one.times else "",
        )
        for one in class_scores(evaluation.predictions)
    ]
    return table(rows, headers)


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


def _as_dict(evaluation: Evaluation, data: str) -> dict[str, Any]:
    from alexnet.evaluation.evaluate import as_numbers, class_scores

    count = len(evaluation.predictions.keys)
    rows = [
        {
            **{"model": row.model, "views": row.views, **row.scores._asdict()},
            "top1_interval": interval(round(row.scores.top1_error * count), count),
        }
        for row in evaluation.rows
    ]
    return {
        "data": data,
        "split": evaluation.split,
        "images": count,
        "classes": len(evaluation.predictions.classes),
        "images_are_of": evaluation.images_are_of,
        "notes": evaluation.notes,
        "chance": evaluation.chance._asdict(),
        "results": rows,
        "verdict": evaluation.verdict,
        "per_class": [as_numbers(one) for one in class_scores(evaluation.predictions)],
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
        print("\n".join([image, *(f"{text}{bar}".rstrip() for text, bar in lines)]), flush=True)
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
