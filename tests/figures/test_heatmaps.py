"""The image of dissimilarity matrices: what is named, where lines stand."""

from __future__ import annotations

import numpy as np

from alexnet.figures.heatmaps import groups_of, heat_maps, names_of


def test_groups_are_folders_that_stand_together() -> None:
    assert groups_of(["a/1", "a/2", "b/3"]) == [("a", 0, 2), ("b", 2, 3)]
    assert groups_of(["a/1", "b/2", "a/3"]) == []
    assert groups_of(["1", "2"]) == groups_of(["a/1", "a/2"]) == []


def test_images_of_one_folder_are_grouped_by_what_their_names_begin_with() -> None:
    keys = ["face_01.jpg", "face_02.jpg", "house-7.jpg", "house-8.jpg", "house-9.jpg"]
    assert groups_of(keys) == [("face", 0, 2), ("house", 2, 5)]
    assert groups_of(["face1", "house1", "face2"]) == []
    assert groups_of(["IMG_0001.jpg", "IMG_0002.jpg"]) == []
    assert groups_of(["sun.jpg", "moon.jpg", "star.jpg"]) == []


def test_names_lose_what_all_have_and_keep_their_beginnings_and_ends() -> None:
    assert names_of(["set/a/1.png", "set/b/2.png"]) == ["a/1", "b/2"]
    assert names_of(["a.png", "b.jpg"]) == ["a.png", "b.jpg"]
    assert names_of(["one.png"]) == ["one"]
    long = [f"subject_{who}_looks_to_the_very_{way}" for who in "ab" for way in ("left", "right")]
    names = names_of(long)
    assert len(set(names)) == 4 and max(map(len, names)) <= 24
    assert [name[0] for name in names] == ["a", "a", "b", "b"]
    assert names[0].endswith("_left") and names[3].endswith("right")


def test_few_images_are_named_and_many_by_their_folders() -> None:
    few = ["cat/1.jpg", "cat/2.jpg", "dog/1.jpg"]
    many = [f"{name}/{n}.jpg" for name in ("cat", "dog") for n in range(30)]
    numbers = list(map(str, range(60)))
    short = ["cat/1", "cat/2", "dog/1"]
    for keys, named in ((few, short), (many, ["cat", "dog"]), (numbers, numbers[::5])):
        figure = heat_maps({"fc7": np.eye(len(keys))}, keys, "1 - cosine")
        axes, bar = figure.axes
        for labels in (axes.get_xticklabels(), axes.get_yticklabels()):
            assert [label.get_text() for label in labels] == named
        assert axes.get_title(loc="left") == "fc7" and bar.get_ylabel() == "1 - cosine"
        assert len(axes.lines) == 2 * (keys is not numbers)
        assert axes.get_xlabel() == ("60 images; 1 in 5 is named" if keys is numbers else "")


def test_several_layers_stand_side_by_side() -> None:
    rdms = {f"conv{n}": np.eye(4) for n in range(1, 6)}
    figure = heat_maps(rdms, list("abcd"), "Euclidean distance")
    titles = [axes.get_title(loc="left") for axes in figure.axes if axes.images]
    assert titles == list(rdms)
    assert figure.get_supxlabel() == "Each matrix has a colour scale of its own."
    assert heat_maps({"fc7": np.eye(4)}, list("abcd"), "").get_supxlabel() == ""
    for axes in figure.axes:
        if axes.images:
            assert [label.get_text() for label in axes.get_xticklabels()] == list("abcd")
