"""The report of a run: one HTML file that needs no other, from what the run's folder holds.

Nothing is computed anew: errors come from the evaluation of the run's model on the data it was
trained on. What is missing is left out, and said.
"""

from __future__ import annotations

import base64
import io
import shlex
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from PIL import Image

from alexnet import paper, recipes
from alexnet.base.errors import AlexNetError
from alexnet.base.files import write_atomically
from alexnet.base.names import listed
from alexnet.base.progress import clock
from alexnet.config import OUR_DEFAULTS, RunConfig
from alexnet.evaluation.scores import confusion
from alexnet.figures.confusion import confusion_matrix
from alexnet.figures.curves import PANELS, curves, drops
from alexnet.figures.examples import Example, predictions_with_bars
from alexnet.figures.kernels import first_layer_kernels
from alexnet.figures.style import inline_svg, write_png
from alexnet.network import AlexNet
from alexnet.prepared import PreparedDataset
from alexnet.report.course import Course, course_of
from alexnet.report.examples import bars_of, telling
from alexnet.report.results import (
    Evaluated,
    classes_of,
    evaluation_of,
    model_of,
    percent,
    results_of,
)
from alexnet.runs import Run
from alexnet.settings import differences

_TEMPLATE = Path(__file__).with_name("page.html.j2")


def write_report(run: Run, output: Path | None = None) -> Path:
    """Write the report to `output` (by default RUN/report.html) and the figures to RUN/plots.

    Returns the report's path. Raises the errors of the run's own files where they are damaged.
    """
    model = model_of(run)
    network = model.load()[0] if model else None
    evaluated = evaluation_of(run, model) if model else None
    dataset = _dataset(run)
    rows = run.metrics()
    course = course_of(run, rows)
    classes = len(run.data["classes"])
    page: dict[str, Any] = {
        "run": run.name,
        "recipe": run.config.recipe,
        "data": Path(run.data["folder"]).name,
        "length": run.config.length,
        "course": course,
        "trained": _trained(run, network, dataset, course, rows),
        "results": results_of(evaluated),
        "curves": _curves(run, rows, classes),
        "divisors": ", ".join(dict.fromkeys(f"{divisor:.3g}" for _, divisor in drops(rows))),
        "kernels": _kernels(run, network),
        "network": run.config.network.of(classes),
        "examples": _cards(run, _examples(evaluated, dataset)),
        "confusion": _confusion(run, evaluated),
        "per_class": classes_of(evaluated),
        "departures": _departures(run.config),
        "environment": _environment(run),
        "commands": _commands(run, course, evaluated),
        "paper": paper,
    }
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "percent": percent,
        "percent_right": lambda share: percent(1 - share),
        "points": lambda points: f"{points:+.1f}".replace("-", "−"),
        "clock": clock,
    }
    html = environment.from_string(_TEMPLATE.read_text(encoding="utf-8")).render(page)
    path = output or run.folder / "report.html"
    write_atomically(path, html.encode("utf-8", "backslashreplace"))
    return path


# --- What the folder holds ------------------------------------------------------------------------


def _dataset(run: Run) -> PreparedDataset | None:
    """The data the run was trained on, if they still lie where they were."""
    try:
        dataset = PreparedDataset.open(run.data_folder)
    except AlexNetError:
        return None
    return dataset if dataset.fingerprint == run.data["fingerprint"] else None


def _examples(evaluated: Evaluated | None, dataset: PreparedDataset | None) -> list[Example]:
    if evaluated is None or dataset is None:
        return []
    found = evaluated.predictions
    split = dataset.split(found.provenance["split"])
    return [
        Example(split.pixels(n), found.titles[found.labels_N[n]], bars_of(found, n))
        for n in telling(found, paper.TEST_IMAGES_WITH_LABELS).tolist()
    ]


# --- The sections ---------------------------------------------------------------------------------


def _trained(
    run: Run,
    network: AlexNet | None,
    dataset: PreparedDataset | None,
    course: Course,
    rows: list[dict[str, Any]],
) -> list[tuple[str, str]]:
    """What was trained on what."""
    data, config = run.data, run.config
    facts = [("Data", f"{Path(data['folder']).name} (fingerprint {data['fingerprint'][:12]})")]
    if dataset:
        splits = ", ".join(f"{len(dataset.split(one)):,} {one}" for one in dataset.splits)
        facts.append(("Images", splits))
    names = list(dataset.titles if dataset else data["classes"])
    facts.append((f"{len(names):,} classes", listed(names, 30)))
    if network:
        count = sum(value.numel() for value in network.parameters())
        about = network.convention
        facts.append(("Network", f"{about.name}: {about.about}; {count:,} parameters"))
    updates = f"{course.steps:,} updates of {config.optimizer.batch}"
    facts.append(("Training", f"{course.epochs:.3g} of {config.length}, {updates}"))
    if course.began:
        facts.append(("Date", f"{course.began[:-3]} to {course.ended[:-3]}"))
        about_it = "training and validation, without interruptions"
        facts.append(("Duration", f"{clock(course.seconds)} ({about_it})"))
    speeds = [row["images_per_second"] for row in run.timing()]
    if speeds:
        facts.append(("Speed", f"{np.median(speeds):.0f} images per second"))
    events = [row["text"] for row in rows if row["kind"] == "event"]
    facts += [("Remark", text) for text in dict.fromkeys([*run.remarks(), *events])]
    return facts


def _curves(run: Run, rows: list[dict[str, Any]], classes: int) -> list[str]:
    if not rows:
        return []
    write_png(curves(rows, classes=classes), run.folder / "plots" / "curves.png")
    return [
        inline_svg(curves(rows, [key], classes), f"{title} against epochs")
        for key, title in PANELS.items()
    ]


def _kernels(run: Run, network: AlexNet | None) -> str:
    if network is None:
        return ""
    weights = network.get_submodule("conv1").get_parameter("weight").detach().cpu().numpy()
    png = _encoded(first_layer_kernels(weights, network.convention.columns), "png", optimize=True)
    write_atomically(run.folder / "plots" / "conv1.png", png)
    return _data_uri(png, "png")


def _cards(run: Run, examples: list[Example]) -> list[dict[str, Any]]:
    if not examples:
        return []
    figure = predictions_with_bars(examples)
    write_png(figure, run.folder / "plots" / "predictions.png")
    return [
        {
            "image": _data_uri(_encoded(example.pixels_HWC, "jpeg", quality=88), "jpeg"),
            "title": example.title,
            "bars": example.bars,
            "is_right": example.is_right,
        }
        for example in examples
    ]


def _confusion(run: Run, evaluated: Evaluated | None) -> dict[str, Any] | None:
    """The table as SVG, and how many rem it is wide: few classes need little room."""
    if evaluated is None:
        return None
    found = evaluated.predictions
    figure = confusion_matrix(confusion(found.probs_NK, found.labels_N), found.titles)
    write_png(figure, run.folder / "plots" / "confusion.png")
    return {"svg": inline_svg(figure, "Confusion matrix"), "width": 5.6 * figure.get_figwidth()}


def _departures(config: RunConfig) -> list[dict[str, str]]:
    """Every setting unlike the paper's, with the recipe's reason, or that it was set by hand."""
    try:
        recipe = recipes.recipe(config.recipe)
    except AlexNetError:  # of another version of this program
        recipe = recipes.paper()
    by_hand = {difference.key for difference in differences(recipe.config, config)}
    return [
        {
            "key": key,
            "paper": "–" if first is None else str(first),
            "here": str(second),
            "reason": "set by hand" if key in by_hand else recipe.departures.get(key, ""),
        }
        for key, first, second in differences(RunConfig(), config)
        if second is not None and key != "recipe" and key not in OUR_DEFAULTS
    ]


def _environment(run: Run) -> list[tuple[str, str]]:
    found = run.environment
    versions = found.pop("versions")
    return [(name, str(value)) for name, value in {**found, **versions}.items()]


def _commands(run: Run, course: Course, evaluated: Evaluated | None) -> list[str]:
    """What was typed to train, what goes on with it if it was stopped, and what evaluates and reports."""
    text = (run.folder / "command.txt").read_text(encoding="utf-8", errors="replace")
    try:
        typed = shlex.split(text)
    except ValueError:  # it is damaged
        typed = text.split()
    commands = [shlex.join(["alexnet", *typed[1:]])]
    if course.is_stopped:
        commands.append(shlex.join(["alexnet", "resume", run.name]))
    elif typed[1:2] == ["quickstart"]:
        return commands
    split = evaluated.predictions.provenance["split"] if evaluated else "val"
    extra = [] if split == "val" else ["--split", split]
    data = typed[2] if typed[1:2] == ["train"] and len(typed) > 2 else "DATA"
    return [
        *commands,
        shlex.join(["alexnet", "evaluate", run.name, _prepared(run) or data, *extra]),
        shlex.join(["alexnet", "report", run.name]),
    ]


def _prepared(run: Run) -> str:
    """The prepared set as seen from where `runs/` is, if it lies there too.

    All images of a folder without splits would be evaluated, and not those that the set holds out.
    """
    here, folder = run.folder.resolve().parents[1], run.data_folder
    return folder.relative_to(here).as_posix() if folder.is_relative_to(here) else ""


def _encoded(pixels: np.ndarray, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind, **options)
    return out.getvalue()


def _data_uri(data: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
