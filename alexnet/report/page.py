"""The report of a run: one HTML file that needs no other, from what the run's folder holds.

Nothing is computed anew: errors come from the evaluation of the run's model on the data it was
trained on. What is missing is left out, and said.
"""

from __future__ import annotations

import base64
import io
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from PIL import Image

from alexnet import paper, recipes
from alexnet.base.errors import AlexNetError
from alexnet.base.files import read_json, write_atomically
from alexnet.config import OUR_DEFAULTS, RunConfig
from alexnet.evaluation.evaluate import class_scores, predictions_file, weakest
from alexnet.evaluation.predictions import Predictions
from alexnet.evaluation.scores import chance, confusion
from alexnet.figures.confusion import confusion_matrix
from alexnet.figures.curves import PANELS, curves
from alexnet.figures.examples import Example, predictions_with_bars
from alexnet.figures.kernels import first_layer_kernels
from alexnet.figures.style import inline_svg, write_png
from alexnet.models import load_model
from alexnet.network import AlexNet
from alexnet.prepared import PreparedDataset
from alexnet.report.examples import bars_of, telling
from alexnet.runs import Run
from alexnet.settings import differences

_TEMPLATE = Path(__file__).with_name("page.html.j2")
_WEAKEST = 8


@dataclass(frozen=True)
class _Evaluated:
    """An evaluation folder of the run's own model and data."""

    folder: Path
    scores: dict[str, Any]
    predictions: Predictions


def write_report(run: Run, output: Path | None = None) -> Path:
    """Write the report to `output` (by default RUN/report.html) and the figures to RUN/plots.

    Returns the report's path. Raises the errors of the run's own files where they are damaged.
    """
    network = load_model(run.model)[0] if (run.model / "config.json").is_file() else None
    evaluated = _evaluation(run)
    dataset = _dataset(run)
    rows = run.metrics()
    counts_KK, examples = None, []
    if evaluated:
        found = evaluated.predictions
        counts_KK = confusion(found.probs_NK, found.labels_N)
        examples = _examples(found, dataset)
    page: dict[str, Any] = {
        "run": run.name,
        "recipe": run.config.recipe,
        "trained": _trained(run, network, dataset, rows),
        "results": _results(evaluated),
        "curves": _curves(run, rows),
        "kernels": _kernels(run, network),
        "network": run.config.network.of(len(run.data["classes"])),
        "examples": _cards(run, examples),
        "confusion": _confusion(run, evaluated, counts_KK),
        "weakest": _weak_rows(evaluated),
        "departures": _departures(run.config),
        "environment": _environment(run),
        "commands": _commands(run, dataset, evaluated),
        "paper": paper,
    }
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "percent": _percent,
        "percent_right": lambda share: _percent(1 - share),
        "points": lambda points: f"{points:+.1f}".replace("-", "−"),
    }
    html = environment.from_string(_TEMPLATE.read_text(encoding="utf-8")).render(page)
    path = output or run.folder / "report.html"
    write_atomically(path, html.encode("utf-8", "backslashreplace"))
    return path


# --- What the folder holds ------------------------------------------------------------------------


def _evaluation(run: Run) -> _Evaluated | None:
    """The evaluation of these weights on these data, of the validation split if there is one."""
    config = run.model / "config.json"
    if not config.is_file():
        return None
    weights, data = read_json(config)["weights_sha256"], run.data["fingerprint"]
    fitting = []
    for path in sorted((run.folder / "evaluation").glob("*/scores.json")):
        scores = read_json(path)
        made_by = scores["provenance"]
        if made_by["model"]["weights_sha256"] == weights and (
            made_by["dataset"]["fingerprint"] == data
        ):
            fitting.append((made_by["split"] == "val", path.parent, scores))
    if not fitting:
        return None
    _, folder, scores = max(fitting, key=lambda one: one[0])
    most = max(int(views) for views in scores["views"])
    return _Evaluated(folder, scores, Predictions.load(predictions_file(folder, most)))


def _dataset(run: Run) -> PreparedDataset | None:
    """The data the run was trained on, if they still lie where they were."""
    try:
        dataset = PreparedDataset.open(run.data["folder"])
    except AlexNetError:
        return None
    return dataset if dataset.fingerprint == run.data["fingerprint"] else None


def _examples(found: Predictions, dataset: PreparedDataset | None) -> list[Example]:
    if dataset is None:
        return []
    split = dataset.split(found.provenance["split"])
    return [
        Example(split.pixels(n), found.titles[found.labels_N[n]], bars_of(found, n))
        for n in telling(found, paper.TEST_IMAGES_WITH_LABELS).tolist()
    ]


# --- The sections ---------------------------------------------------------------------------------


def _results(evaluated: _Evaluated | None) -> dict[str, Any] | None:
    if evaluated is None:
        return None
    scores = evaluated.scores
    views = {int(count): errors for count, errors in scores["views"].items()}
    return {
        "split": scores["provenance"]["split"],
        "images": scores["images"],
        "classes": scores["classes"],
        "chance": chance(scores["classes"]),
        "most": max(views),
        "views": [{"views": count, **views[count]} for count in sorted(views, reverse=True)],
        "change": 100 * (views[paper.VIEWS]["top1_error"] - views[1]["top1_error"])
        if views.keys() >= {1, paper.VIEWS}
        else None,
    }


def _trained(
    run: Run, network: AlexNet | None, dataset: PreparedDataset | None, rows: list[dict[str, Any]]
) -> list[tuple[str, str]]:
    """What was trained on what."""
    data, config = run.data, run.config
    facts = [("Data", f"{Path(data['folder']).name} (fingerprint {data['fingerprint'][:12]})")]
    if dataset:
        splits = ", ".join(f"{len(dataset.split(one)):,} {one}" for one in dataset.splits)
        facts.append(("Images", splits))
    names = list(dataset.titles if dataset else data["classes"])
    shown = ", ".join(names[:30]) + (f" and {len(names) - 30:,} more" if len(names) > 30 else "")
    facts.append((f"{len(names):,} classes", shown))
    if network:
        count = sum(value.numel() for value in network.parameters())
        about = network.convention
        facts.append(("Network", f"{about.name}: {about.about}; {count:,} parameters"))
    steps = max((row["step"] for row in rows), default=0)
    done = max((row["epoch"] for row in rows if row["kind"] != "event"), default=0)
    facts.append(
        (
            "Training",
            f"{round(done, 1):g} of {config.length}, {steps:,} updates of {config.optimizer.batch}",
        )
    )
    speeds = [row["images_per_second"] for row in run.timing()]
    if speeds:
        facts.append(("Speed", f"{np.median(speeds):.0f} images per second"))
    facts += [("Remark", row["text"]) for row in rows if row["kind"] == "event"]
    return facts


def _curves(run: Run, rows: list[dict[str, Any]]) -> list[str]:
    if not rows:
        return []
    write_png(curves(rows), run.folder / "plots" / "curves.png")
    return [
        inline_svg(curves(rows, [key]), f"{title} against epochs") for key, title in PANELS.items()
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


def _confusion(run: Run, evaluated: _Evaluated | None, counts_KK: np.ndarray | None) -> str:
    if evaluated is None or counts_KK is None:
        return ""
    figure = confusion_matrix(counts_KK, evaluated.predictions.titles)
    write_png(figure, run.folder / "plots" / "confusion.png")
    return inline_svg(figure, "Confusion matrix")


def _weak_rows(evaluated: _Evaluated | None) -> dict[str, Any] | None:
    if evaluated is None:
        return None
    rows = class_scores(evaluated.predictions)
    return {
        "rows": weakest(evaluated.predictions, _WEAKEST),
        "faultless": sum(row.images > 0 and row.top1_error == 0 for row in rows),
        "of": sum(row.images > 0 for row in rows),
    }


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
    found = dict(read_json(run.folder / "environment.json"))
    versions = found.pop("versions", {})
    return [(name, str(value)) for name, value in {**found, **versions}.items()]


def _commands(run: Run, dataset: PreparedDataset | None, evaluated: _Evaluated | None) -> list[str]:
    """What was typed to train, and what evaluates and reports."""
    typed = shlex.split((run.folder / "command.txt").read_text())
    commands = [shlex.join(["alexnet", *typed[1:]])]
    if typed[1:2] == ["quickstart"]:
        return commands
    split = evaluated.predictions.provenance["split"] if evaluated else "val"
    extra = [] if split == "val" else ["--split", split]
    data = typed[2] if typed[1:2] == ["train"] and len(typed) > 2 else "DATA"
    return [
        *commands,
        shlex.join(["alexnet", "evaluate", run.name, data, *extra]),
        shlex.join(["alexnet", "report", run.name]),
    ]


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _encoded(pixels: np.ndarray, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind, **options)
    return out.getvalue()


def _data_uri(data: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
