"""One look for every figure: its colours, its type, and how it becomes a file.

A figure leaves as PNG on white, or as SVG whose colours are names that the page defines, so that it
follows the reader's light or dark mode.

A colour has one meaning in all of them. Red is what is right, as in figure 4 of the paper: the correct
label, and the paper's own number. What is wrong is grey. Blue is what is measured, orange what it is
compared with: validation and training, this program and others'. Chance and other bounds are lines in
the colour of the text. Whatever is no judgement (two columns, two arms) may take blue and orange too.
"""

from __future__ import annotations

import html
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from alexnet.base.files import write_atomically

# Each is unlike any other colour that matplotlib writes, and becomes var(--name) in a page.
COLOURS = {
    "ink": "#20242b",
    "soft": "#6a7280",
    "line": "#d9dde3",
    "blue": "#2b6cb8",
    "orange": "#d97a1f",
    "red": "#cf3a32",
    "grey": "#aab2bd",
}
INK, SOFT, LINE, BLUE, ORANGE, RED, GREY = COLOURS.values()

_SETTINGS: Any = {
    "font.family": "sans-serif",
    "text.parse_math": False,  # a class may be called US$
    "font.size": 9,
    "text.color": INK,
    "axes.labelcolor": SOFT,
    "axes.labelsize": 9,
    "axes.edgecolor": LINE,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlecolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "figure.constrained_layout.w_pad": 0.06,
    "figure.constrained_layout.h_pad": 0.06,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "grid.color": LINE,
    "grid.linewidth": 0.7,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
    "svg.fonttype": "path",
    "svg.hashsalt": "alexnet",  # the same figure gives the same bytes
}


@contextmanager
def drawing() -> Iterator[None]:
    """Everything drawn inside has the package's look."""
    with matplotlib.rc_context(_SETTINGS):
        yield


def write_png(figure: Figure, path: Path, dots_per_inch: int = 160) -> None:
    """Write a figure as PNG on white."""
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=dots_per_inch, facecolor="white", metadata={})
    write_atomically(path, image.getvalue())


def inline_svg(figure: Figure, described: str) -> str:
    """A figure as SVG to stand inside a page, in the page's colours; `described` is its text."""
    text = io.StringIO()
    with drawing():
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' (?:xmlns(?::\w+)?|version|width|height)="[^"]*"', "", svg, count=5)
    for name, colour in COLOURS.items():
        svg = svg.replace(colour, f"var(--{name})")
    return svg.replace("<svg", f'<svg role="img" aria-label="{html.escape(described)}"', 1)
