"""The confusion matrix, read back from the drawing."""

from __future__ import annotations

import numpy as np

from alexnet.figures.confusion import confusion_matrix


def test_confusion_counts_stand_in_their_cells() -> None:
    counts_KK = np.array([[5, 0, 1], [0, 0, 0], [2, 0, 7]])
    (axes,) = confusion_matrix(counts_KK, ["cat", "cup", "moon"]).axes
    cells = [
        (int(y), int(x), text.get_text()) for text in axes.texts for x, y in [text.get_position()]
    ]
    assert cells == [(0, 0, "5"), (0, 2, "1"), (2, 0, "2"), (2, 2, "7")]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["cat", "cup", "moon"]


def test_a_large_confusion_table_has_no_names() -> None:
    (axes,) = confusion_matrix(np.eye(200, dtype=int), [str(k) for k in range(200)]).axes
    assert not axes.texts
    assert len(axes.get_yticks()) < 20
