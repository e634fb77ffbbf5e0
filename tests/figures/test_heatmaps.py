"""The image of dissimilarity matrices: what is named, where lines stand."""

from __future__ import annotations

import numpy as np

from alexnet.figures.heatmaps import groups_of, heat_maps


def test_groups_are_folders_that_stand_together() -> None:
    assert groups_of(["a/1", "a/2", "b/3"]) == [("a", 0, 2), ("b", 2, 3)]
    assert groups_of(["a/1", "b/2", "a/3"]) == []
    assert groups_of(["1", "2"]) == groups_of(["a/1", "a/2"]) == []


def test_few_images_are_named_and_many_by_their_folders() -> None:
    few = ["cat/1.jpg", "cat/2.jpg", "dog/1.jpg"]
    many = [f"{name}/{n}.jpg" for name in ("cat", "dog") for n in range(30)]
    for keys, named in ((few, few), (many, ["cat", "dog"]), (list(map(str, range(60))), [])):
        figure = heat_maps({"fc7": np.eye(len(keys))}, keys, "1 - cosine")
        axes, bar = figure.axes
        assert [label.get_text() for label in axes.get_xticklabels()] == named
        assert axes.get_title(loc="left") == "fc7" and bar.get_ylabel() == "1 - cosine"
        assert len(axes.lines) == 2 * bool(named)


def test_several_layers_stand_side_by_side() -> None:
    rdms = {f"conv{n}": np.eye(4) for n in range(1, 6)}
    figure = heat_maps(rdms, list("abcd"), "Euclidean distance")
    titles = [axes.get_title(loc="left") for axes in figure.axes if axes.images]
    assert titles == list(rdms)
