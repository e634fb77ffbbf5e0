"""Curves: what they show, read back from the drawing."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest

from alexnet.figures.curves import curves, drops
from alexnet.figures.style import inline_svg

ROWS = [
    *(
        {
            "kind": "step",
            "step": n,
            "epoch": n / 10,
            "loss": 3 - n / 20,
            "top1_error": 0.5,
            "rate": 0.01 if n <= 25 else 0.001,
        }
        for n in range(1, 41)
    ),
    *(
        {
            "kind": "epoch",
            "step": 10 * n,
            "epoch": n,
            "val_loss": 2 / n,
            "val_top1_error": 0.8 / n,
            "val_top5_error": 0.1,
        }
        for n in range(1, 5)
    ),
    {"kind": "event", "step": 25, "text": "rate 0.001"},
]


def test_curves_show_every_epoch_and_where_the_rate_fell() -> None:
    loss, error = curves(ROWS).axes
    _, validation, drop = loss.lines
    assert validation.get_xdata().tolist() == [1, 2, 3, 4]
    assert validation.get_ydata().tolist() == pytest.approx([2, 1, 2 / 3, 0.5])
    assert list(drop.get_xdata()) == [2.6, 2.6]
    assert error.lines[1].get_ydata().tolist() == pytest.approx([0.8, 0.4, 0.8 / 3, 0.2])
    assert error.get_ylim() == (0, 1)


def test_the_training_curve_keeps_the_average_of_all_steps() -> None:
    training = curves(ROWS).axes[0].lines[0]
    assert len(training.get_xdata()) == 20
    assert np.mean(training.get_ydata()) == pytest.approx(3 - 20.5 / 20)


def test_a_rate_that_always_moves_has_no_drops() -> None:
    rows = [{**row, "rate": 1 / row["step"]} if row["kind"] == "step" else row for row in ROWS]
    assert len(curves(rows).axes[0].lines) == 2
    assert drops(rows) == [] and drops(ROWS) == [(2.6, pytest.approx(10))]


@pytest.mark.parametrize("classes", [2, 10, 1000])
def test_chance_is_a_line(classes: int) -> None:
    loss, error = curves(ROWS, classes=classes).axes
    values = [
        line.get_ydata()[0]
        for axes in (loss, error)
        for line in axes.lines
        if len(set(line.get_ydata())) == 1 and list(line.get_xdata()) == [0, 1]
    ]
    assert values == pytest.approx([math.log(classes), 1 - 1 / classes])


def test_each_line_is_named_at_its_end_and_names_do_not_overlap() -> None:
    flat = [
        {**row, "loss": math.log(10), "top1_error": 0.9, "val_loss": 2.31, "val_top1_error": 0.9}
        for row in ROWS
    ]
    for rows in (ROWS, flat):  # of a run that learns, and one that does not
        figure = curves(rows, classes=10)
        figure.canvas.draw()
        for axes in figure.axes:
            assert axes.get_legend() is None
            names = {text.get_text().partition(",")[0]: text for text in axes.texts}
            assert set(names) == {"training", "validation", "chance"}
            assert names["training"].get_color() == axes.lines[0].get_color()
            boxes = [text.get_window_extent() for text in names.values()]
            assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
            assert min(box.x0 for box in boxes) > axes.get_window_extent().x1


@pytest.mark.parametrize("rows", [[], ROWS[:3], ROWS[40:]])
def test_curves_of_a_run_that_has_just_begun(rows) -> None:
    assert len(curves(rows).axes) == 2


def test_an_inline_figure_stands_alone_and_takes_the_pages_colours() -> None:
    svg = inline_svg(curves(ROWS), "loss & error")
    assert svg.startswith('<svg role="img" aria-label="loss &amp; error"')
    assert "http" not in svg
    assert "var(--blue)" in svg
    assert inline_svg(curves(ROWS), "loss & error") == svg  # the same bytes each time
