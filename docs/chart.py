"""results/benchmarks/speed.png: for each comparison its bars, and its ceiling as a line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image, PngImagePlugin

from alexnet.benchmark.result import Part, figure, percent
from alexnet.figures.style import BLUE, GREY, INK, RED, SOFT, drawing, write_png

BAR, TITLE = 0.24, 0.36  # inches
MADE_FROM = "Made from"  # the key of a note in the file


def draw(parts: Sequence[Part], path: Path, made_from: str) -> None:
    """Write the chart as PNG, with a note of what it was `made_from`."""
    with drawing():
        rows = -(-len(parts) // 2)
        bars = [max(len(part.rows) for part in parts[2 * n : 2 * n + 2]) for n in range(rows)]
        heights = [BAR * count + TITLE for count in bars]
        page = Figure(figsize=(9, sum(heights)), layout="constrained")
        grid = page.add_gridspec(rows, 2, height_ratios=heights)
        for n, part in enumerate(parts):
            _bars(page.add_subplot(grid[n // 2, n % 2]), part, bars[n // 2])
        write_png(page, path)
    note = PngImagePlugin.PngInfo()
    note.add_text(MADE_FROM, made_from)
    with Image.open(path) as image:
        image.quantize(64, dither=Image.Dither.NONE).save(path, pnginfo=note, optimize=True)


def _bars(axes: Axes, part: Part, places: int) -> None:
    top = part.ceiling.fastest if part.ceiling else 0.0
    most = max(top, *(row.rate for row in part.rows))
    if top:
        axes.plot([top, top], [-0.5, len(part.rows) - 0.5], color=RED, lw=1, ls=(0, (3, 2)))
        label_x = top + 0.015 * most  # at the first peer's bar, which is a short one
        axes.text(label_x, 1, "ceiling", va="center_baseline", color=RED, fontsize=7)
    for place, row in enumerate(part.rows):
        axes.barh(place, row.rate, 0.72, color=GREY if place else BLUE)
        beside_rate = f"×{part.relative_time(row):.2f}" if place else percent(part, row)
        end, text = row.rate + 0.015 * most, f"{figure(row.rate)}  {beside_rate}"
        over_the_line = {"facecolor": "white", "edgecolor": "none", "pad": 0.6}
        axes.text(end, place, text, va="center_baseline", fontsize=8, bbox=over_the_line)
    axes.set_yticks(range(len(part.rows)), [row.label for row in part.rows], color=SOFT)
    axes.set_ylim(places - 0.5, -0.5)
    axes.set_xlim(0, 1.3 * most)
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)
    axes.set_title(part.title, fontsize=8.5, color=INK)
