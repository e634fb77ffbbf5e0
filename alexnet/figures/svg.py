"""Small figures as SVG written directly: text is text, and a mark that is pointed at says what it is.

Lengths are pixels of a figure that is as wide as it was made for. Colours are names that the page
defines (`alexnet.figures.style`).
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

SMALL = 11  # pixels, the size of all text
DASHED, DOTTED = "5 3", "1.5 3"

Point = tuple[float, float]


@dataclass(frozen=True)
class Axis:
    """Values from `low` to `high`, and the pixels where these lie."""

    low: float
    high: float
    start: float
    end: float

    @classmethod
    def around(cls, values: Iterable[float], start: float, end: float) -> Axis:
        """An axis on which all values lie, with room at both ends."""
        found = list(values)
        low, high = min(found), max(found)
        room = 0.08 * (high - low) or 0.05 * abs(high) or 1.0
        return cls(low - room, high + room, start, end)

    def at(self, value: float) -> float:
        """Where a value lies."""
        part = (value - self.low) / (self.high - self.low)
        return self.start + part * (self.end - self.start)

    def ticks(self, most: int = 5) -> list[float]:
        """Round numbers on the axis, so many at most: multiples of 1, 2 or 5 of a power of ten."""
        size = (self.high - self.low) / most
        power = 10.0 ** math.floor(math.log10(size))
        step = power * next(one for one in (1, 2, 5, 10) if one * power >= size * (1 - 1e-9))
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [round(number * step, 12) for number in range(first, last + 1)]


class Drawing:
    """A figure of so many pixels; `described` is its text for those who do not see it."""

    def __init__(self, width: float, height: float, described: str) -> None:
        self._parts = [
            f'<svg viewBox="0 0 {width:g} {height:g}" role="img" '
            f'aria-label="{html.escape(described)}" font-size="{SMALL}">'
        ]

    def line(
        self,
        points: Sequence[Point],
        colour: str,
        width: float = 1.0,
        dashes: str = "",
        opacity: float = 1.0,
        title: str = "",
    ) -> None:
        """Straight lines from point to point."""
        path = " ".join(f"{_short(x)},{_short(y)}" for x, y in points)
        dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
        pale = f' opacity="{opacity:g}"' if opacity < 1 else ""
        self._parts.append(
            f'<polyline points="{path}" fill="none" stroke="var(--{colour})" '
            f'stroke-width="{width:g}"{dashed}{pale}>{_title(title)}</polyline>'
        )

    def dot(self, at: Point, colour: str, title: str, radius: float = 3.6) -> None:
        """A filled circle."""
        self._parts.append(
            f'<circle cx="{_short(at[0])}" cy="{_short(at[1])}" r="{radius:g}" '
            f'fill="var(--{colour})" opacity="0.85">{_title(title)}</circle>'
        )

    def diamond(self, at: Point, colour: str, title: str) -> None:
        """A filled square on its corner."""
        x, y = (_short(one) for one in at)
        self._parts.append(
            f'<path d="M{x},{y}m0,-5l4.5,5l-4.5,5l-4.5,-5z" fill="var(--{colour})">'
            f"{_title(title)}</path>"
        )

    def cross(self, at: Point, colour: str, title: str) -> None:
        """Two short lines."""
        x, y = (_short(one) for one in at)
        self._parts.append(
            f'<path d="M{x},{y}m-4,-4l8,8m0,-8l-8,8" fill="none" stroke="var(--{colour})" '
            f'stroke-width="1.8">{_title(title)}</path>'
        )

    def text(self, at: Point, text: str, colour: str = "soft", anchor: str = "middle") -> None:
        """A line of text, whose middle, start or end stands at a point of its base line."""
        self._parts.append(
            f'<text x="{_short(at[0])}" y="{_short(at[1])}" text-anchor="{anchor}" '
            f'fill="var(--{colour})">{html.escape(text)}</text>'
        )

    def __str__(self) -> str:
        return "".join([*self._parts, "</svg>"])


def written(number: float) -> str:
    """A round number with a true minus."""
    return f"{number:g}".replace("-", "−")


def _short(pixels: float) -> str:
    return f"{pixels:.1f}".removesuffix(".0")


def _title(text: str) -> str:
    return f"<title>{html.escape(text)}</title>" if text else ""
