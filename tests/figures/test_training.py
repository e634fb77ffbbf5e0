"""Figures: what they show, read back from the drawing."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from matplotlib.colors import to_hex

from alexnet.evaluation import Prediction, Predictions
from alexnet.figures.style import GREY, RED, inline_svg
from alexnet.figures.training import (
    Example,
    answer_of,
    confusion,
    curves,
    first_layer_kernels,
    predictions_with_bars,
    telling,
)


def predictions(own: list[float], labels: list[int], K: int = 10) -> Predictions:
    """Images whose label has the probability `own`; the others share the rest."""
    probs_NK = np.empty((len(own), K), np.float32)
    probs_NK[:] = (1 - np.array(own))[:, None] / (K - 1)
    probs_NK[np.arange(len(own)), labels] = own
    names = tuple(f"n{k}" for k in range(K))
    keys = tuple(map(str, range(len(own))))
    return Predictions(keys, np.array(labels), probs_NK, names, names, {})


def test_kernels_stand_in_two_halves_of_three_rows_of_sixteen() -> None:
    weights_MCHW = np.zeros((96, 3, 11, 11), np.float32)
    weights_MCHW[0, 0, 2, 3] = 0.02  # the first kernel of the first column: one red pixel
    weights_MCHW[47, 1] = -1.0  # the last of the first column: no green
    weights_MCHW[48, 2, 10, 10] = 5.0  # the first of the second column: blue in its last corner
    image = first_layer_kernels(weights_MCHW)
    assert image.shape == (6 * 66 + 4 * 4 + 20, 16 * 66 + 15 * 4, 4)
    assert image[2 * 6, 3 * 6].tolist() == [255, 128, 128, 255]
    assert image[2 * 6 - 1, 3 * 6].tolist() == [128, 128, 128, 255]
    assert image[2 * 70 + 30, 15 * 70 + 30].tolist() == [128, 0, 128, 255]
    below = 3 * 66 + 2 * 4 + 20
    assert image[below + 65, 65].tolist() == [128, 128, 255, 255]
    assert image[below + 65, 66, 3] == 0  # the gaps are transparent
    assert (image[below - 20 : below, :, 3] == 0).all()


def test_a_weak_kernel_is_as_visible_as_a_strong_one() -> None:
    weights_MCHW = np.random.default_rng(0).normal(size=(96, 3, 11, 11)).astype(np.float32)
    scale_M111 = np.logspace(-6, 3, 96).reshape(-1, 1, 1, 1)
    scaled = first_layer_kernels((weights_MCHW * scale_M111).astype(np.float32))
    assert np.abs(scaled.astype(int) - first_layer_kernels(weights_MCHW)).max() <= 1


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


@pytest.mark.parametrize("rows", [[], ROWS[:3], ROWS[40:]])
def test_curves_of_a_run_that_has_just_begun(rows) -> None:
    assert len(curves(rows).axes) == 2


def test_telling_images_go_from_the_surest_to_the_furthest_and_differ_in_class() -> None:
    generator = np.random.default_rng(3)
    own = generator.uniform(size=100).tolist()
    labels = generator.integers(0, 10, 100).tolist()
    chosen = telling(predictions(own, labels), 8).tolist()
    assert chosen[0] == int(np.argmax(own))
    assert chosen[-1] == int(np.argmin(own)) or labels[int(np.argmin(own))] in {
        labels[n] for n in chosen[:-1]
    }
    assert all(own[a] > own[b] for a, b in itertools.pairwise(chosen))
    assert len({labels[n] for n in chosen}) >= 7


def test_fewer_images_than_asked_for_are_all_shown() -> None:
    assert sorted(telling(predictions([0.1, 0.9, 0.5], [1, 1, 1]), 8).tolist()) == [0, 1, 2]


def test_bars_are_the_answers_probabilities_and_the_correct_one_is_red() -> None:
    found = predictions([0.6, 0.05, 0.2], [3, 4, 9])
    pixels = np.zeros((256, 256, 3), np.uint8)
    examples = [
        Example(pixels, f"n{label}", f"n{label}", answer_of(found, n))
        for n, label in enumerate(found.labels_N)
    ]
    figure = predictions_with_bars(examples)
    bars = [axes.patches for axes in figure.axes if axes.patches]
    assert [len(one) for one in bars] == [5, 5, 5]
    colours = [[to_hex(bar.get_facecolor()) for bar in one] for one in bars]
    assert colours[0] == [RED, GREY, GREY, GREY, GREY]
    assert colours[1] == [GREY] * 5  # 0.05 is below the nine others
    assert colours[2][0] == RED
    assert bars[0][0].get_width() == pytest.approx(0.6)
    assert [example.is_right for example in examples] == [True, False, True]


def test_answers_of_fewer_than_five_classes() -> None:
    answer = answer_of(predictions([0.9], [1], K=2), 0)
    assert answer == (
        Prediction("n1", "n1", pytest.approx(0.9)),
        Prediction("n0", "n0", pytest.approx(0.1)),
    )
    assert predictions_with_bars([Example(np.zeros((8, 8, 3), np.uint8), "n1", "n1", answer)])


def test_confusion_counts_stand_in_their_cells() -> None:
    counts_KK = np.array([[5, 0, 1], [0, 0, 0], [2, 0, 7]])
    (axes,) = confusion(counts_KK, ["cat", "cup", "moon"]).axes
    cells = [
        (int(y), int(x), text.get_text()) for text in axes.texts for x, y in [text.get_position()]
    ]
    assert cells == [(0, 0, "5"), (0, 2, "1"), (2, 0, "2"), (2, 2, "7")]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["cat", "cup", "moon"]


def test_a_large_confusion_table_has_no_names() -> None:
    (axes,) = confusion(np.eye(200, dtype=int), [str(k) for k in range(200)]).axes
    assert not axes.texts
    assert len(axes.get_yticks()) < 20


def test_an_inline_figure_stands_alone_and_takes_the_pages_colours() -> None:
    svg = inline_svg(curves(ROWS), "loss & error")
    assert svg.startswith('<svg role="img" aria-label="loss &amp; error"')
    assert "http" not in svg
    assert "var(--blue)" in svg
    assert inline_svg(curves(ROWS), "loss & error") == svg  # the same bytes each time
