"""How arms learn: their errors against epochs, and how fast each of the rates tried was (figure 1)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from alexnet.figures.svg import DASHED, DOTTED, Axis, Drawing

_WIDTH, _HEIGHT = 360, 250
_LEFT, _RIGHT, _BOTTOM = 46, 350, 212
_LEGEND, _ACROSS, _PITCH = (
    14,
    2,
    17,
)  # its first line's place, entries in a line, from one to the next
_ROOM = 30  # pixels that the label of a rate takes

Runs = Sequence[tuple[Sequence[float], Sequence[float]]]  # of each seed: epochs, shares


@dataclass(frozen=True)
class Line:
    """The runs of one arm, drawn in one colour; without a label, it is not among those named above."""

    label: str
    runs: Runs
    colour: str
    dashed: bool = False


def learning(lines: Sequence[Line], described: str, target: float | None = None) -> str:
    """Errors (shares) against epochs as SVG: each run thin, and their mean as far as all of them go.

    `target` is an error that runs race to.
    """
    drawing = Drawing(_WIDTH, _HEIGHT, described)
    top = _legend(drawing, [(line.label, line.colour, line.dashed) for line in lines if line.label])
    runs = [run for line in lines for run in line.runs]
    across = Axis(0, max(epochs[-1] for epochs, _ in runs), _LEFT, _RIGHT)
    up = Axis(0, 1.05 * max(max(shares) for _, shares in runs), _BOTTOM, top)
    _frame(drawing, across, up, "epoch", percent=True)
    if target is not None:
        drawing.line([(_LEFT, up.at(target)), (_RIGHT, up.at(target))], "ink", 1, DOTTED)
    for line in lines:
        dashes = DASHED if line.dashed else ""
        for epochs, shares in line.runs:
            points = [(across.at(x), up.at(y)) for x, y in zip(epochs, shares, strict=True)]
            drawing.line(points, line.colour, 0.8, dashes, 0.5, line.label)
        whole = min(len(shares) for _, shares in line.runs)
        mean = [sum(shares[n] for _, shares in line.runs) / len(line.runs) for n in range(whole)]
        points = [
            (across.at(x), up.at(y)) for x, y in zip(line.runs[0][0][:whole], mean, strict=True)
        ]
        if whole > 1:
            drawing.line(points, line.colour, 2, dashes, title=line.label)
        else:
            drawing.dot(points[0], line.colour, line.label)
    return str(drawing)


def rates_tried(
    lines: Mapping[str, Mapping[float, float | None]], colours: Mapping[str, str], described: str
) -> str:
    """Epochs against the learning rate as SVG, for each kind of line; None where a run did not get there.

    Those stand as crosses at the upper edge.
    """
    drawing = Drawing(_WIDTH, _HEIGHT, described)
    top = _legend(drawing, [(kind, colours[kind], False) for kind in lines])
    tried = sorted({rate for rates in lines.values() for rate in rates})
    reached = [at for rates in lines.values() for at in rates.values() if at is not None]
    across = Axis.around([math.log(rate) for rate in tried], _LEFT, _RIGHT)
    up = Axis(0, 1.2 * max(reached, default=1.0), _BOTTOM, top)
    _frame(drawing, None, up, "learning rate")
    last = -math.inf
    for rate in tried:
        x = across.at(math.log(rate))
        if x - last >= _ROOM:
            drawing.text((x, _BOTTOM + 16), f"{rate:g}")
            last = x
    for kind, rates in lines.items():
        marks = [
            (across.at(math.log(rate)), up.at(at), f"{kind}, rate {rate:g}: {at:.1f} epochs")
            for rate, at in sorted(rates.items())
            if at is not None
        ]
        drawing.line([(x, y) for x, y, _ in marks], colours[kind], 2)
        for x, y, said in marks:
            drawing.dot((x, y), colours[kind], said)
        for rate, at in sorted(rates.items()):
            if at is None:
                said = f"{kind}, rate {rate:g}: not reached"
                drawing.cross((across.at(math.log(rate)), top + 6), colours[kind], said)
    if any(at is None for rates in lines.values() for at in rates.values()):
        drawing.text((_RIGHT, _LEGEND), "× not reached", anchor="end")
    return str(drawing)


def _legend(drawing: Drawing, entries: Sequence[tuple[str, str, bool]]) -> float:
    """Name the lines above the figure; where the figure may begin."""
    for number, (label, colour, dashed) in enumerate(entries):
        row, place = divmod(number, _ACROSS)
        x = _LEFT + place * (_RIGHT - _LEFT) / _ACROSS
        y = _LEGEND + row * _PITCH
        drawing.line([(x, y - 4), (x + 18, y - 4)], colour, 2, DASHED if dashed else "")
        drawing.text((x + 24, y), label, "ink", "start")
    return _LEGEND + _PITCH * -(-len(entries) // _ACROSS)


def _frame(
    drawing: Drawing, across: Axis | None, up: Axis, label: str, percent: bool = False
) -> None:
    """Lines across with their numbers, epochs below, and what they are."""
    for tick in up.ticks():
        y = up.at(tick)
        drawing.line([(_LEFT, y), (_RIGHT, y)], "line")
        said = f"{100 * tick:g} %" if percent else f"{tick:g}"
        drawing.text((_LEFT - 6, y + 4), said, anchor="end")
    for tick in across.ticks() if across else ():
        drawing.text((across.at(tick), _BOTTOM + 16), f"{tick:g}")  # type: ignore[union-attr]
    drawing.text(((_LEFT + _RIGHT) / 2, _BOTTOM + 33), label)
