"""The pages made from recorded benchmarks: results/benchmarks/README.md, its image, README's table.

`python -m alexnet.benchmark.page` writes them anew; `make docs` calls it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from alexnet.base.files import read_json, write_atomically
from alexnet.benchmark.measure import BENCHMARKS
from alexnet.benchmark.result import Part, Result, ceiling_in_words, cells, figure, notes, percent

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "results" / "benchmarks"
BEGIN, END = "<!-- speed -->\n", "<!-- /speed -->\n"

ABOUT = {
    "train": "Training: forward, backward and update of the paper's network in float32, on all "
    "cores, on a made-up batch. All peers are the same network: grouped convolutions, "
    "normalization within each column, dropout, momentum and weight decay. With the "
    "*default allocator* this package has not told the C library to keep freed memory for the next "
    "step.",
    "infer": "Inference: the test network's forward pass, in float32 on all cores.",
    "lrn": "The block behind each of the first two layers, bias, ReLU, response normalization and "
    "max-pooling, forward and backward, on all cores. The peers are PyTorch's own modules, and add "
    "no bias.",
    "data": "Loading: crops of 224 with reflection and colour noise, less the mean image, as "
    "float32. The peer has the same images as JPEG files: Pillow decodes them, NumPy augments "
    "them, a process of a DataLoader hands them on. Each contestant has one core.",
    "prepare": "Preparation: JPEG files to 256×256. The peer is Pillow as torchvision's transforms "
    "call it: shorter side to 256, centre cut out. First the pixels alone, then a whole set, which "
    "the peer's DataLoader only hands on, while this package also hashes the images, sums up "
    "their mean and colours, and writes shards. Each contestant has one core.",
}


def recorded() -> dict[str, Result]:
    """Every recorded result by the name of its file, in the order of the verbs."""
    found = {path.stem: Result.load(path) for path in sorted(FOLDER.glob("*-cpu.json"))}
    order = list(BENCHMARKS)
    return dict(sorted(found.items(), key=lambda item: (order.index(item[1].verb), len(item[0]))))


def recorded_gpu() -> dict[str, Any]:
    """What `alexnet/benchmark/gpu.py` found on a GPU; empty where none was measured."""
    path = FOLDER / "gpu.json"
    return dict(read_json(path)) if path.exists() else {}


def page(records: dict[str, Result], gpu: dict[str, Any]) -> str:
    """results/benchmarks/README.md."""
    lines = [
        "# Measured side by side",
        "",
        "Written by `make docs` from the JSON files beside it; `make benchmarks` records those anew",
        "on the machine at hand, with the peers that are installed there. Contestants run in",
        "processes of their own and take turns, one at work while the others wait, after rounds of",
        "warm-up. *Times as long* is what a contestant takes for an image, in units of what this",
        "package takes. A *ceiling* is the work itself and nothing around it, measured in the same",
        "turns; its fastest round counts. That of the networks counts every multiplication that the",
        "layers define: one that finds the same sums with fewer can pass it.",
        "",
        "![Images a second of each contestant](speed.png)",
    ]
    told = set()
    for name, result in records.items():
        if result.verb not in told:
            lines += ["", f"## `alexnet benchmark {result.verb}`", "", ABOUT[result.verb]]
            told.add(result.verb)
        for part in result.parts:
            headers, rows = cells(part)
            lines += ["", *_markdown(headers, rows)]
            lines += ["", f"Ceiling: {ceiling_in_words(part)}."] if part.ceiling else []
        lines += ["", f"[{name}.json]({name}.json):", ""]
        lines += [f"* {word.capitalize()}: {what}" for word, what in notes(result)]
    lines += ["", "## On a GPU", "", *_on_a_gpu(gpu)]
    return "\n".join(lines) + "\n"


def summary(records: dict[str, Result]) -> str:
    """README's table: one row for each contest of the five main records."""
    main = {verb: records[f"{verb}-cpu"] for verb in BENCHMARKS}
    headers = ["img/s", "alexnet", "PyTorch or Pillow", "torch.compile", "of the ceiling"]
    rows = [
        [
            part.title,
            figure(part.ours.rate),
            _beside(part, "pytorch", "pillow"),
            _beside(part, "compile"),
            percent(part, part.ours),
        ]
        for result in main.values()
        for part in result.parts
    ]
    environment = main["train"].environment
    machine = (
        f"{environment['processor']}, {environment['threads']} threads, "
        f"torch {environment['versions']['torch']}."
    )
    return "\n".join([*_markdown(headers, rows), "", machine]) + "\n"


def with_summary(readme: str, table: str) -> str:
    """README with this table between its marks."""
    before, _, rest = readme.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{table}{END}{after}"


def fingerprint(records: dict[str, Result]) -> str:
    """What the image was drawn from, as a SHA-256; the image's file carries it."""
    drawn = [(part.title, [(row.name, row.rate) for row in part.rows]) for part in parts(records)]
    return hashlib.sha256(repr(drawn).encode()).hexdigest()


def parts(records: dict[str, Result]) -> list[Part]:
    """The contests that are drawn: all of the five main records."""
    return [part for verb in BENCHMARKS for part in records[f"{verb}-cpu"].parts]


def _on_a_gpu(found: dict[str, Any]) -> list[str]:
    """Every section of gpu.json that is a list of rows, as a table."""
    if not found:
        return ["No GPU was measured; `python alexnet/benchmark/gpu.py` checks and measures one."]
    machine = found.get("machine", {})
    lines = [
        f"{machine.get('device_name', 'A GPU')}, by `python alexnet/benchmark/gpu.py`, whole in"
    ]
    lines += ["[gpu.json](gpu.json)."]
    for section, rows in found.items():
        if isinstance(rows, list):
            headers = list(dict.fromkeys(name for row in rows for name in row))
            shown = [[_cell(row.get(name, "")) for name in headers] for row in rows]
            lines += ["", f"### {section.capitalize()}", "", *_markdown(headers, shown)]
    return lines


def _cell(value: Any) -> str:
    """A figure of gpu.json; of a group of them, each with its name."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {_cell(each)}" for name, each in value.items())
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return str(value)


def _beside(part: Part, *names: str) -> str:
    rows = [row for name in names if (row := part.row(name))]
    return f"{figure(rows[0].rate)} (×{part.times_as_long(rows[0]):.2f})" if rows else ""


def _markdown(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A table in Markdown, its first column to the left and the others to the right."""
    lines = ["".join(f"| {cell} " if cell else "| " for cell in row) + "|" for row in rows]
    return [f"| {' | '.join(headers)} |", f"|---|{'---:|' * (len(headers) - 1)}", *lines]


def write() -> None:
    """Write the page, its image, and README's table."""
    from alexnet.benchmark.chart import draw

    records = recorded()
    write_atomically(FOLDER / "README.md", page(records, recorded_gpu()).encode())
    draw(parts(records), FOLDER / "speed.png", fingerprint(records))
    readme = ROOT / "README.md"
    text = with_summary(readme.read_text(encoding="utf-8"), summary(records))
    write_atomically(readme, text.encode())


if __name__ == "__main__":
    write()
    print(FOLDER / "README.md")
