"""Figures written as SVG: round ticks, escaped text, every run drawn where its value lies."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from alexnet.figures.races import Line, learning, rates_tried
from alexnet.figures.seeds import Difference, paired_seeds
from alexnet.figures.svg import Axis, Drawing


def marks(svg: str, tag: str) -> list[ElementTree.Element]:
    """All elements of a kind; the figure is well-formed."""
    return list(ElementTree.fromstring(svg).iter(tag))


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0.0, 1.0, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (-1.3, 0.2, [-1, -0.5, 0]),
        (0.0, 118.0, [0, 50, 100]),
        (19.8, 20.3, [19.8, 19.9, 20, 20.1, 20.2, 20.3]),
        (0.0, 3e-4, [0, 1e-4, 2e-4, 3e-4]),
    ],
)
def test_ticks_are_round_and_on_the_axis(low: float, high: float, ticks: list[float]) -> None:
    assert Axis(low, high, 0, 1).ticks() == pytest.approx(ticks)


@pytest.mark.parametrize("values", [[3.0], [0.0, 0.0], [-2.0, 5.0]])
def test_all_values_have_room_on_an_axis(values: list[float]) -> None:
    axis = Axis.around(values, 200, 20)
    assert all(20 < axis.at(value) < 200 for value in values)
    assert Axis(1, 3, 200, 20).at(2.5) == 65  # three quarters of the way


def test_what_is_written_is_text() -> None:
    drawing = Drawing(10, 10, 'a "b" <c>')
    drawing.text((1, 2), "<script>")
    drawing.dot((1, 2), "blue", "1 < 2 & 3")
    (text,), (title,) = marks(str(drawing), "text"), marks(str(drawing), "title")
    assert (text.text, title.text) == ("<script>", "1 < 2 & 3")
    assert ElementTree.fromstring(str(drawing)).get("aria-label") == 'a "b" <c>'


def test_runs_of_one_seed_are_joined_where_they_are_a_pair() -> None:
    without, with_ = {0: 20.0, 1: 21.0, 3: 20.0}, {0: 19.0, 1: 18.0, 3: 19.0}
    found = Difference({0: -1.0, 1: -3.0}, -2.0, (-4.0, 0.0), paper=-1.4, ratios=False)
    svg = paired_seeds({"without": without, "with": with_}, "%", found, "")
    dots = [(float(one.get("cx", "")), float(one.get("cy", ""))) for one in marks(svg, "circle")]
    joined = [
        [tuple(map(float, point.split(","))) for point in one.get("points", "").split()]
        for one in marks(svg, "polyline")
        if one.get("stroke") == "var(--grey)"
    ]
    assert len(dots) == 3 + 3 + 2 and len(set(dots)) == len(dots)  # equal ones stand side by side
    assert joined[:2] == [[dots[0], dots[3]], [dots[1], dots[4]]]
    assert dots[3][1] > dots[0][1]  # lower errors stand lower
    (mean,) = (one for one in marks(svg, "path") if one[0].text == "mean")
    place = float(mean.get("d", "").partition("m")[0].partition(",")[2])
    assert place == pytest.approx((dots[6][1] + dots[7][1]) / 2, abs=0.11)


def test_ratios_are_written_as_how_many_times() -> None:
    found = Difference({0: -2.0, 1: -3.0}, -2.5, None, None, ratios=True)
    svg = paired_seeds({"a": {0: 4.0, 1: 8.0}, "b": {0: 1.0, 1: 1.0}}, "epochs", found, "")
    assert {"1", "0.5", "0.25", "0.125"} <= {one.text for one in marks(svg, "text")}


def test_a_mean_goes_as_far_as_all_runs_do() -> None:
    runs = [([1, 2, 3], [0.8, 0.6, 0.4]), ([1, 2], [0.6, 0.4])]
    lines = marks(learning([Line("net", runs, "blue")], "", target=0.25), "polyline")
    thick = [
        one for one in lines if one.get("stroke-width") == "2" and one.get("points", "").count(" ")
    ]
    thin = [one for one in lines if one.get("stroke-width") == "0.8"]
    assert [len(one.get("points", "").split()) for one in thin] == [3, 2]
    (mean,) = (one for one in thick if len(one) and one[0].text == "net")
    heights = [
        [float(point.partition(",")[2]) for point in one.get("points", "").split()]
        for one in (*thin, mean)
    ]
    for place in range(2):
        assert heights[2][place] == pytest.approx(
            (heights[0][place] + heights[1][place]) / 2, abs=0.11
        )


def test_one_epoch_is_a_dot() -> None:
    assert len(marks(learning([Line("net", [([1.0], [0.5])], "blue")], ""), "circle")) == 1


def test_rates_that_did_not_get_there_are_crosses() -> None:
    lines = {"ReLU": {0.001: 12.0, 0.002: None}, "tanh": {0.01: None}}
    svg = rates_tried(lines, {"ReLU": "blue", "tanh": "orange"}, "")
    assert [one[0].text for one in marks(svg, "circle")] == ["ReLU, rate 0.001: 12.0 epochs"]
    said = [one[0].text for one in marks(svg, "path")]
    assert said == ["ReLU, rate 0.002: not reached", "tanh, rate 0.01: not reached"]
