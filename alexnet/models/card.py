"""What people and programs have to know of trained weights: the card of a model, and its README.

The README is a model card as Hugging Face's readers expect it, and `hub_config` what its tools look for;
nothing here uses their libraries, or the net. Names come from folders of images and may be any text:
they are escaped for Markdown, and YAML is written by a library.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any, NamedTuple

import numpy as np
import yaml

from alexnet import paper
from alexnet.conventions import Convention
from alexnet.network.table import shapes
from alexnet.verdict import interval

MODEL_TYPE = "alexnet"
_CLASSES_SHOWN = 20
# A README of ours: YAML, what is before the results, these, and the sections after them.
_README = re.compile(
    r"---\n(?P<head>.*?)---\n(?P<before>.*?)^## Results\n.*?(?P<after>^## .*)",
    re.DOTALL | re.MULTILINE,
)
_TRAINED = {  # provenance in a reader's words
    "run": "run",
    "recipe": "recipe",
    "epochs": "epochs",
    "seed": "seed",
    "dataset": "data",
    "dataset_fingerprint": "fingerprint of the data",
}
_CITATION = """```bibtex
@inproceedings{krizhevsky2012imagenet,
  title = {ImageNet Classification with Deep Convolutional Neural Networks},
  author = {Krizhevsky, Alex and Sutskever, Ilya and Hinton, Geoffrey E.},
  booktitle = {Advances in Neural Information Processing Systems 25},
  year = {2012}
}
```"""


@dataclass(frozen=True)
class ModelCard:
    """What weights need to be used rightly.

    `classes` in the order of the output layer, `titles` the names people read; `statistics` has the
    mean image (`mean`: side x side x 3 float32, 0-255) and the colour components of the training set.
    """

    classes: tuple[str, ...]
    titles: tuple[str, ...]
    statistics: Mapping[str, np.ndarray]
    preprocessing: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def mean_HWC(self) -> np.ndarray:
        """The mean image that is subtracted before cropping (section 2)."""
        return self.statistics["mean"]


class ModelResult(NamedTuple):
    """Errors (shares, 0 to 1) on one split of a prepared set, from so many views of an image.

    With five classes or fewer there is no top-5 error.
    """

    dataset: str
    fingerprint: str
    split: str
    images: int
    views: int
    top1_error: float
    top5_error: float | None


def labels(card: ModelCard) -> list[str]:
    """A name for each class that no other has: its title, with the class where titles are alike."""
    alike = Counter(card.titles)
    pairs = zip(card.classes, card.titles, strict=True)
    names = [title if alike[title] == 1 else f"{title} ({one})" for one, title in pairs]
    taken = Counter(names)
    return [name if taken[name] == 1 else f"{name} #{k}" for k, name in enumerate(names)]


def hub_config(card: ModelCard) -> dict[str, Any]:
    """The keys of config.json that Hugging Face's tools look for."""
    names = labels(card)
    return {
        "architectures": ["AlexNet"],
        "model_type": MODEL_TYPE,
        "id2label": {str(k): name for k, name in enumerate(names)},
        "label2id": {name: k for k, name in enumerate(names)},
    }


def public(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """What made the weights, for other people: of the data its name, not where it lay."""
    facts = dict(provenance)
    if "dataset" in facts:
        facts["dataset"] = PurePath(str(facts["dataset"])).name
    return facts


def readme(about: Convention, card: ModelCard, results: Sequence[ModelResult] = ()) -> str:
    """The model card: YAML for the hub, then what people should know."""
    parts = {
        "Use": _use(about),
        "Classes": _classes(card),
        "Training": _training(card),
        "Results": _results(results, len(card.classes)),
        "Images": _images(about, card),
        "Limitations": _limitations(card),
        "Licence": "None is claimed here: what the weights may be used for depends on the images "
        "they were\ntrained on. Replace `license` above by what is true of them.",
        "Citation": _CITATION,
    }
    count = sum(shape.parameters for shape in shapes(about))
    head = yaml.safe_dump(_front_matter(about, card, results), sort_keys=False)
    return (
        f"---\n{head}---\n\n# AlexNet, {len(card.classes):,} classes\n\n"
        f"{count:,} parameters of the network `{about.name}`: {_text(about.about)}"
        f"{f'; varied: {about.variant}' if about.variant else ''}.\n\n"
        + "\n\n".join(f"## {title}\n\n{text}" for title, text in parts.items())
        + "\n"
    )


def with_results(
    text: str, about: Convention, card: ModelCard, results: Sequence[ModelResult]
) -> str:
    """A README.md with other results, in its table and for the hub; what people changed in it stays."""
    found = _README.fullmatch(text)
    if found is None:
        return text
    try:
        head = yaml.safe_load(found["head"])
    except yaml.YAMLError:
        return text
    if isinstance(head, dict):
        head.pop("model-index", None)
        made = _front_matter(about, card, results)
        head |= {key: made[key] for key in made if key == "model-index"}
        front = yaml.safe_dump(head, sort_keys=False)
    else:
        front = found["head"]
    section = f"{_results(results, len(card.classes))}\n\n"
    return f"---\n{front}---\n{found['before']}## Results\n\n{section}{found['after']}"


def _front_matter(
    about: Convention, card: ModelCard, results: Sequence[ModelResult]
) -> dict[str, Any]:
    head: dict[str, Any] = {
        "library_name": "alexnet",
        "pipeline_tag": "image-classification",
        "license": "unknown",
        "tags": ["image-classification", "alexnet", "pytorch", about.name],
    }
    if results:
        name = _printable(str(card.provenance.get("run", f"alexnet-{about.name}")))
        measured = [_index_entry(result) for result in results]
        head["model-index"] = [{"name": name, "results": measured}]
    return head


def _index_entry(result: ModelResult) -> dict[str, Any]:
    name = _printable(result.dataset)
    return {
        "task": {"type": "image-classification", "name": "Image Classification"},
        "dataset": {"type": name, "name": name, "split": _printable(result.split)},
        "metrics": [
            {
                "type": "accuracy",
                "value": round(1 - error, 6),
                "name": f"{which} accuracy, {_views(result.views)}",
            }
            for which, error in _errors(result)
        ],
    }


def _use(about: Convention) -> str:
    return (
        "```python\nimport alexnet\n\n"
        'model = alexnet.load("this/folder")\n'
        'print(model.predict("image.jpg"))\n```\n\n'
        "or, with tensors of one's own,\n\n"
        "```python\nfrom alexnet import AlexNet\n\n"
        'network = AlexNet.from_pretrained("this/folder")\n'
        f"logits = network(x)  # float, N x 3 x {about.crop} x {about.crop}: "
        f"0-{paper.LARGEST_VALUE} less the mean image\n```"
    )


def _classes(card: ModelCard) -> str:
    shown = [
        _text(title) if title == name else f"{_text(title)} ({_text(name)})"
        for name, title in zip(card.classes, card.titles, strict=True)
    ][:_CLASSES_SHOWN]
    more = len(card.classes) - len(shown)
    rest = f"\n\nand {more:,} more, in `config.json`." if more else ""
    return "\n".join(f"* {name}" for name in shown) + rest


def _training(card: ModelCard) -> str:
    facts = public(card.provenance)
    known = {what: facts.pop(key) for key, what in _TRAINED.items() if key in facts}
    rows = list(_rows({**known, **facts}))
    if not rows:
        return "Nothing is known of how the weights were made."
    return "\n".join(["| | |", "|---|---|", *rows])


def _rows(facts: Mapping[str, Any]) -> Iterator[str]:
    for what, value in facts.items():
        yield f"| {_text(what)} | {_text(str(value))} |"


def _results(results: Sequence[ModelResult], classes: int) -> str:
    if not results:
        return "None: these weights have not been evaluated."
    is_told = any(one.top5_error is not None for one in results)
    rows = [
        "| data | split | images | views | top-1 error | 95 % |" + " top-5 error |" * is_told,
        "|---|---|---:|---:|---:|---:|" + "---:|" * is_told,
    ]
    for one in results:
        data = f"{_text(one.dataset)} ({_text(one.fingerprint[:8])})"
        low, high = interval(round(one.top1_error * one.images), one.images)
        top5 = "" if one.top5_error is None else f" {100 * one.top5_error:.2f} % |"
        rows.append(
            f"| {data} | {_text(one.split)} | {one.images:,} | {one.views} "
            f"| {100 * one.top1_error:.2f} % | {100 * low:.1f}-{100 * high:.1f} % |{top5}"
        )
    chance = 100 * (1 - 1 / classes)
    return "\n".join([*rows, "", f"Chance error is {chance:.2f} % (top-1)."])


def _images(about: Convention, card: ModelCard) -> str:
    rule = card.preprocessing.get("rule")
    by = f", {_text(str(card.preprocessing['filter']))}" if "filter" in card.preprocessing else ""
    scaled = _text(str(rule)) if rule else f"scaled to {about.side}x{about.side}"
    divided = (
        ""
        if about.divisors == (1.0, 1.0, 1.0)
        else f" The network divides them by {', '.join(f'{one:g}' for one in about.divisors)}."
    )
    return (
        f"* Every image: {scaled}{by}.\n"
        f"* Red, green, blue, 0 to {paper.LARGEST_VALUE}, less the mean image in "
        f"`statistics.safetensors`.{divided}\n"
        f"* The input is a crop of {about.crop}x{about.crop} pixels: the centre, or ten views whose "
        "probabilities\n  are averaged."
    )


def _limitations(card: ModelCard) -> str:
    what = _text(public(card.provenance).get("dataset", "")) or "its training images"
    return (
        f"It names one of its {len(card.classes):,} classes whatever the image shows, and knows only "
        f"what {what} showed it.\n"
        "Its probabilities are not calibrated, it was not examined for bias, and what is not in the "
        "table of\nresults was not measured. It is a network of 2012: newer ones make fewer errors."
    )


def _errors(result: ModelResult) -> list[tuple[str, float]]:
    top5 = [] if result.top5_error is None else [(f"Top-{paper.TOP}", result.top5_error)]
    return [("Top-1", result.top1_error), *top5]


def _views(count: int) -> str:
    return "centre view" if count == 1 else f"{count} views"


def _text(value: str) -> str:
    """Any text as one line of Markdown that shows it."""
    return re.sub(r"([\\`*_\[\]<>|#&~])", r"\\\1", _printable(value))


def _printable(value: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in value)
