"""results/benchmarks/speed.png: for each comparison its bars, with the yardstick in grey."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image, PngImagePlugin

from alexnet.benchmark.result import Part, figure
from alexnet.figures.style import BLUE, GREY, INK, ORANGE, SOFT, drawing, write_png

BAR, TITLE = 0.24, 0.36  # inches
HEADING = (
    "Images per second: longer is faster. Grey: a yardstick, which Winograd's algorithm can exceed"
)
MADE_FROM = "Made from"  # the key of a note in the file


def draw(parts: Sequence[Part], path: Path, made_from: str) -> None:
    """Write the chart as PNG, with a note of what it was `made_from`."""
    with drawing():
        rows = -(-len(parts) // 2)
        bars = [
            max(len(part.rows) + bool(part.ceiling) for part in parts[2 * n : 2 * n + 2])
            for n in range(rows)
        ]
        heights = [BAR * count + TITLE for count in bars]
        page = Figure(figsize=(9, sum(heights) + TITLE), layout="constrained")
        page.suptitle(HEADING, x=0.01, ha="left", fontsize=10)
        grid = page.add_gridspec(rows, 2, height_ratios=heights)
        for n, part in enumerate(parts):
            _bars(page.add_subplot(grid[n // 2, n % 2]), part, bars[n // 2])
        write_png(page, path)
    note = PngImagePlugin.PngInfo()
    note.add_text(MADE_FROM, made_from)
    with Image.open(path) as image:
        image.quantize(64, dither=Image.Dither.NONE).save(path, pnginfo=note, optimize=True)


def _bars(axes: Axes, part: Part, places: int) -> None:
    """Images per second, and how many times as fast as each other bar alexnet is."""
    rows = [(row.label, row.rate, ORANGE) for row in part.rows[1:]]
    if part.ceiling:
        what = textwrap.fill(part.ceiling_is.partition(",")[0], 24)
        rows.append((what, part.ceiling.fastest, GREY))
    ours = part.ours.rate
    most = max(ours, *(rate for _, rate, _ in rows))
    for place, (_, rate, colour) in enumerate([("", ours, BLUE), *rows]):
        axes.barh(place, rate, 0.72, color=colour)
        text = figure(rate) + (f"  (alexnet {ours / rate:.2f}×)" if place else "")
        axes.text(rate + 0.015 * most, place, text, va="center_baseline", fontsize=8)
    labels = [part.ours.label, *(label for label, _, _ in rows)]
    axes.set_yticks(range(len(labels)), labels, color=SOFT, linespacing=1)
    axes.set_ylim(places - 0.5, -0.5)
    axes.set_xlim(0, 1.55 * most)
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)
    axes.set_title(part.title, fontsize=8.5, color=INK)
