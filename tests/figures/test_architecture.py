"""Figure 2, read back from the drawing: its numbers, its boxes, its arrows, and that it can be read."""

from __future__ import annotations

import functools
import itertools
import re

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.path import Path
from matplotlib.text import Annotation, Text

from alexnet import paper
from alexnet.conventions import CONVENTIONS, PAPER, Convention
from alexnet.figures.architecture import draw_architecture
from alexnet.figures.style import inline_svg

drawn = functools.cache(draw_architecture)
CONVENTION = pytest.mark.parametrize("convention", CONVENTIONS.values(), ids=list(CONVENTIONS))


def words(figure: Figure) -> list[Text]:
    """The texts of a drawing."""
    return [one for one in figure.axes[0].texts if one.get_text()]


def arrows(figure: Figure) -> list[tuple[float, float]]:
    """The heights at which each arrow begins and ends."""
    annotations = [one for one in figure.axes[0].texts if isinstance(one, Annotation)]
    return [(one.xyann[1], one.xy[1]) for one in annotations]


def across(figure: Figure) -> int:
    """Arrows from one column to the other."""
    return sum(begin * end < 0 for begin, end in arrows(figure))


def test_every_number_of_the_papers_figure_is_there() -> None:
    texts = [one.get_text() for one in words(drawn(PAPER))]
    numbers = {int(number) for text in texts for number in re.findall(r"\d+", text)}
    assert {224, 3, 11, 55, 48, 5, 27, 128, 13, 192, 2048, 1000} <= numbers
    assert "stride of 4" in texts
    assert texts.count("max pooling") == 3
    assert texts.count("dense") == 5  # into fc6 and fc7 of each column, into the output
    assert paper.NEURONS_PRINTED[0] not in numbers  # the slip: sizes are those of the table


def test_each_column_has_its_boxes() -> None:
    found = [(one.get_text(), one.get_position()[1]) for one in words(drawn(PAPER))]
    boxes = ["55×55×48", "27×27×128", "13×13×192", "13×13×192", "13×13×128", "2048", "2048"]
    for above in (True, False):
        assert [text for text, y in found if text in boxes and (y > 0) == above] == boxes
    kernels = ["11×11×3", "5×5×48", "3×3×256", "3×3×192", "3×3×192"]
    for above in (True, False):
        assert [text for text, y in found if text in kernels and (y > 0) == above] == kernels


@CONVENTION
def test_arrows_cross_where_a_layer_sees_both_columns(convention: Convention) -> None:
    figure = drawn(convention)
    if convention.columns == 1:
        assert {(0.0, 0.0)} == set(arrows(figure))
        assert len(arrows(figure)) == len(convention.layers)
        return
    meet = [one for one in convention.layers[:-1] if one.sees == "both columns"]
    assert across(figure) == 2 * len(meet)
    assert len(arrows(figure)) == 2 * len(convention.layers) + across(figure)


def test_the_crossings_of_the_paper_and_of_its_kin() -> None:
    counts = {name: across(drawn(CONVENTIONS[name])) for name in CONVENTIONS}
    assert counts["paper"] == 6  # into conv3, fc6, fc7
    assert (counts["no_links"], counts["alexnet6"], counts["one_column"]) == (4, 8, 0)


@CONVENTION
def test_nothing_is_cut_off_or_written_over(convention: Convention) -> None:
    figure = drawn(convention)
    renderer = FigureCanvasAgg(figure).get_renderer()
    places = {one: one.get_window_extent(renderer) for one in words(figure)}
    for one, box in places.items():
        assert figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1, one
        assert figure.bbox.y0 <= box.y0 and box.y1 <= figure.bbox.y1, one
        at_1200_pixels = one.get_fontsize() / 72 * 1200 / max(figure.get_figwidth(), 12)
        assert at_1200_pixels > 11, one
    for one, other in itertools.combinations(places, 2):
        assert not places[one].overlaps(places[other]), (one, other)
    axes = figure.axes[0]
    lines = [one.get_xydata() for one in axes.lines]
    lines += [[one.xyann, one.xy] for one in axes.texts if isinstance(one, Annotation)]
    for line in lines:
        path = axes.transData.transform_path(Path(line))
        assert not [one for one, box in places.items() if path.intersects_bbox(box, filled=False)]
    for patch in axes.patches:
        faces = patch.get_window_extent(renderer)
        assert not [one for one, box in places.items() if box.overlaps(faces)]


def test_a_page_can_hold_it_in_its_own_colours() -> None:
    svg = inline_svg(drawn(PAPER), "figure 2")
    assert "var(--orange)" in svg and "var(--blue)" in svg and "http" not in svg
    assert inline_svg(draw_architecture(PAPER), "figure 2") == svg
