"""The architecture (figure 2), drawn from the table of layers.

A box is a layer's maps in one column; its edges grow with the square roots of what they stand for. On
its right face lies the window that one kernel of the next layer sees.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Polygon

from alexnet import paper
from alexnet.conventions import Convention
from alexnet.figures.style import BLUE, GREY, INK, ORANGE, SOFT, drawing
from alexnet.network.table import Shape, half, is_connected, is_local, shapes

# All lengths are in inches.
_WIDTH, _WIDEST_PITCH = 12.0, 1.5  # of the figure; from one layer to the next
_LIFT = 1.18  # of a column's middle from the figure's
_IMAGE_SIDE = 1.45
_PER_MAP, _PER_NEURON = 0.027, 0.0215  # times the square root of their number
_CONNECTED_WIDTH = 0.15
_SLANT = (0.3, 0.22)  # of the edge into the depth, as a part of the map's side
_LINE = 0.165  # from one line of text to the next
_COLUMN_COLOURS = (BLUE, ORANGE)
_FOLLOWERS = {
    **{"relu": "ReLU", "norm": "normalization", "norm within": "normalization\nwithin maps"},
    **{"pool": "max pooling", "average pool": "average pooling"},
}

Point = tuple[float, float]


@dataclass(frozen=True)
class _Box:
    """The image, or a layer's part in one column: where it stands, how large, in which colour."""

    centre: Point
    width: float
    height: float
    slant: Point  # the edge into the depth; (0, 0) for neurons, which are no maps
    colour: str
    label: str  # its size in numbers

    @property
    def left(self) -> float:
        return self.centre[0] - (self.width + self.slant[0]) / 2

    @property
    def bottom(self) -> float:
        return self.centre[1] - (self.height + self.slant[1]) / 2

    @property
    def entry(self) -> Point:
        """Where arrows arrive: at the front's left edge."""
        return self.left, self.centre[1]

    @property
    def exit(self) -> Point:
        """Where they leave: in the middle of the right face."""
        return self.left + self.width + self.slant[0] / 2, self.centre[1]


def draw_architecture(convention: Convention) -> Figure:
    """The network from image to output (figure 2): every size, the columns one above the other, and
    which of them each layer sees.
    """
    rows = shapes(convention)
    pitch = min(_WIDTH / (len(rows) + 1), _WIDEST_PITCH)
    top = _LIFT + 0.95 if convention.columns > 1 else _IMAGE_SIDE / 2 + 0.5
    captions = [["image"], *(_caption(row) for row in rows)]
    width, bottom = pitch * len(captions), top + _LINE * (max(map(len, captions)) + 1.5)
    boxes = [[_image(convention, pitch / 2)]]
    boxes += [_boxes(row, convention, pitch * (n + 1.5)) for n, row in enumerate(rows)]
    with drawing():
        figure = Figure(figsize=(width, top + bottom))
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set(xlim=(0, width), ylim=(-bottom, top))
        axes.set_axis_off()
        for layer, lines in zip(boxes, captions, strict=True):
            for box in layer:
                _draw(axes, box)
            _write(axes, (layer[0].centre[0], -top - _LINE), lines[:1], weight="bold")
            _write(axes, (layer[0].centre[0], -top - 2 * _LINE), lines[1:], color=SOFT)
        for before, now, row in zip(boxes, boxes[1:], rows, strict=False):
            _connect(axes, before, now, row)
            _say_what_it_sees(axes, before, now, row)
        if convention.columns > 1:
            for column, colour in enumerate(_COLUMN_COLOURS):
                y = _middle(column, convention.columns) * 1.5
                axes.text(0.1, y, f"column {column + 1}", color=colour, weight="bold", va="center")
    return figure


# --- What is drawn --------------------------------------------------------------------------------


def _image(convention: Convention, x: float) -> _Box:
    side, channels = convention.crop, paper.CHANNELS
    slant = (_SLANT[0] * _IMAGE_SIDE, _SLANT[1] * _IMAGE_SIDE)
    width = _PER_MAP * math.sqrt(channels)
    return _Box((x, 0.0), width, _IMAGE_SIDE, slant, GREY, f"{side}×{side}×{channels}")


def _boxes(row: Shape, convention: Convention, x: float) -> list[_Box]:
    """A layer's part in each column; the output layer has one for all."""
    columns = 1 if row.layer == convention.output else convention.columns
    found = []
    for column in range(columns):
        share = half(row.layer.kernels, column) if columns > 1 else slice(0, row.layer.kernels)
        count = share.stop - share.start
        colour = _COLUMN_COLOURS[column] if columns == convention.columns else GREY
        centre = (x, _middle(column, columns))
        if is_connected(row.layer):
            height = max(_PER_NEURON * math.sqrt(count), _CONNECTED_WIDTH)
            found.append(_Box(centre, _CONNECTED_WIDTH, height, (0, 0), colour, f"{count}"))
        else:
            side = row.outputs[1]
            height = _IMAGE_SIDE * math.sqrt(side / convention.crop)
            slant = (_SLANT[0] * height, _SLANT[1] * height)
            label = f"{side}×{side}×{count}"
            found.append(_Box(centre, _PER_MAP * math.sqrt(count), height, slant, colour, label))
    return found


def _middle(column: int, columns: int) -> float:
    """Height of a column's middle: the first stands above."""
    return 0.0 if columns == 1 else _LIFT * (1 - 2 * column)


def _caption(row: Shape) -> list[str]:
    """The name of a layer, how many kernels or neurons it has, and what follows its sums."""
    layer = row.layer
    lines = [layer.name, f"{layer.kernels} {'neurons' if is_connected(layer) else 'kernels'}"]
    lines += ["at each place"] if is_local(layer) else []
    lines += [f"stride of {layer.stride}"] if layer.stride > 1 else []
    for follower in layer.followed_by:
        lines += _FOLLOWERS.get(follower, follower).splitlines()
        lines += [f"to {row.pooled[1]}×{row.pooled[2]}"] if follower.endswith("pool") else []
    return lines


# --- How it is drawn ------------------------------------------------------------------------------


def _draw(axes: Axes, box: _Box) -> None:
    """Front, top and right face; the size above it, or below it in the lower column."""
    x, y, w, h = box.left, box.bottom, box.width, box.height
    dx, dy = box.slant
    faces = [([(x, y), (x + w, y), (x + w, y + h), (x, y + h)], 0.35)]
    if dx:
        faces.append(
            ([(x, y + h), (x + w, y + h), (x + w + dx, y + h + dy), (x + dx, y + h + dy)], 0.2)
        )
        faces.append(
            ([(x + w, y), (x + w + dx, y + dy), (x + w + dx, y + h + dy), (x + w, y + h)], 0.5)
        )
    for corners, alpha in faces:
        axes.add_patch(Polygon(corners, facecolor=box.colour, alpha=alpha, linewidth=0))
        axes.add_patch(Polygon(corners, fill=False, edgecolor=box.colour, linewidth=1))
    below = box.centre[1] < 0
    at = y - 0.06 if below else y + h + dy + 0.06
    axes.text(box.centre[0], at, box.label, ha="center", va="top" if below else "bottom")


def _connect(axes: Axes, before: Sequence[_Box], now: Sequence[_Box], row: Shape) -> None:
    """An arrow from each box to each that sees it, and the window of a kernel of its own column."""
    for here, source in enumerate(before):
        for there, target in enumerate(now):
            across = len(before) == len(now) and here != there
            if across and row.layer.sees == "own column":
                continue
            arrow = {"arrowstyle": "-|>", "color": source.colour, "shrinkA": 0, "shrinkB": 1}
            axes.annotate("", target.entry, source.exit, arrowprops={**arrow, "linewidth": 1.2})
            if source.slant[0] and not (across or is_connected(row.layer)):
                _window(axes, source, target, min(row.layer.size / row.inputs[1], 1))


def _window(axes: Axes, source: _Box, target: _Box, part: float) -> None:
    """What a kernel sees, as a part of the face's sides, and the lines of sight from its corners."""
    x, y = source.exit
    across, up, rise = (part / 2 * one for one in (source.slant[0], source.height, source.slant[1]))
    corners = [
        (x + right * across, y + right * rise + above * up)
        for right, above in ((-1, -1), (1, -1), (1, 1), (-1, 1))
    ]
    axes.add_patch(Polygon(corners, fill=False, edgecolor=INK, linewidth=0.9))
    tip_x, tip_y = target.entry
    for x, y in corners:
        axes.plot([x, tip_x], [y, tip_y], color=SOFT, linewidth=0.5, linestyle=(0, (3, 2)))


def _say_what_it_sees(axes: Axes, before: Sequence[_Box], now: Sequence[_Box], row: Shape) -> None:
    """The size of one kernel in the gap before a layer, clear of arrows and lines of sight."""
    size = row.layer.size
    text = "dense" if is_connected(row.layer) else f"{size}×{size}×{row.inputs_seen}"
    source = before[0]
    x = (source.exit[0] + now[0].entry[0]) / 2
    lift = 0.13
    if source.slant[0] and not is_connected(row.layer):
        seen = (source.height + source.slant[1]) * size / row.inputs[1]
        lift = max(lift, 0.4 * seen + 0.09)  # a fifth of the way to where the lines meet
    for target in now:
        y = target.centre[1] + (-lift if target.centre[1] < 0 else lift)
        if len(before) > len(now):  # arrows come from above and below
            x, y = x - 0.1, target.centre[1]
        _write(axes, (x, y), [text], fontsize=8.5)


def _write(axes: Axes, at: Point, lines: Sequence[str], **style: Any) -> None:
    """Lines of text, the middle of the first at a point."""
    for number, line in enumerate(lines):
        axes.text(at[0], at[1] - number * _LINE, line, ha="center", va="center", **style)
