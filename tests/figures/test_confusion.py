"""The confusion matrix, read back from the drawing."""

from __future__ import annotations

import numpy as np
from matplotlib.colors import to_hex

from alexnet.figures.confusion import confusion_matrix
from alexnet.figures.style import RED, SOFT


def test_confusion_counts_stand_in_their_cells() -> None:
    counts_KK = np.array([[5, 0, 1], [0, 0, 0], [2, 0, 7]])
    (axes,) = confusion_matrix(counts_KK, ["cat", "cup", "moon"]).axes
    cells = [
        (int(y), int(x), text.get_text()) for text in axes.texts for x, y in [text.get_position()]
    ]
    assert cells == [(0, 0, "5"), (0, 2, "1"), (2, 0, "2"), (2, 2, "7")]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["cat", "cup", "moon"]


def test_what_is_right_is_red_and_what_is_wrong_grey() -> None:
    (axes,) = confusion_matrix(np.array([[9, 1], [0, 4]]), ["cat", "cup"]).axes
    rgba = axes.images[0].get_array()
    colours = {place: to_hex(rgba[place][:3]) for place in np.ndindex(2, 2)}
    assert colours == {(0, 0): RED, (0, 1): SOFT, (1, 0): SOFT, (1, 1): RED}
    assert rgba[0, 0, 3] > rgba[0, 1, 3] > rgba[1, 0, 3] == 0


def test_a_large_confusion_table_has_no_names() -> None:
    (axes,) = confusion_matrix(np.eye(200, dtype=int), [str(k) for k in range(200)]).axes
    assert not axes.texts
    assert len(axes.get_yticks()) < 20
