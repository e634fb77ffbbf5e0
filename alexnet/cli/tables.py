"""Plain tables for standard output: the same text on a terminal, in a file and through a pipe."""

from __future__ import annotations

from collections.abc import Sequence


def table(rows: Sequence[Sequence[object]], headers: Sequence[str] = ()) -> str:
    """Aligned columns: numbers to the right, thousands separated; everything else to the left."""
    lines = [[_text(cell) for cell in row] for row in rows]
    lines = ([list(headers)] if headers else []) + lines
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    right = [
        all(isinstance(row[place], int | float) for row in rows) for place in range(len(widths))
    ]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in lines
    )


def _text(cell: object) -> str:
    return f"{cell:,}" if isinstance(cell, int) and not isinstance(cell, bool) else str(cell)
